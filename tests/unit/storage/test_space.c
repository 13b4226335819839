/*
 * Who may declare how much: with an assumed free space, where the sums must be exact, and on a
 * tmpfs of 16 MiB, where the disk is really full. The second kind needs root and a mount; without
 * them it is skipped.
 */
#include "fixture.h"

#include "calotype/blob_open.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include "storage/disk_priv.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (1ull << 20)
#define PATH_CHARS 256

static struct fixture fixture;
static const uint8_t two_mib[2 * MIB];

static uint64_t blocks_bytes(const char *name)
{
	struct stat status;
	char path[PATH_CHARS];

	path_in(&fixture, name, path, sizeof(path));
	cr_assert_eq(stat(path, &status), 0);
	return (uint64_t)status.st_blocks * 512;
}

static void append_zeros(struct ct_blob_writer *writer, uint64_t length)
{
	static const uint8_t zeros[MIB];

	for (; length >= MIB; length -= MIB)
		append(writer, zeros, MIB);
	append(writer, zeros, length);
}

static int no_fallocate(int fd, int mode, off_t offset, off_t length)
{
	(void)fd;
	(void)mode;
	(void)offset;
	(void)length;
	errno = EOPNOTSUPP;
	return -1;
}

/* As ext4 does: it fails and keeps what it got. */
static int half_fallocate(int fd, int mode, off_t offset, off_t length)
{
	cr_assert_eq(fallocate(fd, mode, offset, length / 2), 0);
	errno = ENOSPC;
	return -1;
}

/* ---- sums over an assumed free space ---- */

static void set_up_assumed(void)
{
	const struct ct_disk_options options = {
		.reserve_bytes = 10 * MIB,
		.window_bytes = 4 * MIB,
		.assumed_free = 100 * MIB,
	};

	fixture_open_disk(&fixture, &options);
}

static void tear_down(void)
{
	fixture_close(&fixture);
}

TestSuite(space, .init = set_up_assumed, .fini = tear_down);

static void check_sums(void)
{
	struct ct_blob_writer *first, *second, *third;

	cr_assert_eq(available(fixture.store), 90 * MIB);
	first = begin(fixture.store, ID_A, 50 * MIB);
	cr_assert_eq(available(fixture.store), 40 * MIB);
	cr_assert_eq(
	    try_begin(fixture.store, ID_B, 40 * MIB + 1, &second), CT_ERROR_INSUFFICIENT_SPACE);
	cr_assert_eq(count_staging(fixture.store), 1);
	second = begin(fixture.store, ID_B, 40 * MIB);
	cr_assert_eq(available(fixture.store), 0);
	cr_assert_eq(try_begin(fixture.store, NULL, 1, &third), CT_ERROR_INSUFFICIENT_SPACE);
	ct_blob_writer_close(begin(fixture.store, NULL, 0));

	append_zeros(first, 3 * MIB);
	cr_assert_eq(available(fixture.store), 0, "a written byte is not counted twice");
	ct_blob_writer_discard(second);
	cr_assert_eq(available(fixture.store), 40 * MIB);
	ct_blob_writer_close(first);
	cr_assert_eq(available(fixture.store), 90 * MIB);
}

Test(space, declared_bytes_are_counted_once)
{
	check_sums();
}

Test(space, declared_bytes_are_counted_without_fallocate)
{
	ct_disk_calls.fallocate = no_fallocate;
	check_sums();
	cr_assert_eq(blocks_bytes("staging/" ID_A), 3 * MIB);
}

Test(space, a_commit_gives_the_reservation_back)
{
	struct ct_blob_committed committed;
	struct ct_blob_writer *writer = begin(fixture.store, NULL, 3 * MIB);

	append_zeros(writer, 3 * MIB);
	cr_assert_eq(ct_blob_writer_commit(writer, &committed), 0);
	cr_assert_eq(available(fixture.store), 90 * MIB);
	ct_blob_writer_close(writer);
	cr_assert_eq(available(fixture.store), 90 * MIB);
}

static void check_windows(bool allocates)
{
	char name[PATH_CHARS], path[PATH_CHARS];
	struct ct_blob_writer *writer = begin(fixture.store, ID_A, CT_BLOB_LENGTH_UNKNOWN);

	cr_assert_eq(available(fixture.store), 86 * MIB);
	append_zeros(writer, 4 * MIB);
	cr_assert_eq(available(fixture.store), 86 * MIB);
	append_zeros(writer, 1);
	cr_assert_eq(available(fixture.store), 82 * MIB);
	if (allocates)
		cr_assert_geq(blocks_bytes("staging/" ID_A), 8 * MIB);
	struct ct_digest digest = commit(writer).digest;
	cr_assert_eq(available(fixture.store), 90 * MIB);
	object_path(&fixture, &digest, path, sizeof(path));
	(void)snprintf(name, sizeof(name), "%s", path + strlen(fixture.directory) + 1);
	cr_assert_leq(blocks_bytes(name), 4 * MIB + 64 * 1024, "trimmed");
}

/* Else the last images before the disk is full would never get theirs. */
Test(space, prints_may_use_the_reserve)
{
	const struct ct_blob_writer_options print = {
		.class = CT_BLOB_PRINT,
		.declared_bytes = 2 * MIB,
	};
	struct ct_blob_writer *original = begin(fixture.store, ID_A, 90 * MIB);
	struct ct_blob_writer *writer;

	cr_assert_eq(try_begin(fixture.store, NULL, 1, &writer), CT_ERROR_INSUFFICIENT_SPACE);
	cr_assert_eq(ct_blob_writer_begin(fixture.store, &print, &writer), 0);
	ct_blob_writer_discard(writer);
	ct_blob_writer_close(original);
}

Test(space, unknown_lengths_reserve_in_windows)
{
	check_windows(true);
}

Test(space, unknown_lengths_are_counted_in_windows_without_fallocate)
{
	ct_disk_calls.fallocate = no_fallocate;
	check_windows(false);
}

Test(space, a_window_that_does_not_fit_ends_the_upload_resumably)
{
	struct ct_blob_writer *writer = begin(fixture.store, ID_A, CT_BLOB_LENGTH_UNKNOWN);
	struct ct_blob_writer *other = begin(fixture.store, ID_B, 85 * MIB);
	struct ct_blob_checkpoint checkpoint;

	append_zeros(writer, 3 * MIB);
	cr_assert_eq(ct_blob_writer_append(writer, two_mib, 2 * MIB), CT_ERROR_INSUFFICIENT_SPACE);
	cr_assert_eq(ct_blob_writer_offset(writer), 3 * MIB);
	cr_assert_eq(available(fixture.store), 2 * MIB, "the rest of the window is given back");
	checkpoint = sync_writer(writer);
	ct_blob_writer_close(writer);
	ct_blob_writer_discard(other);
	cr_assert_eq(
	    try_resume(fixture.store, ID_A, CT_BLOB_LENGTH_UNKNOWN, &checkpoint, &writer), 0);
	append_zeros(writer, 2 * MIB);
	cr_assert_eq(commit(writer).size_bytes, 5 * MIB);
	cr_assert(ct_blob_store_is_healthy(fixture.store));
}

Test(space, a_failed_fallocate_leaves_nothing)
{
	struct ct_blob_writer *writer;

	ct_disk_calls.fallocate = half_fallocate;
	cr_assert_eq(try_begin(fixture.store, ID_A, 8 * MIB, &writer), CT_ERROR_INSUFFICIENT_SPACE);
	cr_assert_eq(try_begin(fixture.store, NULL, 8 * MIB, &writer), CT_ERROR_INSUFFICIENT_SPACE);
	cr_assert_eq(try_begin(fixture.store, ID_A, CT_BLOB_LENGTH_UNKNOWN, &writer),
	    CT_ERROR_INSUFFICIENT_SPACE);
	cr_assert_eq(count_staging(fixture.store), 0);
	cr_assert_eq(available(fixture.store), 90 * MIB);
	cr_assert(ct_blob_store_is_healthy(fixture.store));
}

Test(space, a_failed_fallocate_on_resume_keeps_the_bytes_and_no_more)
{
	struct ct_blob_writer *writer = begin(fixture.store, ID_A, 8 * MIB);
	struct ct_blob_checkpoint checkpoint;

	append_zeros(writer, MIB);
	checkpoint = sync_writer(writer);
	ct_blob_writer_close(writer);
	cr_assert_geq(blocks_bytes("staging/" ID_A), 8 * MIB, "a broken-off upload keeps its room");
	ct_disk_calls.fallocate = half_fallocate;
	cr_assert_eq(try_resume(fixture.store, ID_A, 8 * MIB, &checkpoint, &writer),
	    CT_ERROR_INSUFFICIENT_SPACE);
	cr_assert_leq(blocks_bytes("staging/" ID_A), MIB + 64 * 1024);
	cr_assert_eq(available(fixture.store), 90 * MIB);
	ct_disk_calls.fallocate = fallocate;
	cr_assert_eq(try_resume(fixture.store, ID_A, 8 * MIB, &checkpoint, &writer), 0);
	cr_assert_geq(blocks_bytes("staging/" ID_A), 8 * MIB);
	cr_assert_eq(available(fixture.store), 83 * MIB, "the seven that are to come");
	append_zeros(writer, 7 * MIB);
	cr_assert_eq(commit(writer).size_bytes, 8 * MIB);
}

/* The window is 4 MiB. */
Test(space, no_window_reaches_beyond_what_can_come)
{
	const struct ct_blob_writer_options options = {
		.class = CT_BLOB_ORIGINAL,
		.staging_id = ID_A,
		.declared_bytes = CT_BLOB_LENGTH_UNKNOWN,
		.most_bytes = 5 * MIB,
	};
	struct ct_blob_writer *writer;

	cr_assert_eq(ct_blob_writer_begin(fixture.store, &options, &writer), 0);
	cr_assert_eq(available(fixture.store), 86 * MIB);
	append_zeros(writer, 4 * MIB + 1);
	cr_assert_eq(available(fixture.store), 85 * MIB, "one more, not four");
	append_zeros(writer, MIB - 1);
	cr_assert_eq(available(fixture.store), 85 * MIB);
	/* It is a bound, not a limit. */
	append_zeros(writer, 1);
	cr_assert_eq(available(fixture.store), 82 * MIB);
	cr_assert_eq(commit(writer).size_bytes, 5 * MIB + 1);
	cr_assert_eq(available(fixture.store), 90 * MIB);
}

Test(space, a_window_that_fallocate_refuses_is_given_back)
{
	struct ct_blob_writer *writer = begin(fixture.store, ID_A, CT_BLOB_LENGTH_UNKNOWN);

	append_zeros(writer, 3 * MIB);
	ct_disk_calls.fallocate = half_fallocate;
	cr_assert_eq(
	    ct_blob_writer_append(writer, two_mib, sizeof(two_mib)), CT_ERROR_INSUFFICIENT_SPACE);
	cr_assert_eq(available(fixture.store), 87 * MIB);
	cr_assert_leq(blocks_bytes("staging/" ID_A), 3 * MIB + 64 * 1024);
	ct_disk_calls.fallocate = fallocate;
	append_zeros(writer, 2 * MIB);
	cr_assert_eq(commit(writer).size_bytes, 5 * MIB);
}

Test(space, cutting_a_file_back_reserves_again)
{
	struct ct_blob_writer *writer = begin(fixture.store, ID_A, 8 * MIB);
	struct ct_blob_checkpoint checkpoint;

	append_zeros(writer, MIB);
	checkpoint = sync_writer(writer);
	append_zeros(writer, MIB);
	ct_blob_writer_close(writer);
	cr_assert_eq(try_resume(fixture.store, ID_A, 8 * MIB, &checkpoint, &writer), 0);
	cr_assert_geq(blocks_bytes("staging/" ID_A), 8 * MIB);
	ct_blob_writer_close(writer);
}

/* ---- a disk that is really full ---- */

#define SMALL_BYTES (16 * MIB)

static void close_small(void)
{
	ct_blob_store_close(fixture.store);
}

TestSuite(full, .fini = close_small);

/* A tmpfs of our own, which nobody else sees, so that its free space is ours alone. */
static void open_small(struct fixture *small)
{
	const struct ct_disk_options options = { .reserve_bytes = MIB, .window_bytes = 4 * MIB };

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("small", "/mnt", "tmpfs", 0, "size=16m") < 0)
		cr_skip_test("no mount: %s", strerror(errno));
	*small = (struct fixture){ .directory = "/mnt/data" };
	struct ct_disk_options copy = options;
	copy.directory = small->directory;
	cr_assert_eq(ct_blob_store_open_disk(&copy, &small->store), 0);
}

Test(full, free_space_shrinks_by_what_is_declared_and_no_more)
{
	struct ct_blob_writer *writer, *other;

	open_small(&fixture);
	uint64_t start = available(fixture.store);
	cr_assert(start > 13 * MIB && start <= 15 * MIB);
	writer = begin(fixture.store, ID_A, 10 * MIB);
	cr_assert_eq(available(fixture.store), start - 10 * MIB);
	append_zeros(writer, 4 * MIB);
	cr_assert_eq(available(fixture.store), start - 10 * MIB);
	struct ct_blob_checkpoint checkpoint = sync_writer(writer);
	append_zeros(writer, MIB);
	ct_blob_writer_close(writer);
	cr_assert_eq(available(fixture.store), start - 10 * MIB, "broken off, it keeps its room");

	cr_assert_eq(try_begin(fixture.store, ID_B, start - 10 * MIB + 1, &other),
	    CT_ERROR_INSUFFICIENT_SPACE);
	cr_assert_eq(try_resume(fixture.store, ID_A, 10 * MIB, &checkpoint, &writer), 0);
	cr_assert_eq(available(fixture.store), start - 10 * MIB);
	ct_blob_writer_close(writer);
	cr_assert_eq(try_resume(fixture.store, ID_A, 10 * MIB, &checkpoint, &writer), 0);
	cr_assert_eq(
	    available(fixture.store), start - 10 * MIB, "what is there is not reserved again");
	append_zeros(writer, 6 * MIB);
	struct ct_digest digest = commit(writer).digest;
	cr_assert_eq(available(fixture.store), start - 10 * MIB);
	cr_assert_eq(ct_blob_remove(fixture.store, CT_BLOB_ORIGINAL, &digest), 0);
	cr_assert_eq(available(fixture.store), start);
}

Test(full, written_bytes_leave_the_sum_without_fallocate)
{
	struct ct_blob_writer *writer;

	open_small(&fixture);
	ct_disk_calls.fallocate = no_fallocate;
	uint64_t start = available(fixture.store);
	writer = begin(fixture.store, ID_A, 10 * MIB);
	cr_assert_eq(available(fixture.store), start - 10 * MIB);
	append_zeros(writer, 4 * MIB);
	cr_assert_eq(available(fixture.store), start - 10 * MIB);
	ct_blob_writer_close(writer);
	cr_assert_eq(available(fixture.store), start - 4 * MIB);
}

/* Someone else fills the disk below our reserve. */
static void fill_disk(void)
{
	static const uint8_t zeros[65536];
	int fd = open("/mnt/other", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	cr_assert(fd >= 0);
	while (write(fd, zeros, sizeof(zeros)) > 0)
		continue;
	cr_assert_eq(errno, ENOSPC);
	cr_assert_eq(close(fd), 0);
}

Test(full, a_full_disk_is_not_ill_health)
{
	struct ct_blob_checkpoint checkpoint;
	struct ct_blob_writer *writer, *other;

	open_small(&fixture);
	struct ct_digest digest = put(fixture.store, NULL, "abc", 3).digest;
	ct_disk_calls.fallocate = no_fallocate;
	writer = begin(fixture.store, ID_A, 4 * MIB);
	append_zeros(writer, MIB);
	fill_disk();
	cr_assert_eq(ct_blob_writer_append(writer, two_mib, 2 * MIB), CT_ERROR_INSUFFICIENT_SPACE);
	cr_assert_eq(available(fixture.store), 0);
	cr_assert_eq(try_begin(fixture.store, ID_B, 1, &other), CT_ERROR_INSUFFICIENT_SPACE);
	cr_assert(ct_blob_store_is_healthy(fixture.store));
	cr_assert_eq(ct_blob_writer_offset(writer), MIB);
	checkpoint = sync_writer(writer);
	cr_assert_eq(ct_blob_remove(fixture.store, CT_BLOB_ORIGINAL, &digest), 0,
	    "one can remove from a full disk");
	ct_blob_writer_close(writer);

	cr_assert_eq(unlink("/mnt/other"), 0);
	cr_assert_eq(try_resume(fixture.store, ID_A, 4 * MIB, &checkpoint, &writer), 0);
	append_zeros(writer, 3 * MIB);
	cr_assert_eq(commit(writer).size_bytes, 4 * MIB);
}

/* With the reserve eaten by others, fallocate itself meets the end of the disk. */
Test(full, fallocate_fails_before_a_byte_is_sent)
{
	struct ct_blob_writer *writer;

	open_small(&fixture);
	uint64_t start = available(fixture.store);
	const struct ct_disk_options blind = {
		.directory = "/mnt/data",
		.reserve_bytes = 1,
		.assumed_free = 1ull << 40,
	};
	ct_blob_store_close(fixture.store);
	cr_assert_eq(ct_blob_store_open_disk(&blind, &fixture.store), 0);
	cr_assert_eq(
	    try_begin(fixture.store, ID_A, 64 * MIB, &writer), CT_ERROR_INSUFFICIENT_SPACE);
	cr_assert_eq(
	    try_begin(fixture.store, NULL, 64 * MIB, &writer), CT_ERROR_INSUFFICIENT_SPACE);
	cr_assert_eq(count_staging(fixture.store), 0);
	cr_assert(ct_blob_store_is_healthy(fixture.store));

	const struct ct_disk_options seeing = { .directory = "/mnt/data", .reserve_bytes = MIB };
	ct_blob_store_close(fixture.store);
	cr_assert_eq(ct_blob_store_open_disk(&seeing, &fixture.store), 0);
	cr_assert_eq(available(fixture.store), start, "nothing was kept");
}
