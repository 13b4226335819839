/* The state machine over a store in memory that fails on demand, and a real database. */
#include "support.h"

#include "base/clock.h"
#include "base/hash.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include "storage/disk_priv.h"
#include "uploads/sniff.h"
#include "uploads/session_priv.h"
#include "metadata/sqlite_priv.h"
#include "metadata/uploads.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CAPACITY ((uint64_t)64 << 20)
#define LENGTH ((size_t)300000)
#define HALF ((size_t)150000)

static const struct ct_uploads_options plain = { 0 };

Test(session, whole_upload_makes_an_image)
{
	struct fixture fixture;
	struct ct_session_start start = {
		.length_bytes = CT_BLOB_LENGTH_UNKNOWN, .filename = "a.png", .key_id = ""
	};
	char *data = make_png(LENGTH, 1);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	struct ct_session *session = session_new(&fixture);
	cr_assert_eq(ct_session_begin_whole(session, &start), 0);
	memcpy(id, ct_session_row(session)->id, sizeof(id));
	cr_assert_eq(ct_session_append(session, data, 1000), 0);
	cr_assert_eq(ct_session_append(session, data + 1000, LENGTH - 1000), 0);
	cr_assert_eq(row_of(&fixture, id).state, CT_UPLOAD_STATE_COUNT, "no row before the end");
	cr_assert_eq(finish(session), 0);
	end(&fixture, session);
	check_image(&fixture, id, data, LENGTH);
	cr_expect_str_eq(row_of(&fixture, id).type, "image/png");
	cr_expect_eq(count_staging(&fixture), 0);
	fixture_close(&fixture);
	free(data);
}

Test(session, small_whole_upload_of_unknown_length)
{
	struct fixture fixture;
	struct ct_session_start start = {
		.length_bytes = CT_BLOB_LENGTH_UNKNOWN, .filename = "", .key_id = ""
	};
	char *data = make_png(200, 1);

	fixture_open(&fixture, &plain, CAPACITY);
	struct ct_session *session = session_new(&fixture);
	cr_assert_eq(ct_session_begin_whole(session, &start), 0);
	for (size_t i = 0; i < 200; i++)
		cr_assert_eq(ct_session_append(session, data + i, 1), 0);
	cr_assert_eq(finish(session), 0);
	cr_expect_str_eq(ct_session_row(session)->type, "image/png");
	end(&fixture, session);

	session = session_new(&fixture);
	cr_assert_eq(ct_session_begin_whole(session, &start), 0);
	cr_assert_eq(finish(session), CT_ERROR_EMPTY_BODY);
	end(&fixture, session);
	fixture_close(&fixture);
	free(data);
}

Test(session, broken_whole_upload_leaves_nothing)
{
	struct fixture fixture;
	struct ct_session_start start = { .length_bytes = LENGTH, .filename = "", .key_id = "" };
	char *data = make_png(LENGTH, 1);
	uint64_t before, after;

	fixture_open(&fixture, &plain, CAPACITY);
	cr_assert_eq(ct_blob_store_available(fixture.store, &before), 0);
	struct ct_session *session = session_new(&fixture);
	cr_assert_eq(ct_session_begin_whole(session, &start), 0);
	cr_assert_eq(ct_session_append(session, data, HALF), 0);
	end(&fixture, session);
	cr_assert_eq(ct_blob_store_available(fixture.store, &after), 0);
	cr_expect_eq(before, after);
	cr_expect_eq(count_staging(&fixture), 0);
	cr_expect_eq(count_images(&fixture), 0);
	fixture_close(&fixture);
	free(data);
}

Test(session, breaks_and_resumes_after_a_restart)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 2);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	break_off(&fixture, data, LENGTH, HALF, id);
	cr_assert_eq(row_of(&fixture, id).at.offset, HALF, "what came is saved");
	cr_assert_eq(row_of(&fixture, id).epoch, 1);
	fixture_restart(&fixture);

	struct ct_session *session = session_new(&fixture);
	cr_assert_eq(open_for(session, id, CT_SESSION_READ, 0, 0), 0);
	cr_expect_eq(ct_session_row(session)->at.offset, HALF);
	end(&fixture, session);
	cr_expect_eq(row_of(&fixture, id).epoch, 1, "reading claims nothing");

	cr_assert_eq(continue_to_end(&fixture, id, data, LENGTH, HALF), 0);
	check_image(&fixture, id, data, LENGTH);
	cr_expect_eq(row_of(&fixture, id).epoch, 2, "the new process took the lease");
	cr_expect_eq(count_staging(&fixture), 0);
	fixture_close(&fixture);
	free(data);
}

Test(session, resumes_on_disk)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 3);
	char id[CT_ID_CHARS + 1];

	fixture_open_disk(&fixture);
	break_off(&fixture, data, LENGTH, HALF, id);
	cr_assert_eq(count_staging(&fixture), 1);
	fixture_restart(&fixture);
	cr_assert_eq(continue_to_end(&fixture, id, data, LENGTH, HALF), 0);
	check_image(&fixture, id, data, LENGTH);
	cr_expect_eq(count_staging(&fixture), 0);
	fixture_close(&fixture);
	free(data);
}

static atomic_int ranges, range_error;

static int note_range(int fd, off_t offset, off_t length, unsigned flags)
{
	int error = atomic_load(&range_error);

	atomic_fetch_add(&ranges, 1);
	errno = error;
	return error == 0 ? sync_file_range(fd, offset, length, flags) : -1;
}

/* The commit pool begins to write while more comes in; what it meets there is final. */
static void send_large(int error, int expected)
{
	struct fixture fixture;
	size_t length = (size_t)20 << 20, piece = (size_t)1 << 20;
	struct ct_session_start start = { .length_bytes = length, .filename = "a.png" };
	char *data = make_png(length, 30);
	char id[CT_ID_CHARS + 1];
	int r = 0;

	atomic_store(&range_error, error);
	ct_disk_calls.sync_file_range = note_range;
	fixture_open_disk(&fixture);
	struct ct_session *session = session_new(&fixture);
	cr_assert_eq(ct_session_begin_whole(session, &start), 0);
	memcpy(id, ct_session_row(session)->id, sizeof(id));
	for (size_t sent = 0; sent < length && r == 0; sent += piece)
		r = ct_session_append(session, data + sent, piece);
	cr_assert(r == 0 || error != 0);
	for (int i = 0; i < 1000 && atomic_load(&ranges) == 0; i++)
		cr_assert_eq(usleep(10000), 0);
	cr_assert_geq(atomic_load(&ranges), 1);
	cr_assert_eq(r < 0 ? r : finish(session), expected);
	end(&fixture, session);
	if (expected == 0)
		check_image(&fixture, id, data, length);
	else
		cr_assert_eq(row_of(&fixture, id).state, CT_UPLOAD_STATE_COUNT);
	fixture_close(&fixture);
	free(data);
}

Test(session, a_large_upload_is_written_out_while_it_comes)
{
	send_large(0, 0);
}

Test(session, a_failed_writeout_ends_in_no_image)
{
	send_large(EIO, CT_ERROR_STORE_UNHEALTHY);
}

Test(session, an_older_process_is_fenced_off)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 2);
	char id[CT_ID_CHARS + 1];
	struct ct_uploads *other;

	fixture_open(&fixture, &plain, CAPACITY);
	break_off(&fixture, data, LENGTH, HALF, id);
	struct ct_session *old = session_new(&fixture);
	cr_assert_eq(open_for(old, id, CT_SESSION_APPEND, HALF, LENGTH - HALF), 0);
	cr_assert_eq(ct_session_append(old, data + HALF, 1000), 0);

	/* Another process with the same name and the same store. */
	struct ct_uploads *mine = fixture.uploads;
	cr_assert_eq(ct_uploads_new(&fixture.options, &other), 0);
	fixture.uploads = other;
	struct ct_session *session = session_new(&fixture);
	cr_assert_eq(open_for(session, id, CT_SESSION_CANCEL, 0, 0), 0);
	end(&fixture, session);
	fixture.uploads = mine;

	cr_expect_eq(save(old), CT_ERROR_LEASE_LOST);
	end(&fixture, old);
	cr_expect_eq(row_of(&fixture, id).at.offset, HALF);
	ct_uploads_free(other);
	fixture_close(&fixture);
	free(data);
}

Test(session, complete_upload_finishes_though_its_connection_broke)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 4);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	break_off(&fixture, data, LENGTH, LENGTH, id);
	check_image(&fixture, id, data, LENGTH);
	fixture_close(&fixture);
	free(data);
}

/* Publishing failed before (`after` false) or after the blob got its name: as a crash there. */
static void crash_at_publish(bool after, enum ct_session_purpose next)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 5);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	break_off(&fixture, data, LENGTH, HALF, id);
	ct_failing_plan_set(fixture.plan, CT_FAIL_STAGE_PUBLISH, 1, -EIO, after);
	cr_assert_eq(continue_to_end(&fixture, id, data, LENGTH, HALF), -EIO);
	cr_assert_eq(row_of(&fixture, id).state, CT_UPLOAD_FINISHING);
	cr_assert_eq(row_of(&fixture, id).at.offset, LENGTH);
	cr_assert_eq(count_images(&fixture), 0);
	cr_assert_eq(count_staging(&fixture), after ? 0 : 1);
	fixture_restart(&fixture);

	if (next == CT_SESSION_EXPIRE) {
		ct_clock_shift_wall_ms(120000);
		cr_assert_eq(ct_uploads_tick(fixture.uploads), 0);
	} else {
		struct ct_session *session = session_new(&fixture);
		cr_assert_eq(open_for(session, id, next, LENGTH, 0), 0);
		cr_expect_eq(ct_session_row(session)->state, CT_UPLOAD_DONE);
		end(&fixture, session);
	}
	check_image(&fixture, id, data, LENGTH);
	cr_expect_eq(count_images(&fixture), 1);
	cr_expect_eq(count_staging(&fixture), 0);
	fixture_close(&fixture);
	free(data);
}

Test(session, finishes_after_a_crash_before_publishing)
{
	crash_at_publish(false, CT_SESSION_READ);
}

Test(session, finishes_after_a_crash_between_blob_and_row)
{
	crash_at_publish(true, CT_SESSION_READ);
}

Test(session, append_finishes_after_a_crash)
{
	crash_at_publish(true, CT_SESSION_APPEND);
}

Test(session, housekeeper_finishes_after_a_crash)
{
	crash_at_publish(true, CT_SESSION_EXPIRE);
}

Test(session, refuses_by_type_after_the_first_64_kib)
{
	struct fixture fixture;
	char *data = make_text(LENGTH);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	struct ct_session *session = session_new(&fixture);
	cr_assert_eq(create(session, LENGTH), 0);
	memcpy(id, ct_session_row(session)->id, sizeof(id));
	cr_assert_eq(ct_session_append(session, data, CT_SNIFF_BYTES - 1), 0);
	cr_assert_eq(
	    ct_session_append(session, data + CT_SNIFF_BYTES - 1, 1), CT_ERROR_UNSUPPORTED_TYPE);
	cr_assert_eq(refuse(session, CT_ERROR_UNSUPPORTED_TYPE), 0);
	end(&fixture, session);

	struct ct_upload_row row = row_of(&fixture, id);
	cr_expect_eq(row.state, CT_UPLOAD_REFUSED);
	cr_expect_eq(row.refusal, CT_ERROR_UNSUPPORTED_TYPE);
	cr_expect_not_null(strstr(row.refusal_detail, "text/plain"));
	cr_expect_not_null(strstr(row.refusal_detail, "image/jpeg"));
	cr_expect_eq(count_staging(&fixture), 0);
	cr_expect_eq(ct_upload_open_count(fixture.metadata), 0);

	session = session_new(&fixture);
	cr_assert_eq(open_for(session, id, CT_SESSION_APPEND, 0, 1), 0);
	cr_expect_eq(ct_session_row(session)->state, CT_UPLOAD_REFUSED);
	end(&fixture, session);
	fixture_close(&fixture);
	free(data);
}

/* The first piece was too small to look at, and the process that had it is gone. */
Test(session, refuses_by_type_when_the_first_bytes_came_in_another_request)
{
	struct fixture fixture;
	char *data = make_text(LENGTH);
	char id[CT_ID_CHARS + 1];
	struct ct_digest digest;
	struct ct_blob_reader *reader;

	fixture_open(&fixture, &plain, CAPACITY);
	break_off(&fixture, data, LENGTH, 1000, id);
	struct ct_session *session = session_new(&fixture);
	cr_assert_eq(open_for(session, id, CT_SESSION_APPEND, 1000, LENGTH - 1000), 0);
	cr_assert_eq(ct_session_append(session, data + 1000, 1000), 0);
	cr_assert_eq(
	    ct_session_append(session, data + 2000, CT_SNIFF_BYTES), CT_ERROR_UNSUPPORTED_TYPE);
	cr_assert_eq(refuse(session, CT_ERROR_UNSUPPORTED_TYPE), 0);
	end(&fixture, session);
	cr_expect_eq(row_of(&fixture, id).state, CT_UPLOAD_REFUSED);
	cr_expect_eq(count_staging(&fixture), 0);
	ct_hash_once(data, LENGTH, &digest);
	cr_expect_eq(ct_blob_reader_open(fixture.store, CT_BLOB_ORIGINAL, &digest, &reader),
	    CT_ERROR_NOT_FOUND);
	fixture_close(&fixture);
	free(data);
}

Test(session, takes_any_type_when_told)
{
	struct fixture fixture;
	struct ct_uploads_options any = { .accept = "*/*" };
	char *data = make_text(LENGTH);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &any, CAPACITY);
	break_off(&fixture, data, LENGTH, HALF, id);
	cr_assert_eq(continue_to_end(&fixture, id, data, LENGTH, HALF), 0);
	check_image(&fixture, id, data, LENGTH);
	cr_expect_str_eq(row_of(&fixture, id).type, "text/plain");
	fixture_close(&fixture);
	free(data);
}

Test(session, refuses_by_size)
{
	struct fixture fixture;
	struct ct_uploads_options small = { .max_file_bytes = 1000 };
	struct ct_session_start start = {
		.length_bytes = CT_BLOB_LENGTH_UNKNOWN, .filename = "", .key_id = ""
	};
	char *data = make_png(LENGTH, 6);

	fixture_open(&fixture, &small, CAPACITY);
	struct ct_session *session = session_new(&fixture);
	cr_assert_eq(ct_session_begin_whole(session, &start), 0);
	cr_expect_eq(ct_session_append(session, data, 1000), 0);
	cr_expect_eq(ct_session_append(session, data, 1), CT_ERROR_TOO_LARGE);
	end(&fixture, session);

	session = session_new(&fixture);
	cr_assert_eq(create(session, 500), 0);
	cr_expect_eq(ct_session_append(session, data, 400), 0);
	cr_expect_eq(ct_session_append(session, data, 101), CT_ERROR_TOO_LARGE);
	cr_expect_eq(ct_session_offset(session), 400);
	char id[CT_ID_CHARS + 1];
	memcpy(id, ct_session_row(session)->id, sizeof(id));
	end(&fixture, session);
	cr_expect_eq(row_of(&fixture, id).at.offset, 400, "what came before is kept");

	session = session_new(&fixture);
	cr_expect_eq(open_for(session, id, CT_SESSION_APPEND, 400, 101), CT_ERROR_TOO_LARGE);
	end(&fixture, session);
	fixture_close(&fixture);
	free(data);
}

Test(session, refuses_by_space)
{
	struct fixture fixture;

	fixture_open(&fixture, &plain, 100000);
	struct ct_session *session = session_new(&fixture);
	cr_assert_eq(create(session, 60000), 0);
	struct ct_session *second = session_new(&fixture);
	cr_expect_eq(create(second, 60000), CT_ERROR_INSUFFICIENT_SPACE);
	ct_session_end(second);
	end(&fixture, session);
	cr_expect_eq(ct_upload_open_count(fixture.metadata), 1);
	cr_expect_eq(count_staging(&fixture), 1);
	fixture_close(&fixture);
}

Test(session, full_disk_keeps_what_came_before)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 7);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	break_off(&fixture, data, LENGTH, HALF, id);
	struct ct_session *session = session_new(&fixture);
	cr_assert_eq(open_for(session, id, CT_SESSION_APPEND, HALF, LENGTH - HALF), 0);
	cr_assert_eq(ct_session_append(session, data + HALF, 1000), 0);
	ct_failing_plan_set(
	    fixture.plan, CT_FAIL_STAGE_WRITE, 1, CT_ERROR_INSUFFICIENT_SPACE, false);
	cr_assert_eq(
	    ct_session_append(session, data + HALF + 1000, 1000), CT_ERROR_INSUFFICIENT_SPACE);
	end(&fixture, session);
	cr_assert_eq(row_of(&fixture, id).at.offset, HALF + 1000);
	cr_assert_eq(continue_to_end(&fixture, id, data, LENGTH, HALF + 1000), 0);
	check_image(&fixture, id, data, LENGTH);
	fixture_close(&fixture);
	free(data);
}

/* Another process has the write lock for longer than the server waits, at each step. */
static void locked_database(struct fixture *fixture, const char *data)
{
	char path[128];
	char id[CT_ID_CHARS + 1];
	struct ct_metadata_view *other = NULL;

	(void)snprintf(path, sizeof(path), "%s/db", fixture->directory);
	break_off(fixture, data, LENGTH, HALF, id);
	cr_assert_eq(ct_connection_open(path, CT_CONNECTION_WRITER, &other), 0);
	cr_assert_eq(ct_connection_execute(other, "BEGIN IMMEDIATE"), 0);
	struct ct_session *session = session_new(fixture);
	cr_expect_eq(create(session, LENGTH), CT_ERROR_DATABASE_BUSY);
	end(fixture, session);
	session = session_new(fixture);
	cr_assert_eq(open_for(session, id, CT_SESSION_APPEND, HALF, LENGTH - HALF), 0);
	cr_assert_eq(ct_session_append(session, data + HALF, 1000), 0);
	cr_expect_eq(save(session), CT_ERROR_DATABASE_BUSY);
	end(fixture, session);
	cr_expect_eq(continue_to_end(fixture, id, data, LENGTH, HALF), CT_ERROR_DATABASE_BUSY);
	cr_expect_eq(count_staging(fixture), 1, "what was refused has left nothing");
	cr_assert_eq(ct_connection_execute(other, "ROLLBACK"), 0);
	ct_connection_close(other);

	cr_expect_eq(row_of(fixture, id).at.offset, HALF);
	cr_assert_eq(continue_to_end(fixture, id, data, LENGTH, HALF), 0);
	check_image(fixture, id, data, LENGTH);
}

Test(session, goes_on_when_the_database_is_free_again)
{
	struct fixture fixture = { .busy_ms = 50 };
	char *data = make_png(LENGTH, 7);

	cr_expect_eq(ct_error_http_status(CT_ERROR_DATABASE_BUSY), 503);
	cr_expect(ct_error_is_retryable(CT_ERROR_DATABASE_BUSY));
	fixture_open(&fixture, &plain, CAPACITY);
	locked_database(&fixture, data);
	fixture_close(&fixture);
	free(data);
}

Test(session, failed_sync_acknowledges_nothing)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 8);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	break_off(&fixture, data, LENGTH, HALF, id);
	struct ct_session *session = session_new(&fixture);
	cr_assert_eq(open_for(session, id, CT_SESSION_APPEND, HALF, 1000), 0);
	cr_assert_eq(ct_session_append(session, data + HALF, 1000), 0);
	ct_failing_plan_set(fixture.plan, CT_FAIL_STAGE_SYNC, 1, -EIO, false);
	cr_expect_eq(save(session), -EIO);
	end(&fixture, session);
	cr_expect_eq(row_of(&fixture, id).at.offset, HALF);
	fixture_close(&fixture);
	free(data);
}

Test(session, checkpoints_within_one_request)
{
	struct fixture fixture;
	size_t length = 2 * CT_SESSION_CHECKPOINT_BYTES;
	char *data = make_png(length, 9);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	struct ct_session *session = session_new(&fixture);
	cr_assert_eq(create(session, length), 0);
	memcpy(id, ct_session_row(session)->id, sizeof(id));
	cr_assert_eq(ct_session_append(session, data, CT_SESSION_CHECKPOINT_BYTES - 1), 0);
	cr_expect_not(ct_session_wants_checkpoint(session));
	cr_assert_eq(ct_session_append(session, data + CT_SESSION_CHECKPOINT_BYTES - 1, 1), 0);
	cr_assert(ct_session_wants_checkpoint(session));
	cr_assert_eq(checkpoint(session), 0);
	cr_expect_not(ct_session_wants_checkpoint(session));
	cr_expect_eq(row_of(&fixture, id).at.offset, CT_SESSION_CHECKPOINT_BYTES);
	cr_assert_eq(ct_session_append(
			 session, data + CT_SESSION_CHECKPOINT_BYTES, CT_SESSION_CHECKPOINT_BYTES),
	    0);
	cr_expect_not(ct_session_wants_checkpoint(session), "the end saves anyway");
	cr_assert_eq(finish(session), 0);
	end(&fixture, session);
	check_image(&fixture, id, data, length);
	fixture_close(&fixture);
	free(data);
}

Test(session, lost_staging_ends_the_upload)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 10);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	break_off(&fixture, data, LENGTH, HALF, id);
	cr_assert_eq(ct_blob_staging_remove(fixture.store, id), 0);
	cr_expect_eq(continue_to_end(&fixture, id, data, LENGTH, HALF), CT_ERROR_STAGING_DAMAGED);
	cr_expect_eq(row_of(&fixture, id).state, CT_UPLOAD_REFUSED);
	fixture_close(&fixture);
	free(data);
}

Test(session, wrong_offset_changes_nothing)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 11);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	break_off(&fixture, data, LENGTH, HALF, id);
	cr_expect_eq(continue_to_end(&fixture, id, data, LENGTH, 0), CT_ERROR_OFFSET_CONFLICT);
	cr_expect_eq(
	    continue_to_end(&fixture, id, data, LENGTH, HALF + 1), CT_ERROR_OFFSET_CONFLICT);
	cr_expect_eq(row_of(&fixture, id).at.offset, HALF);
	cr_expect_eq(continue_to_end(&fixture, "0123456789abcdef0123456789abcdef", data, LENGTH, 0),
	    CT_ERROR_NOT_FOUND);
	cr_expect_eq(continue_to_end(&fixture, "../../etc", data, LENGTH, 0), CT_ERROR_NOT_FOUND);
	fixture_close(&fixture);
	free(data);
}

Test(session, cancel_removes_the_part_but_never_an_image)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 12);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	break_off(&fixture, data, LENGTH, HALF, id);
	struct ct_session *session = session_new(&fixture);
	cr_assert_eq(open_for(session, id, CT_SESSION_CANCEL, 0, 0), 0);
	cr_assert_eq(cancel(session), 0);
	end(&fixture, session);
	cr_expect_eq(row_of(&fixture, id).state, CT_UPLOAD_CANCELED);
	cr_expect_eq(count_staging(&fixture), 0);

	break_off(&fixture, data, LENGTH, LENGTH, id);
	session = session_new(&fixture);
	cr_assert_eq(open_for(session, id, CT_SESSION_CANCEL, 0, 0), 0);
	cr_assert_eq(cancel(session), 0);
	end(&fixture, session);
	cr_expect_eq(row_of(&fixture, id).state, CT_UPLOAD_CANCELED);
	cr_expect_eq(count_images(&fixture), 1);
	fixture_close(&fixture);
	free(data);
}

Test(session, same_bytes_twice_are_two_images_of_one_blob)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 13);
	char first[CT_ID_CHARS + 1], second[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	break_off(&fixture, data, LENGTH, LENGTH, first);
	break_off(&fixture, data, LENGTH, LENGTH, second);
	check_image(&fixture, first, data, LENGTH);
	check_image(&fixture, second, data, LENGTH);
	cr_expect_eq(count_images(&fixture), 2);
	fixture_close(&fixture);
	free(data);
}

Test(session, open_uploads_are_limited)
{
	struct fixture fixture;
	struct ct_uploads_options few = { .max_open_uploads = 2 };
	char *data = make_png(1000, 14);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &few, CAPACITY);
	break_off(&fixture, data, 1000, 10, id);
	cr_expect_not(ct_uploads_is_full(fixture.uploads));
	break_off(&fixture, data, 1000, 10, id);
	cr_expect(ct_uploads_is_full(fixture.uploads));
	cr_assert_eq(continue_to_end(&fixture, id, data, 1000, 10), 0);
	cr_expect_not(ct_uploads_is_full(fixture.uploads));
	fixture_close(&fixture);
	free(data);
}
