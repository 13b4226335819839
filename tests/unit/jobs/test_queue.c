/*
 * The queue on a real database: what a run says becomes the state of its job, once. An effect is a
 * row of a kind of its own, written by a commit, so that a commit that counts can be counted.
 */
#include "support.h"
#include "jobs/jobs_priv.h"
#include "base/clock.h"
#include "calotype/error.h"
#include "metadata/jobs.h"
#include "metrics/metrics.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* What the kind "test" does: the nth run takes the nth result; the last one is repeated. */
static struct script {
	int errors[4];
	_Atomic int runs;
	_Atomic int failed_calls;
	_Atomic int releases;
	_Atomic int commits;
	int commit_errors[4];
	int failed_result;
	_Atomic int retries;
	int retried_result;
	bool final;
	bool no_commit;
	int run_ms;
	int last_failure;
} script;

static struct ct_jobs *jobs;

static int insert_effect(struct ct_metadata_view *view, struct ct_job_outcome *outcome)
{
	struct ct_job_row row = make_job(0, "effect");
	row.run_at = INT64_MAX;
	int commit = atomic_fetch_add(&script.commits, 1);
	cr_assert_eq(ct_id_generate(row.id), 0);
	int r = ct_job_insert(view, &row);
	if (r < 0)
		return r;
	outcome->response = ct_json_object();
	ct_json_set_number(outcome->response, "commit", commit + 1);
	return script.commit_errors[commit < 3 ? commit : 3];
}

static void count_release(void *arg)
{
	cr_assert_eq(arg, &script);
	(void)atomic_fetch_add(&script.releases, 1);
}

static void run_script(struct ct_jobs *of, const struct ct_job_row *job,
    struct ct_job_outcome *ret_outcome, void *context)
{
	(void)of;
	(void)context;
	cr_assert_eq(job->state, CT_JOB_RUNNING);
	int run = atomic_fetch_add(&script.runs, 1);
	sleep_ms(script.run_ms);
	ret_outcome->error = script.errors[run < 3 ? run : 3];
	ret_outcome->final = script.final;
	if (ret_outcome->error < 0)
		(void)snprintf(ret_outcome->detail, sizeof(ret_outcome->detail), "run %d", run + 1);
	if (!script.no_commit)
		ret_outcome->commit = insert_effect;
	ret_outcome->release = count_release;
	ret_outcome->arg = &script;
}

static int count_failed(
    struct ct_metadata_view *view, const struct ct_job_row *job, int error, void *context)
{
	(void)job;
	(void)context;
	cr_assert_not_null(view);
	script.last_failure = error;
	(void)atomic_fetch_add(&script.failed_calls, 1);
	return script.failed_result;
}

static void start_with(const struct ct_job_kind *kind, unsigned workers, int64_t lease_ms)
{
	const struct ct_jobs_options options = {
		.metadata = fixture.metadata,
		.owner = "here",
		.kinds = kind,
		.kind_count = 1,
		.workers = workers,
		.lease_ms = lease_ms,
		.backoff_min_ms = 20,
		.backoff_max_ms = 40,
	};
	cr_assert_eq(ct_jobs_new(&options, &jobs), 0);
	cr_assert_eq(ct_jobs_start(jobs), 0);
}

static const struct ct_job_kind test_kind = {
	.name = "test", .run = run_script, .failed = count_failed
};

static void start(void)
{
	start_with(&test_kind, 2, 0);
}

static void stop(void)
{
	ct_jobs_free(jobs);
	jobs = NULL;
}

static void setup(void)
{
	memset(&script, 0, sizeof(script));
	database_setup();
}

static void put(int number)
{
	const struct ct_job_row row = make_job(number, "test");
	insert_job(&row);
	ct_jobs_wake(jobs);
}

static void expect_error(const struct ct_job_row *row, const char *code, const char *detail)
{
	struct ct_json *json = NULL;
	char type[64];
	cr_assert_not_null(row->error);
	cr_assert_eq(ct_json_parse(ct_slice_from_string(row->error), &json), 0);
	(void)snprintf(type, sizeof(type), "urn:calotype:problem:%s", code);
	cr_expect_str_eq(ct_json_get_text(json, "code"), code);
	cr_expect_str_eq(ct_json_get_text(json, "type"), type);
	cr_expect_not_null(ct_json_get_text(json, "title"));
	cr_expect_eq(
	    ct_json_get_number(json, "status", 0), ct_error_http_status(ct_error_from_code(code)));
	if (detail != NULL)
		cr_expect_str_eq(ct_json_get_text(json, "detail"), detail);
	ct_json_free(json);
}

TestSuite(queue, .init = setup, .fini = database_teardown, .timeout = 60);

Test(queue, succeeds_once_with_its_response)
{
	start();
	put(1);
	struct ct_job_row row = wait_for_job(1, CT_JOB_SUCCEEDED);
	cr_expect_str_eq(row.response, "{\"commit\":1}");
	cr_expect_null(row.error);
	cr_expect_eq(row.attempts, 1);
	cr_expect_gt(row.finished_at, 0);
	ct_job_row_done(&row);
	stop();
	cr_expect_eq(script.runs, 1);
	cr_expect_eq(script.releases, 1);
	cr_expect_eq(count_jobs(CT_JOB_QUEUED, "effect"), 1);
}

Test(queue, response_is_an_object_when_there_is_nothing_to_say)
{
	script.no_commit = true;
	start();
	put(1);
	struct ct_job_row row = wait_for_job(1, CT_JOB_SUCCEEDED);
	cr_expect_str_eq(row.response, "{}");
	ct_job_row_done(&row);
	stop();
}

Test(queue, permanent_error_fails_at_once)
{
	script.errors[0] = CT_ERROR_UNDECODABLE_IMAGE;
	start();
	put(1);
	struct ct_job_row row = wait_for_job(1, CT_JOB_FAILED);
	expect_error(&row, "undecodable_image", "run 1");
	cr_expect_null(row.response);
	cr_expect_eq(row.attempts, 1);
	ct_job_row_done(&row);
	stop();
	cr_expect_eq(script.failed_calls, 1);
	cr_expect_eq(script.last_failure, CT_ERROR_UNDECODABLE_IMAGE);
	cr_expect_eq(script.releases, 1);
	cr_expect_eq(script.commits, 0);
}

Test(queue, retryable_error_is_tried_again)
{
	script.errors[0] = script.errors[1] = CT_ERROR_WORKER_UNAVAILABLE;
	start();
	put(1);
	struct ct_job_row row = wait_for_job(1, CT_JOB_SUCCEEDED);
	cr_expect_eq(row.attempts, 3);
	cr_expect_null(row.error);
	ct_job_row_done(&row);
	stop();
	cr_expect_eq(script.runs, 3);
	cr_expect_eq(script.releases, 3);
	cr_expect_eq(script.failed_calls, 0);
	cr_expect_eq(count_jobs(CT_JOB_QUEUED, "effect"), 1);
}

Test(queue, retries_end_with_the_attempts)
{
	for (int i = 0; i < 4; i++)
		script.errors[i] = CT_ERROR_DATABASE;
	struct ct_job_row job = make_job(1, "test");
	job.max_attempts = 3;
	insert_job(&job);
	start();
	struct ct_job_row row = wait_for_job(1, CT_JOB_FAILED);
	expect_error(&row, "database", "run 3");
	cr_expect_eq(row.attempts, 3);
	ct_job_row_done(&row);
	stop();
	cr_expect_eq(script.runs, 3);
	cr_expect_eq(script.failed_calls, 1);
}

/* An image that was taken must not fail because the disk was full for some minutes. */
Test(queue, what_the_server_lacks_costs_no_attempt)
{
	script.errors[0] = CT_ERROR_INSUFFICIENT_SPACE;
	script.errors[1] = CT_ERROR_STORE_UNHEALTHY;
	script.errors[2] = CT_ERROR_SHUTTING_DOWN;
	struct ct_job_row job = make_job(1, "test");
	job.max_attempts = 1;
	insert_job(&job);
	start();
	struct ct_job_row row = wait_for_job(1, CT_JOB_SUCCEEDED);
	cr_expect_eq(row.attempts, 1);
	ct_job_row_done(&row);
	stop();
	cr_expect_eq(script.runs, 4);
	cr_expect_eq(script.failed_calls, 0);
}

Test(queue, final_error_is_not_tried_again)
{
	script.errors[0] = CT_ERROR_WORKER_CRASHED;
	script.final = true;
	start();
	put(1);
	struct ct_job_row row = wait_for_job(1, CT_JOB_FAILED);
	expect_error(&row, "worker_crashed", "run 1");
	ct_job_row_done(&row);
	stop();
	cr_expect_eq(script.runs, 1);
}

Test(queue, poison_ends_without_a_run)
{
	struct ct_job_row job = make_job(1, "test");
	job.attempts = CT_JOB_MAX_ATTEMPTS;
	insert_job(&job);
	const struct ct_job_row next = make_job(2, "test");
	insert_job(&next);
	start();
	struct ct_job_row row = wait_for_job(1, CT_JOB_FAILED);
	expect_error(&row, "internal", NULL);
	cr_expect_not_null(strstr(row.error, "begun 10 times"));
	ct_job_row_done(&row);
	row = wait_for_job(2, CT_JOB_SUCCEEDED);
	ct_job_row_done(&row);
	stop();
	cr_expect_eq(script.runs, 1, "only the other one");
	cr_expect_eq(script.failed_calls, 1);
}

Test(queue, unknown_kind_fails)
{
	const struct ct_job_row job = make_job(1, "of_tomorrow");
	insert_job(&job);
	start();
	struct ct_job_row row = wait_for_job(1, CT_JOB_FAILED);
	expect_error(&row, "internal", "this server knows no jobs of the kind 'of_tomorrow'");
	ct_job_row_done(&row);
	stop();
	cr_expect_eq(script.failed_calls, 0);
}

Test(queue, deleted_object_cancels)
{
	script.commit_errors[0] = CT_ERROR_NOT_FOUND;
	start();
	put(1);
	struct ct_job_row row = wait_for_job(1, CT_JOB_CANCELED);
	expect_error(&row, "gone", NULL);
	cr_expect_null(row.response);
	ct_job_row_done(&row);
	stop();
	cr_expect_eq(script.failed_calls, 0);
	cr_expect_eq(script.releases, 1);
	cr_expect_eq(count_jobs(CT_JOB_QUEUED, "effect"), 0, "the commit was rolled back");
}

Test(queue, deleted_object_of_a_failed_job_cancels)
{
	script.errors[0] = CT_ERROR_TOO_MANY_PIXELS;
	script.failed_result = CT_ERROR_NOT_FOUND;
	start();
	put(1);
	struct ct_job_row row = wait_for_job(1, CT_JOB_CANCELED);
	expect_error(&row, "gone", NULL);
	ct_job_row_done(&row);
	stop();
}

Test(queue, end_is_written_again_when_the_transaction_fails)
{
	script.commit_errors[0] = script.commit_errors[1] = CT_ERROR_DATABASE;
	start();
	put(1);
	struct ct_job_row row = wait_for_job(1, CT_JOB_SUCCEEDED);
	cr_expect_str_eq(row.response, "{\"commit\":3}");
	cr_expect_eq(row.attempts, 1);
	ct_job_row_done(&row);
	stop();
	cr_expect_eq(script.runs, 1);
	cr_expect_eq(script.releases, 1);
	cr_expect_eq(count_jobs(CT_JOB_QUEUED, "effect"), 1);
}

Test(queue, result_that_cannot_be_written_is_an_error_of_the_run)
{
	for (int i = 0; i < 4; i++)
		script.commit_errors[i] = -EIO;
	struct ct_job_row job = make_job(1, "test");
	job.max_attempts = 1;
	insert_job(&job);
	start();
	struct ct_job_row row = wait_for_job(1, CT_JOB_FAILED);
	expect_error(&row, "internal", "the result could not be written to the database");
	ct_job_row_done(&row);
	stop();
	cr_expect_eq(script.failed_calls, 1);
	cr_expect_eq(count_jobs(CT_JOB_QUEUED, "effect"), 0);
}

Test(queue, waits_for_a_later_job_without_a_wake)
{
	struct ct_job_row job = make_job(1, "test");
	job.run_at += 400;
	insert_job(&job);
	start();
	sleep_ms(200);
	struct ct_job_row row = get_job(1);
	cr_expect_eq(row.state, CT_JOB_QUEUED);
	ct_job_row_done(&row);
	row = wait_for_job(1, CT_JOB_SUCCEEDED);
	cr_expect_geq(row.started_at, job.run_at);
	cr_expect_lt(row.started_at, job.run_at + 1000);
	ct_job_row_done(&row);
	stop();
}

Test(queue, one_wake_starts_all_workers)
{
	script.run_ms = 300;
	start_with(&test_kind, 4, 0);
	sleep_ms(50);
	for (int i = 1; i <= 4; i++) {
		const struct ct_job_row row = make_job(i, "test");
		insert_job(&row);
	}
	int64_t began = ct_clock_monotonic_ms();
	ct_jobs_wake(jobs);
	for (int i = 1; i <= 4; i++) {
		struct ct_job_row row = wait_for_job(i, CT_JOB_SUCCEEDED);
		ct_job_row_done(&row);
	}
	cr_expect_lt(ct_clock_monotonic_ms() - began, 900, "at once, not one after the other");
	stop();
}

Test(queue, many_jobs_run_once_each)
{
	start_with(&test_kind, 8, 0);
	for (int i = 1; i <= 100; i++)
		put(i);
	for (int i = 1; i <= 100; i++) {
		struct ct_job_row row = wait_for_job(i, CT_JOB_SUCCEEDED);
		cr_expect_eq(row.attempts, 1);
		ct_job_row_done(&row);
	}
	stop();
	cr_expect_eq(script.runs, 100);
	cr_expect_eq(count_jobs(CT_JOB_QUEUED, "effect"), 100);
}

/* ---- leases ---- */

Test(queue, long_run_keeps_its_lease)
{
	script.run_ms = 1200;
	start_with(&test_kind, 2, 240);
	put(1);
	struct ct_job_row row = wait_for_job(1, CT_JOB_SUCCEEDED);
	cr_expect_eq(row.attempts, 1);
	ct_job_row_done(&row);
	stop();
	cr_expect_eq(script.runs, 1);
}

static struct ct_job_row running_job(int number, const char *owner, int64_t lease_until)
{
	struct ct_job_row row = make_job(number, "test");
	row.state = CT_JOB_RUNNING;
	row.attempts = 1;
	row.token = 1;
	row.lease_until = lease_until;
	(void)snprintf(row.owner, sizeof(row.owner), "%s", owner);
	return row;
}

Test(queue, what_this_server_held_runs_again_at_once)
{
	const struct ct_job_row job = running_job(1, "here", ct_clock_wall_ms() + 3600000);
	insert_job(&job);
	start();
	struct ct_job_row row = wait_for_job(1, CT_JOB_SUCCEEDED);
	cr_expect_eq(row.attempts, 2);
	ct_job_row_done(&row);
	stop();
}

Test(queue, what_another_server_held_runs_again_when_its_lease_is_over)
{
	int64_t now = ct_clock_wall_ms();
	start_with(&test_kind, 2, 300);
	const struct ct_job_row over = running_job(1, "there", now - 1);
	const struct ct_job_row held = running_job(2, "there", now + 3600000);
	insert_job(&over);
	insert_job(&held);
	struct ct_job_row row = wait_for_job(1, CT_JOB_SUCCEEDED);
	cr_expect_eq(row.attempts, 2);
	ct_job_row_done(&row);
	row = get_job(2);
	cr_expect_eq(row.state, CT_JOB_RUNNING);
	ct_job_row_done(&row);
	stop();
}

static int release_all(struct ct_metadata_view *view, void *arg)
{
	return ct_job_release(view, arg != NULL ? arg : "here", ct_clock_wall_ms());
}

/* The first run loses its lease, and ends only after the second one has ended. */
static void run_and_lose(struct ct_jobs *of, const struct ct_job_row *job,
    struct ct_job_outcome *ret_outcome, void *context)
{
	(void)of;
	run_script(of, job, ret_outcome, context);
	if (job->attempts > 1)
		return;
	write_database(release_all, NULL);
	ct_jobs_wake(jobs);
	struct ct_job_row row = wait_for_job(1, CT_JOB_SUCCEEDED);
	cr_expect_eq(row.attempts, 2);
	ct_job_row_done(&row);
}

Test(queue, run_that_lost_its_lease_changes_nothing)
{
	const struct ct_job_kind kind = {
		.name = "test", .run = run_and_lose, .failed = count_failed
	};
	start_with(&kind, 2, 0);
	put(1);
	while (atomic_load(&script.releases) < 2)
		sleep_ms(5);
	struct ct_job_row row = get_job(1);
	cr_expect_eq(row.state, CT_JOB_SUCCEEDED);
	cr_expect_str_eq(row.response, "{\"commit\":1}", "of the second run");
	ct_job_row_done(&row);
	stop();
	cr_expect_eq(script.runs, 2);
	cr_expect_eq(script.commits, 2);
	cr_expect_eq(count_jobs(CT_JOB_QUEUED, "effect"), 1);
}

/* ---- the rest ---- */

static void run_with_progress(struct ct_jobs *of, const struct ct_job_row *job,
    struct ct_job_outcome *ret_outcome, void *context)
{
	(void)ret_outcome;
	(void)context;
	struct ct_job_row row = get_job(1);
	cr_expect_eq(ct_jobs_overlay(of, &row), 0);
	cr_expect_eq(row.progress, 0);
	ct_jobs_set_progress(of, job, 0.25);
	ct_jobs_set_progress(of, job, 0.5);
	ct_jobs_set_progress(of, job, 0.5);
	cr_expect_eq(row.version, 2, "no commit for it");
	cr_expect_eq(ct_jobs_overlay(of, &row), 2, "what has not changed is no step");
	cr_expect_eq(row.progress, 0.5);
	ct_job_row_done(&row);
	sleep_ms(script.run_ms);
	row = get_job(1);
	cr_expect_eq(row.progress, script.run_ms > 0 ? 0.5 : 0, "a heartbeat took it along");
	cr_expect_eq(row.version, script.run_ms > 0 ? 3 : 2, "once");
	ct_job_row_done(&row);
}

static const struct ct_job_kind progress_kind = { .name = "test", .run = run_with_progress };

Test(queue, progress_is_in_memory)
{
	start_with(&progress_kind, 1, 0);
	put(1);
	struct ct_job_row row = wait_for_job(1, CT_JOB_SUCCEEDED);
	cr_expect_eq(row.progress, 1.0);
	cr_expect_eq(ct_jobs_overlay(jobs, &row), 0);
	ct_job_row_done(&row);
	stop();
}

Test(queue, progress_is_taken_along_by_a_heartbeat)
{
	script.run_ms = 400;
	start_with(&progress_kind, 1, 240);
	put(1);
	struct ct_job_row row = wait_for_job(1, CT_JOB_SUCCEEDED);
	ct_job_row_done(&row);
	stop();
}

static void wait_for_runs(int runs)
{
	for (int i = 0; i < 2000 && atomic_load(&script.runs) < runs; i++)
		sleep_ms(5);
	cr_assert_eq(script.runs, runs);
}

/* ---- figures ---- */

static struct ct_job_figures figures(void)
{
	struct ct_job_figures figures;
	cr_assert_eq(ct_jobs_figures(jobs, &figures), 0);
	return figures;
}

static int insert_and_fail(struct ct_metadata_view *view, void *arg)
{
	struct ct_job_row row = make_job(77, "test");
	(void)arg;
	return ct_job_insert(view, &row) < 0 ? -EINVAL : -EIO;
}

/* The count is of memory: each way in and out of the queue must be in it. */
Test(queue, figures_follow_the_queue)
{
	char id[CT_ID_CHARS + 1];
	struct ct_job_row row = { 0 };
	struct ct_job_row late = make_job(1, "test");
	late.run_at += 3600000;
	insert_job(&late);
	const struct ct_job_row held = running_job(2, "there", ct_clock_wall_ms() + 3600000);
	insert_job(&held);
	ct_metadata_close(fixture.metadata);
	open_database(); /* counted anew */
	script.run_ms = 300;
	script.no_commit = true; /* its effects are rows in the queue, too */
	start_with(&test_kind, 1, 0);
	cr_expect_eq(figures().queued, 1);
	cr_expect_eq(figures().oldest_due_ms, 0, "it is due later");
	cr_expect_eq(figures().running, 0);
	put(3);
	wait_for_runs(1);
	put(4);
	put(5);
	sleep_ms(50);
	struct ct_job_figures busy = figures();
	cr_expect_eq(busy.queued, 3);
	cr_expect_eq(busy.running, 1);
	cr_expect_geq(busy.oldest_due_ms, 40);
	cr_expect_lt(busy.idle_ms, 300);
	cr_expect_eq(ct_metadata_write(fixture.metadata, insert_and_fail, NULL), -EIO);
	cr_expect_eq(figures().queued, 3, "what was rolled back does not count");
	write_database(release_all, (void *)(uintptr_t) "there");
	cr_expect_eq(figures().queued, 4);
	cr_assert_eq(ct_jobs_cancel(jobs, id_of(5, id), &row), 0);
	ct_job_row_done(&row);
	cr_expect_eq(figures().queued, 3);
	cr_assert_eq(ct_jobs_retry(jobs, id, &row), 0);
	ct_job_row_done(&row);
	cr_expect_eq(figures().queued, 4);
	for (int number = 2; number <= 5; number++) {
		row = wait_for_job(number, CT_JOB_SUCCEEDED);
		ct_job_row_done(&row);
	}
	cr_expect_eq(figures().queued, 1);
	stop();
}

/* Back into the queue with an error, twice, once without a cost. */
Test(queue, figures_follow_what_is_tried_again)
{
	uint64_t retried = ct_metrics_count(CT_METRIC_JOBS_RETRIED);
	uint64_t succeeded = ct_metrics_count(CT_METRIC_JOBS_SUCCEEDED);
	uint64_t timed = ct_metrics_count(CT_METRIC_JOB_TIME);
	script.errors[0] = CT_ERROR_WORKER_UNAVAILABLE;
	script.errors[1] = CT_ERROR_STORE_UNHEALTHY;
	start();
	put(1);
	struct ct_job_row row = wait_for_job(1, CT_JOB_SUCCEEDED);
	ct_job_row_done(&row);
	cr_expect_eq(figures().queued, 1, "only the effect's row");
	stop();
	cr_expect_eq(ct_metrics_count(CT_METRIC_JOBS_RETRIED), retried + 2);
	cr_expect_eq(ct_metrics_count(CT_METRIC_JOBS_SUCCEEDED), succeeded + 1);
	cr_expect_eq(ct_metrics_count(CT_METRIC_JOB_TIME), timed + 3);
}

/* ---- cancel and retry ---- */

static _Atomic int cuts;
static _Atomic int discards;

static void count_cut(void *arg)
{
	cr_assert_eq(arg, &script);
	(void)atomic_fetch_add(&cuts, 1);
}

static void count_discard(void *arg)
{
	cr_assert_eq(arg, &script);
	(void)atomic_fetch_add(&discards, 1);
}

/* Runs until it is cut off, and then claims to have succeeded. */
static void run_until_cut(struct ct_jobs *of, const struct ct_job_row *job,
    struct ct_job_outcome *ret_outcome, void *context)
{
	(void)context;
	int before = atomic_load(&cuts);
	cr_expect(ct_jobs_set_cut_off(of, job, count_cut, &script));
	(void)atomic_fetch_add(&script.runs, 1);
	for (int i = 0; i < 2000 && atomic_load(&cuts) == before; i++)
		sleep_ms(5);
	cr_expect_not(ct_jobs_set_cut_off(of, job, NULL, NULL), "it knows");
	ret_outcome->commit = insert_effect;
	ret_outcome->release = count_release;
	ret_outcome->discard = count_discard;
	ret_outcome->arg = &script;
}

static int cancel(int number)
{
	char id[CT_ID_CHARS + 1];
	struct ct_job_row row = { 0 };
	int r = ct_jobs_cancel(jobs, id_of(number, id), &row);
	cr_expect(r < 0 || row.state == CT_JOB_CANCELED);
	ct_job_row_done(&row);
	return r;
}

static int retry(int number)
{
	char id[CT_ID_CHARS + 1];
	struct ct_job_row row = { 0 };
	int r = ct_jobs_retry(jobs, id_of(number, id), &row);
	cr_expect(r < 0 || row.state == CT_JOB_QUEUED);
	ct_job_row_done(&row);
	return r;
}

Test(queue, canceled_run_is_cut_off_and_has_no_effect)
{
	const struct ct_job_kind kind = {
		.name = "test", .run = run_until_cut, .failed = count_failed
	};
	start_with(&kind, 1, 0);
	put(1);
	wait_for_runs(1);
	cr_expect_eq(cancel(1), 0);
	cr_expect_eq(cancel(1), CT_ERROR_JOB_ENDED);
	put(2); /* the only worker is free again */
	wait_for_runs(2);
	cr_expect_eq(cancel(2), 0);
	stop();
	struct ct_job_row row = get_job(1);
	cr_expect_eq(row.state, CT_JOB_CANCELED);
	expect_error(&row, "canceled", NULL);
	cr_expect_gt(row.finished_at, 0);
	ct_job_row_done(&row);
	cr_expect_eq(count_jobs(CT_JOB_QUEUED, "effect"), 0);
	cr_expect_eq(cuts, 2);
	cr_expect_eq(discards, 2);
	cr_expect_eq(script.releases, 2);
	cr_expect_eq(script.failed_calls, 2);
	cr_expect_eq(script.last_failure, CT_ERROR_CANCELED);
}

Test(queue, canceled_before_its_run_never_runs)
{
	struct ct_job_row job = make_job(1, "test");
	job.run_at += 3600000;
	insert_job(&job);
	start();
	cr_expect_eq(cancel(1), 0);
	cr_expect_eq(cancel(2), CT_ERROR_NOT_FOUND);
	stop();
	cr_expect_eq(script.runs, 0);
	cr_expect_eq(script.failed_calls, 1);
}

Test(queue, run_that_lost_its_lease_is_cut_off)
{
	const struct ct_job_kind kind = { .name = "test", .run = run_until_cut };
	start_with(&kind, 1, 240);
	put(1);
	wait_for_runs(1);
	write_database(release_all, NULL);
	wait_for_runs(2);
	cr_expect_eq(cancel(1), 0);
	stop();
	cr_expect_eq(cuts, 2);
}

static int count_retried(struct ct_metadata_view *view, const struct ct_job_row *job, void *context)
{
	(void)job;
	(void)context;
	cr_assert_not_null(view);
	(void)atomic_fetch_add(&script.retries, 1);
	return script.retried_result;
}

Test(queue, failed_job_can_be_retried_with_all_its_attempts)
{
	const struct ct_job_kind kind = {
		.name = "test", .run = run_script, .failed = count_failed, .retried = count_retried
	};
	script.errors[0] = CT_ERROR_UNDECODABLE_IMAGE;
	start_with(&kind, 1, 0);
	put(1);
	struct ct_job_row row = wait_for_job(1, CT_JOB_FAILED);
	int64_t version = row.version;
	ct_job_row_done(&row);
	script.retried_result = CT_ERROR_NOT_FOUND;
	cr_expect_eq(retry(1), CT_ERROR_GONE, "there is nothing to do it for");
	script.retried_result = 0;
	cr_expect_eq(retry(1), 0);
	row = wait_for_job(1, CT_JOB_SUCCEEDED);
	cr_expect_eq(row.attempts, 1);
	cr_expect_null(row.error);
	cr_expect_eq(row.version, version + 3, "queued, running, succeeded");
	ct_job_row_done(&row);
	cr_expect_eq(retry(1), CT_ERROR_JOB_NOT_FAILED);
	cr_expect_eq(retry(2), CT_ERROR_NOT_FOUND);
	stop();
	cr_expect_eq(script.runs, 2);
	cr_expect_eq(script.retries, 2);
}

Test(queue, stop_waits_for_what_runs)
{
	script.run_ms = 300;
	start();
	put(1);
	struct ct_job_row row = wait_for_job(1, CT_JOB_RUNNING);
	ct_job_row_done(&row);
	put(2);
	put(3);
	cr_expect_eq(ct_jobs_stop(jobs, 20), -ETIMEDOUT);
	cr_expect_eq(ct_jobs_stop(jobs, 5000), 0);
	row = get_job(1);
	cr_expect_eq(row.state, CT_JOB_SUCCEEDED);
	ct_job_row_done(&row);
	stop();
	cr_expect_eq(count_jobs(CT_JOB_RUNNING, "test"), 0);
	cr_expect_geq(count_jobs(CT_JOB_QUEUED, "test"), 1, "nothing more was claimed");
}

Test(queue, backoff_doubles_up_to_its_maximum)
{
	const struct ct_jobs plan = { .backoff_min_ms = 1000, .backoff_max_ms = 30000 };
	const int64_t expected[] = { 1000, 2000, 4000, 8000, 16000, 30000, 30000 };
	for (int attempt = 1; attempt <= 7; attempt++) {
		for (int i = 0; i < 100; i++) {
			int64_t delay = ct_jobs_backoff_ms(&plan, attempt);
			cr_assert_leq(delay, expected[attempt - 1]);
			cr_assert_geq(delay, expected[attempt - 1] * 3 / 4);
		}
	}
	cr_expect_leq(ct_jobs_backoff_ms(&plan, 1000000), 30000);
}
