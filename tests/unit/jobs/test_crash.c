/*
 * kill -9 in the middle of a run: each life of the server is a process of its own, ended by the
 * test as soon as it says that the job runs. The database is only opened after the fork.
 */
#include "support.h"
#include "metadata/jobs.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int running_fd;
static _Atomic int runs;
static _Atomic int failed_calls;

static void run_forever(struct ct_jobs *of, const struct ct_job_row *job,
    struct ct_job_outcome *ret_outcome, void *context)
{
	(void)of;
	(void)job;
	(void)ret_outcome;
	(void)context;
	if (write(running_fd, "r", 1) != 1)
		_exit(1);
	for (;;)
		(void)pause();
}

static int write_effect(struct ct_metadata_view *view, struct ct_job_outcome *outcome)
{
	(void)outcome;
	struct ct_job_row row = make_job(0, "effect");
	row.run_at = INT64_MAX;
	int r = ct_id_generate(row.id);
	return r < 0 ? r : ct_job_insert(view, &row);
}

static void run_well(struct ct_jobs *of, const struct ct_job_row *job,
    struct ct_job_outcome *ret_outcome, void *context)
{
	(void)of;
	(void)job;
	(void)context;
	(void)atomic_fetch_add(&runs, 1);
	ret_outcome->commit = write_effect;
}

static int count_failed(
    struct ct_metadata_view *view, const struct ct_job_row *job, int error, void *context)
{
	(void)view;
	(void)job;
	(void)error;
	(void)context;
	(void)atomic_fetch_add(&failed_calls, 1);
	return 0;
}

static struct ct_jobs *start(const struct ct_job_kind *kind)
{
	struct ct_jobs *jobs = NULL;
	const struct ct_jobs_options options = {
		.metadata = fixture.metadata,
		.owner = "here",
		.kinds = kind,
		.kind_count = 1,
	};
	cr_assert_eq(ct_jobs_new(&options, &jobs), 0);
	cr_assert_eq(ct_jobs_start(jobs), 0);
	return jobs;
}

_Noreturn static void live(bool first, int max_attempts)
{
	static const struct ct_job_kind kind = {
		.name = "test", .run = run_forever, .failed = NULL
	};
	open_database();
	if (first) {
		struct ct_job_row row = make_job(1, "test");
		row.max_attempts = max_attempts;
		insert_job(&row);
	}
	(void)start(&kind);
	for (;;)
		(void)pause();
}

/* False: the job was not run within two seconds. */
static bool live_and_die(bool first, int max_attempts)
{
	int pipes[2];
	char byte;
	cr_assert_eq(pipe(pipes), 0);
	pid_t pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		running_fd = pipes[1];
		live(first, max_attempts);
	}
	cr_assert_eq(close(pipes[1]), 0);
	ssize_t got = read(pipes[0], &byte, 1);
	cr_assert_eq(kill(pid, SIGKILL), 0);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	cr_assert_eq(close(pipes[0]), 0);
	return got == 1;
}

TestSuite(crash, .init = directory_setup, .fini = database_teardown, .timeout = 60);

Test(crash, killed_job_runs_again_and_ends_once)
{
	static const struct ct_job_kind kind = {
		.name = "test", .run = run_well, .failed = count_failed
	};
	cr_assert(live_and_die(true, CT_JOB_MAX_ATTEMPTS));
	cr_assert(live_and_die(false, CT_JOB_MAX_ATTEMPTS));
	open_database();
	struct ct_job_row row = get_job(1);
	cr_expect_eq(row.state, CT_JOB_RUNNING, "as the dead server left it");
	ct_job_row_done(&row);
	struct ct_jobs *jobs = start(&kind);
	row = wait_for_job(1, CT_JOB_SUCCEEDED);
	cr_expect_eq(row.attempts, 3);
	ct_job_row_done(&row);
	ct_jobs_free(jobs);
	cr_expect_eq(runs, 1);
	cr_expect_eq(count_jobs(CT_JOB_QUEUED, "effect"), 1);
}

Test(crash, job_that_kills_the_server_ends_as_failed)
{
	static const struct ct_job_kind kind = {
		.name = "test", .run = run_well, .failed = count_failed
	};
	for (int i = 0; i < 3; i++)
		cr_assert(live_and_die(i == 0, 3));
	open_database();
	struct ct_jobs *jobs = start(&kind);
	struct ct_job_row row = wait_for_job(1, CT_JOB_FAILED);
	cr_expect_not_null(strstr(row.error, "begun 3 times"));
	ct_job_row_done(&row);
	ct_jobs_free(jobs);
	cr_expect_eq(runs, 0);
	cr_expect_eq(failed_calls, 1);
}
