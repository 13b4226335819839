/*
 * Writing ahead: which pieces, that they outlive their writer, that they are never the only sync,
 * and that a failure is final.
 */
#include "fixture.h"

#include "calotype/blob_writeout.h"
#include "calotype/error.h"
#include "storage/disk_priv.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define STEP (8 * MIB)

static struct fixture fixture;
static char *bytes;

/* What the replaced calls have seen. */
static struct {
	unsigned count;
	off_t from, length;
	int error; /* to fail with */
	unsigned syncs;
} seen;

static int note_range(int fd, off_t offset, off_t length, unsigned flags)
{
	cr_assert_geq(fcntl(fd, F_GETFD), 0, "the piece has the file open");
	cr_assert_eq(flags, SYNC_FILE_RANGE_WRITE);
	seen.count++;
	seen.from = offset;
	seen.length = length;
	errno = seen.error;
	return seen.error == 0 ? sync_file_range(fd, offset, length, flags) : -1;
}

static int note_fsync(int fd)
{
	seen.syncs++;
	return fsync(fd);
}

static void set_up(void)
{
	fixture_open_disk(&fixture, NULL);
	bytes = malloc(STEP);
	cr_assert_not_null(bytes);
	fill_random(bytes, STEP, 5);
	ct_disk_calls.sync_file_range = note_range;
	ct_disk_calls.fsync = note_fsync;
}

static void tear_down(void)
{
	fixture_close(&fixture);
	free(bytes);
}

TestSuite(writeout, .init = set_up, .fini = tear_down);

static struct ct_blob_writeout *piece_of(struct ct_blob_writer *writer)
{
	struct ct_blob_writeout *piece = NULL;

	cr_assert(ct_blob_writer_writeout(writer, &piece));
	return piece;
}

static bool has_piece(struct ct_blob_writer *writer)
{
	struct ct_blob_writeout *piece = NULL;

	return ct_blob_writer_writeout(writer, &piece);
}

static struct ct_blob_writer *begin_with_step(const char *id)
{
	struct ct_blob_writer *writer = begin(fixture.store, id, CT_BLOB_LENGTH_UNKNOWN);

	append(writer, bytes, STEP);
	return writer;
}

static void assert_range(unsigned count, off_t from, off_t length)
{
	cr_assert_eq(seen.count, count);
	cr_assert_eq(seen.from, from);
	cr_assert_eq(seen.length, length);
}

Test(writeout, pieces_are_whole_steps_and_one_at_a_time)
{
	struct ct_blob_writer *writer = begin(fixture.store, ID_A, CT_BLOB_LENGTH_UNKNOWN);

	append(writer, bytes, STEP - 1);
	cr_assert_not(has_piece(writer));
	append(writer, bytes, 2);
	struct ct_blob_writeout *piece = piece_of(writer);
	append(writer, bytes, STEP);
	append(writer, bytes, STEP);
	cr_assert_not(has_piece(writer), "one is under way");
	ct_blob_writeout_run(piece);
	assert_range(1, 0, STEP);
	ct_blob_writeout_run(piece_of(writer));
	assert_range(2, STEP, 2 * STEP);
	cr_assert_not(has_piece(writer));
	ct_blob_writer_discard(writer);
}

/* The bytes are on their way to the disk, which proves nothing. */
Test(writeout, a_commit_syncs_all_the_same)
{
	struct ct_blob_writer *writer = begin_with_step(NULL);

	ct_blob_writeout_run(piece_of(writer));
	seen.syncs = 0;
	struct ct_digest digest = commit(writer).digest;
	cr_assert_eq(seen.syncs, 2, "the file and its directory");
	assert_blob(fixture.store, &digest, bytes, STEP);
}

Test(writeout, a_piece_outlives_its_writer)
{
	struct ct_blob_writer *kept = begin_with_step(ID_A), *nameless = begin_with_step(NULL);
	struct ct_blob_writeout *of_kept = piece_of(kept), *of_nameless = piece_of(nameless);
	size_t before = count_entries("/proc/self/fd");

	ct_blob_writer_discard(kept);
	struct ct_digest digest = commit(nameless).digest;
	ct_blob_writeout_run(of_kept);
	ct_blob_writeout_run(of_nameless);
	cr_assert_eq(seen.count, 2);
	cr_assert_eq(count_entries("/proc/self/fd"), before - 4, "two files, each open twice");
	cr_assert(ct_blob_store_is_healthy(fixture.store));
	assert_blob(fixture.store, &digest, bytes, STEP);
}

Test(writeout, a_resumed_upload_begins_where_it_was)
{
	struct ct_blob_writer *writer = begin_with_step(ID_A);

	append(writer, bytes, MIB);
	struct ct_blob_checkpoint at = sync_writer(writer);
	ct_blob_writer_close(writer);
	cr_assert_eq(try_resume(fixture.store, ID_A, CT_BLOB_LENGTH_UNKNOWN, &at, &writer), 0);
	cr_assert_not(has_piece(writer), "it is on the disk already");
	append(writer, bytes, STEP);
	ct_blob_writeout_run(piece_of(writer));
	assert_range(1, STEP + MIB, STEP - MIB);
	ct_blob_writer_discard(writer);
}

Test(writeout, at_most_two_hold_up_workers)
{
	struct ct_blob_writer *writers[3];

	for (size_t i = 0; i < 3; i++)
		writers[i] = begin_with_step(NULL);
	struct ct_blob_writeout *first = piece_of(writers[0]), *second = piece_of(writers[1]);
	cr_assert_not(has_piece(writers[2]));
	ct_blob_writeout_run(first);
	ct_blob_writeout_run(piece_of(writers[2]));
	ct_blob_writeout_run(second);
	for (size_t i = 0; i < 3; i++)
		ct_blob_writer_close(writers[i]);
}

Test(writeout, what_is_dropped_is_left_to_the_sync)
{
	struct ct_blob_writer *writer = begin_with_step(NULL);

	ct_blob_writeout_drop(piece_of(writer));
	cr_assert_not(has_piece(writer));
	append(writer, bytes, STEP);
	ct_blob_writeout_run(piece_of(writer));
	assert_range(1, STEP, STEP);
	ct_blob_writer_close(writer);
}

Test(writeout, a_failure_is_final)
{
	struct ct_blob_writer *writer = begin_with_step(NULL);
	struct ct_blob_committed committed;

	seen.error = EIO;
	ct_blob_writeout_run(piece_of(writer));
	cr_assert_not(ct_blob_store_is_healthy(fixture.store));
	cr_assert_eq(ct_blob_writer_append(writer, bytes, 1), CT_ERROR_STORE_UNHEALTHY);
	cr_assert_eq(ct_blob_writer_commit(writer, &committed), CT_ERROR_STORE_UNHEALTHY);
	ct_blob_writer_close(writer);
}

/* Filters of system calls answer so for what they don't know. */
Test(writeout, a_kernel_without_it_is_not_a_failure)
{
	static const int errors[] = { ENOSYS, EPERM };

	for (size_t i = 0; i < 2; i++) {
		struct ct_blob_writer *writer = begin_with_step(NULL);
		seen.error = errors[i];
		ct_blob_writeout_run(piece_of(writer));
		cr_assert(ct_blob_store_is_healthy(fixture.store));
		cr_assert_eq(commit(writer).was_present, i > 0);
	}
}

Test(writeout, prints_and_async_stores_have_none)
{
	const struct ct_disk_options async = { .is_async = true };
	const struct ct_blob_writer_options print = { .class = CT_BLOB_PRINT,
		.declared_bytes = CT_BLOB_LENGTH_UNKNOWN };
	struct ct_blob_writer *writer = NULL;

	cr_assert_eq(ct_blob_writer_begin(fixture.store, &print, &writer), 0);
	append(writer, bytes, STEP);
	cr_assert_not(has_piece(writer));
	ct_blob_writer_close(writer);
	fixture_reopen(&fixture, &async);
	writer = begin_with_step(NULL);
	cr_assert_not(has_piece(writer));
	ct_blob_writer_close(writer);
}
