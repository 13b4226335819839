/*
 * The wrapper that fails on demand, and what the generic half makes of a backend's failures.
 */
#include "fixture.h"

#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct fixture fixture;

static void set_up(void)
{
	fixture_open(&fixture, STORE_FAILING);
}

static void tear_down(void)
{
	fixture_close(&fixture);
}

TestSuite(failing, .init = set_up, .fini = tear_down);

Test(failing, only_the_nth_call_fails)
{
	struct ct_blob_writer *writer = begin(fixture.store, NULL, 4);

	ct_failing_plan_set(fixture.plan, CT_FAIL_STAGE_WRITE, 2, -EIO, false);
	append(writer, "a", 1);
	cr_assert_eq(ct_blob_writer_append(writer, "b", 1), -EIO);
	append(writer, "b", 1);
	ct_failing_plan_set(fixture.plan, CT_FAIL_STAGE_WRITE, 1, -EIO, false);
	ct_failing_plan_set(fixture.plan, CT_FAIL_STAGE_WRITE, 0, 0, false);
	append(writer, "cd", 2);
	struct ct_blob_committed committed = commit(writer);
	assert_blob(fixture.store, &committed.digest, "abcd", 4);
}

Test(failing, a_failed_append_has_appended_nothing)
{
	struct ct_blob_writer *writer = begin(fixture.store, ID_A, 6);
	struct ct_blob_checkpoint checkpoint;

	append(writer, "abc", 3);
	ct_failing_plan_set(
	    fixture.plan, CT_FAIL_STAGE_WRITE, 1, CT_ERROR_INSUFFICIENT_SPACE, true);
	cr_assert_eq(ct_blob_writer_append(writer, "xyz", 3), CT_ERROR_INSUFFICIENT_SPACE);
	checkpoint = sync_writer(writer);
	cr_assert_eq(checkpoint.offset, 3);
	ct_blob_writer_close(writer);
	cr_assert_eq(try_resume(fixture.store, ID_A, 6, &checkpoint, &writer), 0);
	append(writer, "def", 3);
	struct ct_blob_committed committed = commit(writer);
	assert_blob(fixture.store, &committed.digest, "abcdef", 6);
}

Test(failing, a_failed_sync_is_final)
{
	struct ct_digest good = put(fixture.store, NULL, "good", 4).digest;
	struct ct_blob_writer *writer = begin(fixture.store, ID_A, 6), *other;
	struct ct_blob_checkpoint checkpoint;

	append(writer, "abc", 3);
	ct_failing_plan_set(fixture.plan, CT_FAIL_STAGE_SYNC, 1, CT_ERROR_STORE_UNHEALTHY, false);
	cr_assert_eq(ct_blob_writer_sync(writer, &checkpoint), CT_ERROR_STORE_UNHEALTHY);
	cr_assert_not(ct_blob_store_is_healthy(fixture.store));
	cr_assert_eq(ct_blob_writer_sync(writer, &checkpoint), CT_ERROR_STORE_UNHEALTHY);
	cr_assert_eq(ct_blob_writer_append(writer, "def", 3), CT_ERROR_STORE_UNHEALTHY);
	cr_assert_eq(try_begin(fixture.store, NULL, 1, &other), CT_ERROR_STORE_UNHEALTHY);
	ct_blob_writer_close(writer);
	assert_blob(fixture.store, &good, "good", 4);
}

Test(failing, a_failed_publish_may_be_tried_again)
{
	struct ct_blob_writer *writer = begin(fixture.store, ID_A, 3);
	struct ct_blob_committed committed;

	append(writer, "abc", 3);
	ct_failing_plan_set(fixture.plan, CT_FAIL_STAGE_PUBLISH, 1, -EIO, false);
	cr_assert_eq(ct_blob_writer_commit(writer, &committed), -EIO);
	cr_assert(ct_blob_store_is_healthy(fixture.store));
	cr_assert_eq(count_staging(fixture.store), 1);
	committed = commit(writer);
	assert_blob(fixture.store, &committed.digest, "abc", 3);
}

/* The answer to a publish is lost, as when the server is killed after it. */
Test(failing, a_publish_whose_answer_is_lost_is_found_at_resume)
{
	struct ct_blob_writer *writer = begin(fixture.store, ID_A, 3);
	struct ct_blob_checkpoint end;
	struct ct_blob_committed committed;

	append(writer, "abc", 3);
	end = sync_writer(writer);
	ct_failing_plan_set(fixture.plan, CT_FAIL_STAGE_PUBLISH, 1, -EIO, true);
	cr_assert_eq(ct_blob_writer_commit(writer, &committed), -EIO);
	ct_blob_writer_close(writer);
	cr_assert_eq(try_resume(fixture.store, ID_A, 3, &end, &writer), 0);
	committed = commit(writer);
	cr_assert(committed.was_present);
	assert_blob(fixture.store, &committed.digest, "abc", 3);
}

Test(failing, each_operation_can_fail_before_and_after)
{
	struct ct_digest digest = put(fixture.store, NULL, "abc", 3).digest;
	struct ct_blob_reader *reader = NULL;
	struct ct_blob_writer *writer;
	char text[4];

	for (int after = 0; after < 2; after++) {
		ct_failing_plan_set(fixture.plan, CT_FAIL_STAGE_OPEN, 1, -EACCES, after);
		cr_assert_eq(try_begin(fixture.store, ID_A, 3, &writer), -EACCES);
		cr_assert_eq(count_staging(fixture.store), (size_t)after);
		ct_failing_plan_set(fixture.plan, CT_FAIL_OBJECT_OPEN, 1, -EACCES, after);
		cr_assert_eq(ct_blob_reader_open(fixture.store, CT_BLOB_ORIGINAL, &digest, &reader),
		    -EACCES);
		cr_assert_eq(
		    ct_blob_reader_open(fixture.store, CT_BLOB_ORIGINAL, &digest, &reader), 0);
		ct_failing_plan_set(fixture.plan, CT_FAIL_OBJECT_READ, 2, -EIO, after);
		cr_assert_eq(ct_blob_reader_read(reader, 0, text, 3), 0);
		cr_assert_eq(ct_blob_reader_read(reader, 0, text, 3), -EIO);
		ct_failing_plan_set(fixture.plan, CT_FAIL_OBJECT_READ, 1, -EIO, after);
		cr_assert_eq(ct_blob_reader_verify(reader), -EIO);
		ct_blob_reader_close(reader);
		ct_failing_plan_set(fixture.plan, CT_FAIL_OBJECT_REMOVE, 1, -EROFS, after);
		cr_assert_eq(ct_blob_remove(fixture.store, CT_BLOB_ORIGINAL, &digest), -EROFS);
		cr_assert_eq(is_present(fixture.store, &digest), !after);
	}
}

Test(failing, staging_may_stay_where_it_was_to_be_removed)
{
	for (int after = 0; after < 2; after++) {
		struct ct_blob_writer *writer = begin(fixture.store, ID_A, 3);

		ct_failing_plan_set(fixture.plan, CT_FAIL_STAGE_DISCARD, 1, -EIO, after);
		ct_blob_writer_discard(writer);
		cr_assert_eq(count_staging(fixture.store), (size_t)!after);
		ct_failing_plan_set(fixture.plan, CT_FAIL_STAGING_REMOVE, 1, -EIO, false);
		cr_assert_eq(ct_blob_staging_remove(fixture.store, ID_A), -EIO);
		cr_assert_eq(count_staging(fixture.store), (size_t)!after);
		ct_failing_plan_set(fixture.plan, CT_FAIL_STAGING_REMOVE, 1, -EIO, true);
		cr_assert_eq(ct_blob_staging_remove(fixture.store, ID_A), -EIO);
		cr_assert_eq(count_staging(fixture.store), (size_t)0);
	}
}

/* Allows so many operations. */
static int allow_some(void *arg, enum ct_failing_operation operation)
{
	int *left = arg;

	cr_assert(operation < CT_FAIL_OPERATION_COUNT);
	return (*left)-- > 0 ? 0 : -EIO;
}

Test(failing, a_judge_decides_and_the_store_beneath_lives_on)
{
	struct ct_blob_store *judged;
	struct ct_blob_writer *writer;
	int left = 2;

	cr_assert_eq(ct_blob_store_open_judged(fixture.store, allow_some, &left, &judged), 0);
	writer = begin(judged, ID_A, 6);
	append(writer, "abc", 3);
	cr_assert_eq(ct_blob_writer_append(writer, "def", 3), -EIO);
	ct_blob_writer_discard(writer);
	cr_assert_eq(ct_blob_staging_remove(judged, ID_A), -EIO);
	ct_blob_store_close(judged);
	cr_assert_eq(count_staging(fixture.store), (size_t)1);
	cr_assert_eq(ct_blob_staging_remove(fixture.store, ID_A), 0);
}

Test(failing, a_store_may_be_told_to_fall_ill_at_publish)
{
	struct ct_blob_writer *writer = begin(fixture.store, NULL, 3);
	struct ct_blob_committed committed;

	append(writer, "abc", 3);
	ct_failing_plan_set(
	    fixture.plan, CT_FAIL_STAGE_PUBLISH, 1, CT_ERROR_STORE_UNHEALTHY, false);
	cr_assert_eq(ct_blob_writer_commit(writer, &committed), CT_ERROR_STORE_UNHEALTHY);
	cr_assert_eq(ct_blob_writer_commit(writer, &committed), CT_ERROR_STORE_UNHEALTHY);
	cr_assert_not(ct_blob_store_is_healthy(fixture.store));
	ct_blob_writer_close(writer);
}
