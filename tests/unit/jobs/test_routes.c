/* The routes on a real database, without the engine; nothing runs the jobs. */
#include "fake_http.h"
#include "support.h"
#include "base/clock.h"
#include "base/thread_pool.h"
#include "jobs/jobs_priv.h"
#include "jobs/waiting.h"
#include "calotype/error.h"
#include "metadata/api_keys.h"
#include "metadata/jobs.h"

#include <criterion/criterion.h>
#include <pthread.h>
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

/* ---- waiting ---- */

struct client {
	pthread_t thread;
	char target[64];
	const char *if_none_match, *prefer;
	struct fake_answer answer;
	int64_t took_ms;
};

static void *run_client(void *arg)
{
	struct client *client = arg;
	int64_t began = ct_clock_monotonic_ms();
	client->answer =
	    fake_call_preferring(client->target, client->if_none_match, client->prefer);
	client->took_ms = ct_clock_monotonic_ms() - began;
	return NULL;
}

static void begin_get(struct client *client, const char *if_none_match, const char *prefer)
{
	char id[CT_ID_CHARS + 1];
	client->if_none_match = if_none_match;
	client->prefer = prefer;
	(void)snprintf(client->target, sizeof(client->target), "GET /jobs/%s", id_of(1, id));
	cr_assert_eq(pthread_create(&client->thread, NULL, run_client, client), 0);
}

static void end_get(struct client *client, int status, int least_ms, int most_ms)
{
	cr_assert_eq(pthread_join(client->thread, NULL), 0);
	cr_expect_eq(client->answer.status, status, "%d", client->answer.status);
	cr_expect_geq(client->took_ms, least_ms);
	cr_expect_leq(client->took_ms, most_ms);
	fake_answer_done(&client->answer);
}

static void insert_and_wait(enum ct_job_state state)
{
	const struct ct_job_row row = job_at(1, state, 1);
	insert_job(&row);
	cr_assert_eq(ct_job_waiting_start(jobs->waiting), 0);
}

static void cancel_it(void)
{
	char id[CT_ID_CHARS + 1];
	struct ct_job_row row = { 0 };
	cr_assert_eq(ct_jobs_cancel(jobs, id_of(1, id), &row), 0);
	ct_job_row_done(&row);
}

Test(routes, who_names_no_version_waits_for_the_end)
{
	struct client client = { 0 };
	insert_and_wait(CT_JOB_QUEUED);
	begin_get(&client, NULL, "wait=20");
	sleep_ms(300);
	ct_job_waiting_tell(jobs->waiting, "00000000000000000000000000000001"); /* no end */
	sleep_ms(100);
	cancel_it();
	cr_assert_eq(pthread_join(client.thread, NULL), 0);
	cr_expect_str_eq(fake_header(&client.answer, "Preference-Applied"), "wait=20");
	cr_expect_str_eq(fake_header(&client.answer, "ETag"), "\"2\"");
	cr_expect_str_eq(ct_json_get_text(client.answer.json, "state"), "canceled");
	cr_expect_geq(client.took_ms, 350);
	cr_expect_leq(client.took_ms, 10000);
	fake_answer_done(&client.answer);
}

Test(routes, who_has_left_is_answered_soon)
{
	struct client client = { 0 };
	insert_and_wait(CT_JOB_QUEUED);
	fake_leave(true);
	begin_get(&client, NULL, "wait=20");
	cr_assert_eq(pthread_join(client.thread, NULL), 0);
	fake_leave(false);
	cr_expect_leq(client.took_ms, 10000);
	cr_expect_str_eq(ct_json_get_text(client.answer.json, "state"), "queued");
	fake_answer_done(&client.answer);
}

Test(routes, who_names_a_version_waits_for_another)
{
	struct client same = { 0 };
	struct client other = { 0 };
	insert_and_wait(CT_JOB_QUEUED);
	begin_get(&same, "\"1\"", "wait=20");
	begin_get(&other, "\"7\"", "wait=20");
	end_get(&other, 200, 0, 5000);
	sleep_ms(400);
	cancel_it();
	end_get(&same, 200, 350, 10000);
}

/* The row was read, then the job changed, then the client began to wait. */
Test(routes, change_before_the_wait_is_not_missed)
{
	struct client client = { 0 };
	insert_and_wait(CT_JOB_QUEUED);
	for (int i = 0; i < 1000; i++)
		ct_job_waiting_tell(jobs->waiting, "00000000000000000000000000000001");
	fake_before_wait(cancel_it);
	begin_get(&client, "\"1\"", "wait=20");
	end_get(&client, 200, 0, 10000);
}

Test(routes, wait_ends_with_what_there_is)
{
	struct client versioned = { 0 };
	struct client plain = { 0 };
	insert_and_wait(CT_JOB_RUNNING);
	begin_get(&versioned, "\"1\"", "wait=1");
	begin_get(&plain, NULL, "wait=1");
	end_get(&versioned, 304, 1000, 5000);
	end_get(&plain, 200, 1000, 5000);
}

Test(routes, nobody_waits_for_a_job_that_has_ended_or_is_unknown)
{
	struct client client = { 0 };
	insert_and_wait(CT_JOB_FAILED);
	begin_get(&client, "\"1\"", "wait=20");
	end_get(&client, 304, 0, 5000);
	begin_get(&client, NULL, "wait=20");
	end_get(&client, 200, 0, 5000);
	struct fake_answer answer = fake_call_preferring("GET /jobs/x", NULL, "wait=20");
	cr_expect_eq(answer.status, 404);
	fake_answer_done(&answer);
}

Test(routes, forms_of_the_preference)
{
	static const struct {
		const char *prefer, *applied;
	} forms[] = {
		{ "wait=1", "wait=1" },
		{ "respond-async, Wait = \"7\"; why=not, wait=9", "wait=7" },
		{ "wait=1000", "wait=50" },
		{ "wait=51", "wait=50" },
		{ "wait=0", NULL },
		{ "wait=-1", NULL },
		{ "wait=1.5", NULL },
		{ "wait", NULL },
		{ "waiting=3", NULL },
		{ "", NULL },
	};
	char id[CT_ID_CHARS + 1];
	char target[64];
	insert_and_wait(CT_JOB_FAILED);
	(void)snprintf(target, sizeof(target), "GET /jobs/%s", id_of(1, id));
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct fake_answer answer = fake_call_preferring(target, NULL, forms[i].prefer);
		const char *applied = fake_header(&answer, "Preference-Applied");
		if (forms[i].applied == NULL)
			cr_expect_null(applied, "%s: %s", forms[i].prefer, applied);
		else
			cr_expect_str_eq(applied, forms[i].applied, "%s", forms[i].prefer);
		fake_answer_done(&answer);
	}
}

Test(routes, all_who_wait_are_woken)
{
	static struct client clients[40];
	insert_and_wait(CT_JOB_QUEUED);
	for (int i = 0; i < 40; i++)
		begin_get(&clients[i], i % 2 == 0 ? NULL : "\"1\"", "wait=30");
	sleep_ms(300);
	cancel_it();
	for (int i = 0; i < 40; i++)
		end_get(&clients[i], 200, 0, 20000);
}

Test(routes, drained_waiters_are_answered_and_nobody_waits_any_more)
{
	struct client client = { 0 };
	insert_and_wait(CT_JOB_QUEUED);
	begin_get(&client, "\"1\"", "wait=30");
	sleep_ms(300);
	ct_jobs_drain(jobs);
	end_get(&client, 304, 250, 15000);
	begin_get(&client, "\"1\"", "wait=30");
	end_get(&client, 304, 0, 5000);
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
