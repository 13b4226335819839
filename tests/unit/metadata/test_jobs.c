#include "support.h"
#include "metadata/api_keys.h"
#include "metadata/events.h"
#include "metadata/jobs.h"

#include <errno.h>
#include <string.h>

static void insert_job(int number, int64_t run_at)
{
	const struct ct_job_row row = make_job(number, run_at);
	cr_assert_eq(ct_job_insert(fixture.view, &row), 0);
}

/* The job that is claimed at `now`; its strings are of no interest. */
static struct ct_job_row claim(int64_t now)
{
	struct ct_job_row row = { 0 };
	int64_t next_run_at = 0;
	cr_assert_eq(ct_job_claim(fixture.view, "me", now, now + 30, &row, &next_run_at), 0);
	ct_job_row_done(&row);
	return row;
}

static struct ct_job_row get(int number)
{
	char id[CT_ID_CHARS + 1];
	struct ct_job_row row = { 0 };
	cr_assert_eq(ct_job_get(fixture.view, id_of(number, id), &row), 0);
	ct_job_row_done(&row);
	return row;
}

RowsTest(metadata_jobs, insert_and_get_keep_every_field)
{
	const struct ct_job_row row = {
		.id = "0123456789abcdef0123456789abcdef",
		.kind = "image",
		.state = CT_JOB_FAILED,
		.progress = 0.25,
		.attempts = 1,
		.max_attempts = 2,
		.version = 3,
		.upload_id = "1123456789abcdef0123456789abcdef",
		.image_id = "2123456789abcdef0123456789abcdef",
		.error = (char *)"{\"code\":\"x\"}",
		.run_at = 4,
		.created_at = 5,
		.started_at = 6,
		.finished_at = 7,
		.owner = "node",
		.lease_until = 8,
		.token = 9,
		.request_id = "request-1",
	};
	struct ct_job_row got = { 0 };
	cr_assert_eq(ct_job_insert(fixture.view, &row), 0);
	cr_assert_eq(ct_job_get(fixture.view, row.id, &got), 0);
	cr_expect_str_eq(got.id, row.id);
	cr_expect_str_eq(got.kind, row.kind);
	cr_expect_str_eq(got.request_id, row.request_id);
	cr_expect_eq(got.state, row.state);
	cr_expect_eq(got.progress, row.progress);
	cr_expect_eq(got.attempts, 1);
	cr_expect_eq(got.max_attempts, 2);
	cr_expect_eq(got.version, 3);
	cr_expect_str_eq(got.upload_id, row.upload_id);
	cr_expect_str_eq(got.image_id, row.image_id);
	cr_expect_null(got.response);
	cr_expect_str_eq(got.error, row.error);
	cr_expect_eq(got.run_at, 4);
	cr_expect_eq(got.created_at, 5);
	cr_expect_eq(got.started_at, 6);
	cr_expect_eq(got.finished_at, 7);
	cr_expect_str_eq(got.owner, row.owner);
	cr_expect_eq(got.lease_until, 8);
	cr_expect_eq(got.token, 9);
	ct_job_row_done(&got);
	cr_expect_eq(ct_job_insert(fixture.view, &row), -EEXIST);
	cr_expect_eq(ct_job_get(fixture.view, "none", &got), CT_ERROR_NOT_FOUND);
}

RowsTest(metadata_jobs, claim_takes_what_is_due_first)
{
	insert_job(1, 30);
	insert_job(2, 10);
	insert_job(3, 20);
	const struct ct_job_row row = claim(25);
	char id[CT_ID_CHARS + 1];
	cr_expect_str_eq(row.id, id_of(2, id));
	cr_expect_eq(row.state, CT_JOB_RUNNING);
	cr_expect_str_eq(row.owner, "me");
	cr_expect_eq(row.lease_until, 55);
	cr_expect_eq(row.started_at, 25);
	cr_expect_eq(row.attempts, 1);
	cr_expect_eq(row.token, 1);
	cr_expect_eq(row.version, 2);
	cr_expect_eq(get(2).state, CT_JOB_RUNNING);
	cr_expect_str_eq(claim(25).id, id_of(3, id));

	struct ct_job_row none;
	int64_t next_run_at = -1;
	cr_expect_eq(
	    ct_job_claim(fixture.view, "me", 25, 55, &none, &next_run_at), CT_ERROR_NOT_FOUND);
	cr_expect_eq(next_run_at, 30);
	(void)claim(30);
	cr_expect_eq(
	    ct_job_claim(fixture.view, "me", 30, 60, &none, &next_run_at), CT_ERROR_NOT_FOUND);
	cr_expect_eq(next_run_at, 0);
}

RowsTest(metadata_jobs, jobs_of_one_time_go_in_the_order_they_came)
{
	insert_job(2, 10);
	insert_job(1, 10);
	char id[CT_ID_CHARS + 1];
	cr_expect_str_eq(claim(10).id, id_of(2, id));
	cr_expect_str_eq(claim(10).id, id_of(1, id));
}

RowsTest(metadata_jobs, only_the_token_of_the_last_claim_counts)
{
	insert_job(1, 10);
	const struct ct_job_row first = claim(10);
	cr_assert_eq(ct_job_heartbeat(fixture.view, first.id, first.token, 70), 0);
	cr_expect_eq(get(1).lease_until, 70);
	cr_expect_eq(get(1).version, first.version);
	cr_assert_eq(ct_job_release(fixture.view, NULL, 70), 0);
	cr_assert_eq(ct_job_release(fixture.view, NULL, 71), 1);
	cr_expect_eq(
	    ct_job_heartbeat(fixture.view, first.id, first.token, 99), CT_ERROR_LEASE_LOST);
	const struct ct_job_row second = claim(71);
	cr_expect_eq(second.token, 2);
	cr_expect_eq(second.attempts, 2);

	const char *id = first.id;
	cr_expect_eq(ct_job_heartbeat(fixture.view, id, first.token, 99), CT_ERROR_LEASE_LOST);
	cr_expect_eq(ct_job_set_progress(fixture.view, id, first.token, 1), CT_ERROR_LEASE_LOST);
	cr_expect_eq(ct_job_requeue(fixture.view, id, first.token, 1, NULL), CT_ERROR_LEASE_LOST);
	cr_expect_eq(ct_job_end(fixture.view, id, first.token, CT_JOB_SUCCEEDED, "{}", NULL, 80),
	    CT_ERROR_LEASE_LOST);
	cr_expect_eq(ct_job_set_progress(fixture.view, id, second.token, 0.5), 0);
	cr_expect_eq(get(1).progress, 0.5);
	cr_expect_eq(get(1).version, second.version + 1);
	cr_expect_eq(
	    ct_job_end(fixture.view, id, second.token, CT_JOB_SUCCEEDED, "{}", NULL, 80), 0);
	cr_expect_eq(ct_job_end(fixture.view, id, second.token, CT_JOB_SUCCEEDED, "{}", NULL, 80),
	    CT_ERROR_LEASE_LOST);
	cr_expect_eq(ct_job_heartbeat(fixture.view, id, second.token, 99), CT_ERROR_LEASE_LOST);
}

RowsTest(metadata_jobs, an_ended_job_has_a_response_or_an_error)
{
	struct ct_job_row row = { 0 };
	insert_job(1, 10);
	const struct ct_job_row first = claim(10);
	cr_assert_eq(ct_job_requeue(fixture.view, first.id, first.token, 20, "{\"e\":1}"), 0);
	cr_assert_eq(ct_job_get(fixture.view, first.id, &row), 0);
	cr_expect_eq(row.state, CT_JOB_QUEUED);
	cr_expect_eq(row.run_at, 20);
	cr_expect_str_eq(row.error, "{\"e\":1}");
	cr_expect_str_eq(row.owner, "");
	ct_job_row_done(&row);

	const struct ct_job_row second = claim(20);
	cr_assert_eq(ct_job_end(fixture.view, second.id, second.token, CT_JOB_SUCCEEDED,
			 "{\"image\":{}}", NULL, 33),
	    0);
	cr_assert_eq(ct_job_get(fixture.view, first.id, &row), 0);
	cr_expect_eq(row.state, CT_JOB_SUCCEEDED);
	cr_expect_str_eq(row.response, "{\"image\":{}}");
	cr_expect_null(row.error);
	cr_expect_eq(row.finished_at, 33);
	cr_expect_eq(row.progress, 1.0);
	cr_expect_eq(row.version, second.version + 1);
	ct_job_row_done(&row);
}

RowsTest(metadata_jobs, a_queued_job_can_only_be_canceled)
{
	char id[CT_ID_CHARS + 1];
	insert_job(1, 10);
	cr_expect_eq(ct_job_end(fixture.view, id_of(1, id), 0, CT_JOB_SUCCEEDED, "{}", NULL, 11),
	    CT_ERROR_LEASE_LOST);
	cr_expect_eq(
	    ct_job_end(fixture.view, id, 0, CT_JOB_FAILED, NULL, "{}", 11), CT_ERROR_LEASE_LOST);
	cr_expect_eq(ct_job_end(fixture.view, id, 0, CT_JOB_CANCELED, NULL, "{}", 11), 0);
	cr_expect_eq(get(1).state, CT_JOB_CANCELED);
	struct ct_job_row none;
	int64_t next_run_at;
	cr_expect_eq(
	    ct_job_claim(fixture.view, "me", 25, 55, &none, &next_run_at), CT_ERROR_NOT_FOUND);
}

RowsTest(metadata_jobs, what_a_dead_server_held_is_free_at_once)
{
	insert_job(1, 10);
	insert_job(2, 10);
	(void)claim(10);
	struct ct_job_row other = { 0 };
	int64_t next_run_at;
	cr_assert_eq(ct_job_claim(fixture.view, "other", 10, 1000, &other, &next_run_at), 0);
	cr_expect_eq(ct_job_release(fixture.view, "me", 11), 1);
	cr_expect_eq(get(1).state, CT_JOB_QUEUED);
	cr_expect_eq(get(1).run_at, 11);
	cr_expect_eq(get(1).attempts, 1);
	cr_expect_str_eq(get(1).owner, "");
	cr_expect_eq(get(2).state, CT_JOB_RUNNING);
}

static void check_pages(int state, int expected)
{
	struct ct_job_row rows[4];
	char before_id[CT_ID_CHARS + 1] = "";
	int64_t before_at = 0;
	int total = 0;
	int count;
	while ((count = ct_job_list(fixture.view, state, before_at, before_id, rows, 4)) > 0) {
		for (int i = 0; i < count; i++) {
			bool is_older =
			    rows[i].created_at < before_at ||
			    (rows[i].created_at == before_at && strcmp(rows[i].id, before_id) < 0);
			cr_expect(before_id[0] == '\0' || is_older);
			cr_expect(state < 0 || (int)rows[i].state == state);
			before_at = rows[i].created_at;
			memcpy(before_id, rows[i].id, sizeof(before_id));
			ct_job_row_done(&rows[i]);
		}
		total += count;
	}
	cr_expect_eq(count, 0);
	cr_expect_eq(total, expected);
	cr_expect_eq(fixture.view->sorts, 0);
}

RowsTest(metadata_jobs, pages_show_each_job_once_newest_first)
{
	for (int i = 0; i < 30; i++)
		insert_job(i, 100 + i / 5);
	for (int i = 0; i < 10; i++)
		(void)claim(200);
	check_pages(-1, 30);
	check_pages(CT_JOB_QUEUED, 20);
	check_pages(CT_JOB_RUNNING, 10);
	check_pages(CT_JOB_FAILED, 0);
}

RowsTest(metadata_jobs, a_purged_job_is_gone_and_in_the_end_unknown)
{
	const int64_t month = 30 * 24 * 3600 * INT64_C(1000);
	char id[CT_ID_CHARS + 1];
	struct ct_job_row row = { 0 };
	for (int i = 1; i <= 3; i++) {
		insert_job(i, 10);
		row = claim(10);
		cr_assert_eq(
		    ct_job_end(fixture.view, row.id, row.token, CT_JOB_FAILED, NULL, "{}", 50), 0);
	}
	insert_job(4, 10);
	cr_expect_eq(ct_job_purge(fixture.view, 50, 10), 0);
	cr_expect_eq(ct_job_purge(fixture.view, 51, 2), 2);
	cr_expect_eq(ct_job_get(fixture.view, id_of(1, id), &row), CT_ERROR_GONE);
	cr_expect_eq(ct_job_get(fixture.view, id_of(2, id), &row), CT_ERROR_GONE);
	cr_expect_eq(get(3).state, CT_JOB_FAILED);
	cr_expect_eq(get(4).state, CT_JOB_QUEUED);
	cr_expect_eq(ct_job_purge(fixture.view, 50 + month, 10), 1);
	cr_expect_eq(ct_job_get(fixture.view, id_of(1, id), &row), CT_ERROR_GONE);
	cr_expect_eq(ct_job_purge(fixture.view, 51 + month, 10), 0);
	cr_expect_eq(ct_job_get(fixture.view, id_of(1, id), &row), CT_ERROR_NOT_FOUND);
}

RowsTest(metadata_jobs, states_have_names)
{
	cr_expect_str_eq(ct_job_state_name(CT_JOB_QUEUED), "queued");
	cr_expect_str_eq(ct_job_state_name(CT_JOB_CANCELED), "canceled");
}

/* ---- events ---- */

static int64_t last_event_id(void)
{
	ct_cleanup(ct_query_done) struct ct_query query =
	    ct_query_begin(fixture.view, "SELECT max(id) FROM event");
	cr_assert_eq(ct_query_one(&query), 0);
	return ct_query_number(&query);
}

RowsTest(metadata_jobs, ids_of_events_are_never_used_twice)
{
	for (int i = 0; i < 5; i++)
		cr_assert_eq(ct_event_append(fixture.view, "image.ready", "id", "{}", 100 + i), 0);
	cr_expect_eq(last_event_id(), 5);
	cr_expect_eq(ct_event_purge(fixture.view, 103, 2), 2);
	cr_expect_eq(ct_event_purge(fixture.view, 103, 2), 1);
	cr_expect_eq(ct_event_purge(fixture.view, 103, 2), 0);
	cr_expect_eq(ct_event_purge(fixture.view, 200, 10), 2);
	cr_assert_eq(ct_event_append(fixture.view, "image.ready", "id", "{}", 300), 0);
	cr_expect_eq(last_event_id(), 6);
}

/* ---- API keys ---- */

RowsTest(metadata_jobs, api_keys_are_made_listed_and_revoked)
{
	struct ct_api_key_row row = {
		.id = "abcdefgh",
		.secret = digest_of(7),
		.scopes = CT_SCOPE_READ | CT_SCOPE_ADMIN,
		.name = "laptop",
		.created_at = 20,
	};
	struct ct_api_key_row rows[3];
	bool exists = true;
	cr_assert_eq(ct_api_key_exists(fixture.view, &exists), 0);
	cr_expect_not(exists);
	cr_assert_eq(ct_api_key_insert(fixture.view, &row), 0);
	cr_expect_eq(ct_api_key_insert(fixture.view, &row), -EEXIST);
	cr_assert_eq(ct_api_key_get(fixture.view, "abcdefgh", &rows[0]), 0);
	cr_expect_str_eq(rows[0].id, row.id);
	cr_expect(ct_digest_equal(&rows[0].secret, &row.secret));
	cr_expect_eq(rows[0].scopes, row.scopes);
	cr_expect_str_eq(rows[0].name, "laptop");
	cr_expect_eq(rows[0].created_at, 20);
	cr_expect_eq(rows[0].revoked_at, 0);

	memcpy(row.id, "12345678", 9);
	row.created_at = 10;
	cr_assert_eq(ct_api_key_insert(fixture.view, &row), 0);
	cr_assert_eq(ct_api_key_list(fixture.view, rows, 3), 2);
	cr_expect_str_eq(rows[0].id, "12345678");
	cr_expect_eq(ct_api_key_list(fixture.view, rows, 1), 1);
	fixture.view->scanned_rows = 0; /* a list of all keys may scan */

	cr_expect_eq(ct_api_key_revoke(fixture.view, "abcdefgh", 30), 0);
	cr_expect_eq(ct_api_key_revoke(fixture.view, "abcdefgh", 40), 0);
	cr_expect_eq(ct_api_key_revoke(fixture.view, "none", 30), CT_ERROR_NOT_FOUND);
	cr_assert_eq(ct_api_key_get(fixture.view, "abcdefgh", &rows[0]), 0);
	cr_expect_eq(rows[0].revoked_at, 30);
	cr_assert_eq(ct_api_key_exists(fixture.view, &exists), 0);
	cr_expect(exists);
	cr_assert_eq(ct_api_key_revoke(fixture.view, "12345678", 30), 0);
	cr_assert_eq(ct_api_key_exists(fixture.view, &exists), 0);
	cr_expect(exists, "a server that had keys stays closed");
	cr_expect_eq(ct_api_key_get(fixture.view, "none", &rows[0]), CT_ERROR_NOT_FOUND);
}
