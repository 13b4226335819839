/* What /readyz says of the queue of jobs; the rest is asked of a real server in the scenarios. */
#include "support.h"
#include "base/clock.h"
#include "calotype/blob_open.h"
#include "jobs/jobs_priv.h"
#include "operations/operations_priv.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct ct_operations operations;
static struct ct_jobs *jobs;

static void setup(void)
{
	database_setup();
	const struct ct_jobs_options options = { .metadata = fixture.metadata, .owner = "here" };
	cr_assert_eq(ct_jobs_new(&options, &jobs), 0);
	operations.options.metadata = fixture.metadata;
	operations.options.jobs = jobs;
	cr_assert_eq(ct_blob_store_open_memory(1 << 20, &operations.options.store), 0);
}

static void teardown(void)
{
	ct_blob_store_close(operations.options.store);
	ct_jobs_free(jobs);
	database_teardown();
}

TestSuite(health, .init = setup, .fini = teardown, .timeout = 60);

/* What it says of the jobs, or NULL when they are well, as all else is. Malloc'd. */
static char *complaint(void)
{
	struct ct_json *checks = ct_json_array();
	bool ready = ct_operations_check(&operations, checks);
	struct ct_json *check = ct_json_at(checks, 3);
	char *text = NULL;
	cr_assert_str_eq(ct_json_get_text(check, "name"), "jobs");
	cr_expect_eq(ct_json_get_bool(check, "ok", false), ready);
	if (!ready)
		text = strdup(ct_json_get_text(check, "detail"));
	ct_json_free(check);
	ct_json_free(checks);
	return text;
}

static void insert_due_since(int64_t ago_ms)
{
	struct ct_job_row row = make_job(1, "test");
	row.run_at = ct_clock_wall_ms() - ago_ms;
	insert_job(&row);
}

Test(health, empty_queue_is_well)
{
	jobs->moved_at_ms -= 3600000;
	cr_expect_null(complaint());
}

Test(health, queue_that_moves_is_well)
{
	insert_due_since(3600000);
	cr_expect_null(complaint());
}

Test(health, job_that_is_due_later_is_well)
{
	insert_due_since(-3600000);
	jobs->moved_at_ms -= 3600000;
	cr_expect_null(complaint());
}

Test(health, queue_that_stands_still_is_not)
{
	insert_due_since(61000);
	jobs->moved_at_ms -= 61000;
	char *text = complaint();
	cr_assert_not_null(text);
	cr_expect_not_null(strstr(text, "a job has been due for 61"), "%s", text);
	free(text);
}

/* A worker has a deadline of its own, which may be long. */
Test(health, long_run_is_well)
{
	insert_due_since(61000);
	jobs->moved_at_ms -= 61000;
	jobs->slots[0].used = true;
	cr_expect_null(complaint());
	jobs->slots[0].used = false;
}
