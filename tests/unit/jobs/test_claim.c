/*
 * What happens to a job between its claim and its run. The test is the worker itself, so that it
 * can stand still there.
 */
#include "support.h"
#include "jobs/jobs_priv.h"
#include "calotype/error.h"
#include "metadata/jobs.h"

#include <criterion/criterion.h>

static struct ct_jobs *jobs;
static int runs;

static void count_run(struct ct_jobs *of, const struct ct_job_row *job,
    struct ct_job_outcome *ret_outcome, void *context)
{
	(void)of;
	(void)job;
	(void)ret_outcome;
	(void)context;
	runs++;
}

static const struct ct_job_kind kind = { .name = "test", .run = count_run };

static void setup(void)
{
	database_setup();
	const struct ct_jobs_options options = {
		.metadata = fixture.metadata,
		.owner = "here",
		.kinds = &kind,
		.kind_count = 1,
		.workers = 1,
	};
	cr_assert_eq(ct_jobs_new(&options, &jobs), 0); /* and not started */
	runs = 0;
}

static void teardown(void)
{
	ct_jobs_free(jobs);
	database_teardown();
}

static void put(int number)
{
	const struct ct_job_row row = make_job(number, "test");
	insert_job(&row);
}

static struct ct_job_row claim(void)
{
	struct ct_job_row row = { 0 };
	int64_t next_run_at;
	cr_assert_eq(ct_jobs_claim(jobs, &row, &next_run_at), 0);
	return row;
}

static void run(struct ct_job_row *claimed)
{
	ct_jobs_run_claimed(jobs, claimed);
	ct_job_row_done(claimed);
}

static void expect_state(int number, enum ct_job_state state)
{
	struct ct_job_row row = get_job(number);
	cr_expect_eq(row.state, state);
	ct_job_row_done(&row);
}

static int release_all(struct ct_metadata_view *view, void *arg)
{
	(void)arg;
	return ct_job_release(view, "here", 1);
}

TestSuite(claim, .init = setup, .fini = teardown, .timeout = 60);

Test(claim, canceled_before_its_slot_is_taken_never_runs)
{
	char id[CT_ID_CHARS + 1];
	struct ct_job_row canceled = { 0 };
	put(1);
	put(2);
	struct ct_job_row claimed = claim();
	cr_assert_eq(ct_jobs_cancel(jobs, id_of(1, id), &canceled), 0);
	ct_job_row_done(&canceled);
	run(&claimed);
	cr_expect_eq(runs, 0);
	expect_state(1, CT_JOB_CANCELED);
	/* The slot is free again. */
	claimed = claim();
	run(&claimed);
	cr_expect_eq(runs, 1);
	expect_state(2, CT_JOB_SUCCEEDED);
}

Test(claim, taken_by_another_before_its_slot_is_taken_runs_once)
{
	put(1);
	struct ct_job_row lost = claim();
	write_database(release_all, NULL);
	struct ct_job_row held = claim();
	run(&lost);
	cr_expect_eq(runs, 0);
	expect_state(1, CT_JOB_RUNNING);
	run(&held);
	cr_expect_eq(runs, 1);
	expect_state(1, CT_JOB_SUCCEEDED);
}
