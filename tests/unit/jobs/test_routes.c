/* The routes on a real database, without the engine; nothing runs the jobs. */
#include "fake_http.h"
#include "support.h"
#include "base/clock.h"
#include "base/thread_pool.h"
#include "calotype/error.h"
#include "metadata/api_keys.h"
#include "metadata/jobs.h"

#include <criterion/criterion.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ct_jobs *jobs;
static struct ct_thread_pool *readers;

static void setup(void)
{
	database_setup();
	const struct ct_thread_pool_options pool_options = { "reader", 1, 1 };
	cr_assert_eq(ct_thread_pool_new(&pool_options, &readers), 0);
	const struct ct_jobs_options options = {
		.metadata = fixture.metadata,
		.readers = readers,
		.owner = "here",
	};
	cr_assert_eq(ct_jobs_new(&options, &jobs), 0);
	cr_assert_eq(ct_jobs_add_routes(jobs, fake_server()), 0);
}

static void teardown(void)
{
	ct_jobs_free(jobs);
	ct_thread_pool_free(readers);
	database_teardown();
}

TestSuite(routes, .init = setup, .fini = teardown, .timeout = 60);

static struct fake_answer get(const char *path, int number, const char *if_none_match)
{
	char text[128];
	char id[CT_ID_CHARS + 1];
	(void)snprintf(text, sizeof(text), "GET %s/%s", path, id_of(number, id));
	return fake_call(text, if_none_match);
}

static void expect_text(const struct fake_answer *answer, const char *expected)
{
	char *text = ct_json_to_text(answer->json);
	cr_expect_str_eq(text, expected);
	free(text);
}

static struct ct_job_row job_at(int number, enum ct_job_state state, int64_t at)
{
	struct ct_job_row row = make_job(number, "process_image");
	row.state = state;
	row.created_at = at;
	return row;
}

Test(routes, queued_job)
{
	struct ct_job_row row = job_at(1, CT_JOB_QUEUED, 1700000000123);
	row.error = strdup("{\"code\":\"of_the_last_attempt\"}");
	row.attempts = 1;
	(void)id_of(2, row.upload_id);
	insert_job(&row);
	ct_job_row_done(&row);
	struct fake_answer answer = get("/jobs", 1, NULL);
	cr_expect_eq(answer.status, 200);
	cr_expect_str_eq(fake_header(&answer, "ETag"), "\"1\"");
	cr_expect_str_eq(fake_header(&answer, "Retry-After"), "1");
	cr_expect_str_eq(fake_header(&answer, "Cache-Control"), "private, no-cache");
	expect_text(&answer, "{\"id\":\"00000000000000000000000000000001\","
			     "\"kind\":\"process_image\",\"state\":\"queued\",\"done\":false,"
			     "\"progress\":0.0,\"attempts\":1,\"max_attempts\":10,"
			     "\"created_at\":\"2023-11-14T22:13:20.123Z\",\"started_at\":null,"
			     "\"finished_at\":null,"
			     "\"upload\":\"00000000000000000000000000000002\",\"image\":null}");
	fake_answer_done(&answer);
	cr_expect_eq(fake_scope("GET /jobs/x"), CT_SCOPE_READ);
	cr_expect_eq(fake_scope("GET /jobs"), CT_SCOPE_READ);
}

Test(routes, succeeded_job)
{
	struct ct_job_row row = job_at(1, CT_JOB_SUCCEEDED, 1700000000123);
	row.response = strdup("{\"image\":{\"id\":\"x\"}}");
	row.started_at = row.finished_at = 1700000001000;
	row.progress = 1;
	insert_job(&row);
	ct_job_row_done(&row);
	struct fake_answer answer = get("/jobs", 1, NULL);
	cr_expect_eq(answer.status, 200);
	cr_expect_null(fake_header(&answer, "Retry-After"));
	expect_text(&answer, "{\"id\":\"00000000000000000000000000000001\","
			     "\"kind\":\"process_image\",\"state\":\"succeeded\",\"done\":true,"
			     "\"progress\":1.0,\"attempts\":0,\"max_attempts\":10,"
			     "\"created_at\":\"2023-11-14T22:13:20.123Z\","
			     "\"started_at\":\"2023-11-14T22:13:21.000Z\","
			     "\"finished_at\":\"2023-11-14T22:13:21.000Z\",\"upload\":null,"
			     "\"image\":null,\"response\":{\"image\":{\"id\":\"x\"}}}");
	fake_answer_done(&answer);
}

Test(routes, failed_job_is_a_200_with_its_error)
{
	struct ct_job_row row = job_at(1, CT_JOB_FAILED, 1);
	row.error = strdup("{\"code\":\"undecodable_image\"}");
	insert_job(&row);
	ct_job_row_done(&row);
	struct fake_answer answer = get("/jobs", 1, NULL);
	cr_expect_eq(answer.status, 200);
	cr_expect(ct_json_get_bool(answer.json, "done", false));
	struct ct_json *error = ct_json_get(answer.json, "error");
	cr_expect_str_eq(ct_json_get_text(error, "code"), "undecodable_image");
	cr_expect_null(ct_json_get(answer.json, "response"));
	ct_json_free(error);
	fake_answer_done(&answer);
}

static void expect_status(const char *etags, int status)
{
	struct fake_answer answer = get("/jobs", 1, etags);
	cr_expect_eq(answer.status, status, "%s gives %d", etags, answer.status);
	cr_expect_str_eq(fake_header(&answer, "ETag"), "\"1\"");
	fake_answer_done(&answer);
}

Test(routes, known_version_is_a_304)
{
	const struct ct_job_row row = job_at(1, CT_JOB_RUNNING, 1);
	insert_job(&row);
	expect_status("\"1\"", 304);
	expect_status("W/\"1\"", 304);
	expect_status("\"7\", \"1\"", 304);
	expect_status("*", 304);
	expect_status("\"2\"", 200);
	expect_status("1", 200);
	expect_status("\"11\"", 200);
	expect_status("", 200);
}

static int end_and_purge(struct ct_metadata_view *view, void *arg)
{
	char id[CT_ID_CHARS + 1];
	int r = ct_job_end(view, id_of(1, id), 0, CT_JOB_CANCELED, NULL, NULL, 1000);
	(void)arg;
	return r < 0 ? r : ct_job_purge(view, 2000, 10);
}

Test(routes, unknown_and_forgotten_jobs)
{
	const struct ct_job_row row = job_at(1, CT_JOB_QUEUED, 1);
	insert_job(&row);
	write_database(end_and_purge, NULL);
	struct fake_answer answer = get("/jobs", 1, NULL);
	cr_expect_eq(answer.status, 410);
	cr_expect_str_eq(ct_json_get_text(answer.json, "code"), "gone");
	fake_answer_done(&answer);
	answer = get("/jobs", 2, NULL);
	cr_expect_eq(answer.status, 404);
	fake_answer_done(&answer);
	answer = fake_call("GET /jobs/not-an-id", NULL);
	cr_expect_eq(answer.status, 404);
	fake_answer_done(&answer);
}

/* ---- cancel and retry ---- */

static struct fake_answer change(const char *format, int number)
{
	char text[128];
	char id[CT_ID_CHARS + 1];
	(void)snprintf(text, sizeof(text), format, id_of(number, id));
	return fake_call(text, NULL);
}

static void expect_change(const char *format, int number, int status, const char *code)
{
	struct fake_answer answer = change(format, number);
	cr_expect_eq(answer.status, status, "%s: %d", format, answer.status);
	cr_expect_str_eq(ct_json_get_text(answer.json, "code"), code);
	fake_answer_done(&answer);
}

Test(routes, cancel)
{
	const struct ct_job_row row = job_at(1, CT_JOB_QUEUED, 1);
	insert_job(&row);
	struct fake_answer answer = change("DELETE /jobs/%s", 1);
	cr_expect_eq(answer.status, 200);
	cr_expect_str_eq(fake_header(&answer, "ETag"), "\"2\"");
	cr_expect_null(fake_header(&answer, "Retry-After"));
	cr_expect_str_eq(ct_json_get_text(answer.json, "state"), "canceled");
	struct ct_json *error = ct_json_get(answer.json, "error");
	cr_expect_str_eq(ct_json_get_text(error, "code"), "canceled");
	ct_json_free(error);
	fake_answer_done(&answer);
	expect_change("DELETE /jobs/%s", 1, 409, "job_ended");
	expect_change("DELETE /jobs/%s", 2, 404, "not_found");
	expect_change("DELETE /jobs/%.3s", 1, 404, "not_found");
	cr_expect_eq(fake_scope("DELETE /jobs/x"), CT_SCOPE_WRITE);
}

Test(routes, retry)
{
	const struct ct_job_row failed = job_at(1, CT_JOB_FAILED, 1);
	const struct ct_job_row running = job_at(2, CT_JOB_RUNNING, 1);
	insert_job(&failed);
	insert_job(&running);
	struct fake_answer answer = change("POST /jobs/%s/retry", 1);
	cr_expect_eq(answer.status, 202);
	cr_expect_str_eq(fake_header(&answer, "ETag"), "\"2\"");
	cr_expect_str_eq(fake_header(&answer, "Retry-After"), "1");
	cr_expect_str_eq(ct_json_get_text(answer.json, "state"), "queued");
	fake_answer_done(&answer);
	expect_change("POST /jobs/%s/retry", 1, 409, "job_not_failed");
	expect_change("POST /jobs/%s/retry", 2, 409, "job_not_failed");
	expect_change("POST /jobs/%s/retry", 3, 404, "not_found");
	cr_expect_eq(fake_scope("POST /jobs/x/retry"), CT_SCOPE_ADMIN);
}

/* ---- lists ---- */

/* The last digits of the ids, in order. */
static void list(const char *query, const char *expected, char ret_next[64])
{
	char text[256];
	char found[64] = "";
	(void)snprintf(text, sizeof(text), "GET /jobs%s", query);
	struct fake_answer answer = fake_call(text, NULL);
	cr_assert_eq(answer.status, 200, "%s", query);
	struct ct_json *items = ct_json_get(answer.json, "items");
	for (size_t i = 0; i < ct_json_length(items); i++) {
		struct ct_json *item = ct_json_at(items, i);
		(void)snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s",
		    ct_json_get_text(item, "id") + CT_ID_CHARS - 1);
		ct_json_free(item);
	}
	cr_expect_str_eq(found, expected, "%s: %s", query, found);
	const char *next = ct_json_get_text(answer.json, "next");
	const char *link = fake_header(&answer, "Link");
	cr_expect_eq(next == NULL, link == NULL);
	if (next != NULL)
		cr_expect(strstr(link, next) != NULL && strstr(link, "; rel=\"next\"") != NULL);
	(void)snprintf(ret_next, 64, "%s", next != NULL ? next : "");
	ct_json_free(items);
	fake_answer_done(&answer);
}

Test(routes, list_by_pages)
{
	char next[64];
	char query[128];
	for (int i = 1; i <= 5; i++) {
		/* 3 and 4 were made in the same moment. */
		const struct ct_job_row row =
		    job_at(i, i % 2 ? CT_JOB_SUCCEEDED : CT_JOB_FAILED, 100 + (i == 4 ? 3 : i));
		insert_job(&row);
	}
	list("", "54321", next);
	list("?limit=5", "54321", next);
	list("?limit=2", "54", next);
	(void)snprintf(query, sizeof(query), "?limit=2&cursor=%s", next);
	list(query, "32", next);
	(void)snprintf(query, sizeof(query), "?limit=2&cursor=%s", next);
	list(query, "1", next);
	cr_expect_str_eq(next, "");
	list("?state=failed", "42", next);
	list("?state=succeeded&limit=2", "53", next);
	(void)snprintf(query, sizeof(query), "?state=succeeded&limit=2&cursor=%s", next);
	list(query, "1", next);
	list("?state=running", "", next);
}

Test(routes, link_of_the_next_page_can_be_followed)
{
	char target[256];
	for (int i = 1; i <= 3; i++) {
		const struct ct_job_row row = job_at(i, CT_JOB_FAILED, i);
		insert_job(&row);
	}
	struct fake_answer answer = fake_call("GET /jobs?state=failed&limit=1", NULL);
	const char *link = fake_header(&answer, "Link");
	cr_assert_not_null(link);
	(void)snprintf(target, sizeof(target), "GET %.*s", (int)strcspn(link + 1, ">"), link + 1);
	cr_expect_eq(strncmp(target, "GET /jobs?state=failed&limit=1&cursor=", 38), 0);
	fake_answer_done(&answer);
	answer = fake_call(target, NULL);
	cr_expect_eq(answer.status, 200);
	fake_answer_done(&answer);
}

Test(routes, most_items_of_a_page)
{
	for (int i = 1; i <= 201; i++) {
		const struct ct_job_row row = job_at(i, CT_JOB_QUEUED, i);
		insert_job(&row);
	}
	struct fake_answer answer = fake_call("GET /jobs?limit=200", NULL);
	struct ct_json *items = ct_json_get(answer.json, "items");
	cr_expect_eq(ct_json_length(items), 200);
	ct_json_free(items);
	fake_answer_done(&answer);
	answer = fake_call("GET /jobs", NULL);
	items = ct_json_get(answer.json, "items");
	cr_expect_eq(ct_json_length(items), 50);
	ct_json_free(items);
	fake_answer_done(&answer);
}

Test(routes, list_refuses_bad_parameters)
{
	static const char *const bad[] = { "limit=0", "limit=201", "limit=x", "limit=", "limit=-1",
		"state=ready", "state=", "cursor=", "cursor=x",
		"cursor=1-0123456789abcdef0123456789abcdeF" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[128];
		(void)snprintf(text, sizeof(text), "GET /jobs?%s", bad[i]);
		struct fake_answer answer = fake_call(text, NULL);
		cr_expect_eq(answer.status, 400, "%s", bad[i]);
		cr_expect_str_eq(ct_json_get_text(answer.json, "code"), "invalid_parameter");
		fake_answer_done(&answer);
	}
	struct fake_answer answer = fake_call("GET /jobs?limit=201", NULL);
	cr_expect_eq(ct_json_get_number(answer.json, "limit", -1), 200);
	cr_expect_eq(ct_json_get_number(answer.json, "value", -1), 201);
	fake_answer_done(&answer);
}

static sem_t busy;
static sem_t go_on;

static void block(void *arg)
{
	(void)arg;
	cr_assert_eq(sem_post(&busy), 0);
	cr_assert_eq(sem_wait(&go_on), 0);
}

Test(routes, list_is_a_503_when_all_readers_are_busy)
{
	cr_assert_eq(sem_init(&busy, 0, 0), 0);
	cr_assert_eq(sem_init(&go_on, 0, 0), 0);
	cr_assert_eq(ct_thread_pool_submit(readers, block, NULL), 0);
	cr_assert_eq(sem_wait(&busy), 0);
	cr_assert_eq(ct_thread_pool_submit(readers, block, NULL), 0);
	struct fake_answer answer = fake_call("GET /jobs", NULL);
	cr_expect_eq(answer.status, 503);
	cr_expect_str_eq(ct_json_get_text(answer.json, "code"), "limit_reached");
	fake_answer_done(&answer);
	cr_assert_eq(sem_post(&go_on), 0);
	cr_assert_eq(sem_post(&go_on), 0);
}
