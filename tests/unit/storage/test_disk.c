/*
 * What only the disk can do: the data directory, modes, damage and healing, what is synced when,
 * and what a failed sync means.
 */
#include "fixture.h"

#include "base/hash.h"
#include "calotype/blob_open.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include "storage/disk_priv.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_CHARS 256

static struct fixture fixture;

static void set_up(void)
{
	fixture_open_disk(&fixture, NULL);
}

static void tear_down(void)
{
	fixture_close(&fixture);
}

TestSuite(disk, .init = set_up, .fini = tear_down);

static int open_again(struct ct_blob_store **ret_store)
{
	const struct ct_disk_options options = { .directory = fixture.directory };

	return ct_blob_store_open_disk(&options, ret_store);
}

static void write_file(const char *name, const char *text)
{
	char path[PATH_CHARS];

	path_in(&fixture, name, path, sizeof(path));
	FILE *file = fopen(path, "w");
	cr_assert_not_null(file);
	cr_assert(fputs(text, file) >= 0);
	cr_assert_eq(fclose(file), 0);
}

static struct stat status_of(const char *path)
{
	struct stat status;

	cr_assert_eq(lstat(path, &status), 0, "%s", path);
	return status;
}

/* ---- the data directory ---- */

Test(disk, the_data_directory_has_one_owner)
{
	struct ct_blob_store *second;

	cr_assert_eq(open_again(&second), -EBUSY);
	ct_blob_store_close(fixture.store);
	cr_assert_eq(open_again(&fixture.store), 0);
}

Test(disk, another_format_is_refused)
{
	static const char *const bad[] = { "2\n", "1", "", "10\n", "1\n1\n" };
	struct ct_blob_store *store;

	ct_blob_store_close(fixture.store);
	fixture.store = NULL;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_file("format", bad[i]);
		cr_assert_eq(open_again(&store), -EPROTONOSUPPORT);
	}
	write_file("format", "1\n");
	cr_assert_eq(open_again(&fixture.store), 0);
}

Test(disk, an_objects_folder_of_someone_else_is_left_alone)
{
	char path[PATH_CHARS];
	struct ct_blob_store *store;

	ct_blob_store_close(fixture.store);
	fixture.store = NULL;
	path_in(&fixture, "format", path, sizeof(path));
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(open_again(&store), -EPROTONOSUPPORT);
	cr_assert_eq(access(path, F_OK), -1);
}

Test(disk, the_layout_is_what_the_readme_says)
{
	static const char *const names[] = { "staging", "objects", "prints", "quarantine" };
	char path[PATH_CHARS];

	for (size_t i = 0; i < 4; i++) {
		path_in(&fixture, names[i], path, sizeof(path));
		cr_assert_eq(status_of(path).st_mode & 07777, 0700);
		cr_assert_eq(count_entries(path), i == 1 || i == 2 ? 256 : 0);
	}
	path_in(&fixture, "prints/c7", path, sizeof(path));
	cr_assert(S_ISDIR(status_of(path).st_mode));
	path_in(&fixture, "format", path, sizeof(path));
	cr_assert_eq(status_of(path).st_size, 2);
	cr_assert_eq(count_entries(fixture.directory), 6, "format, lock and four directories");
}

Test(disk, missing_directories_are_made_with_their_parents)
{
	char path[PATH_CHARS];
	struct ct_blob_store *store = NULL;

	path_in(&fixture, "staging/a/b/c", path, sizeof(path));
	const struct ct_disk_options options = { .directory = path };
	cr_assert_eq(ct_blob_store_open_disk(&options, &store), 0);
	cr_assert_not(put(store, NULL, "abc", 3).was_present);
	ct_blob_store_close(store);

	const struct ct_disk_options none = { 0 };
	cr_assert_eq(ct_blob_store_open_disk(&none, &store), -EINVAL);
	write_file("plain", "");
	path_in(&fixture, "plain", path, sizeof(path));
	cr_assert_eq(ct_blob_store_open_disk(&options, &store), -ENOTDIR);
}

Test(disk, blobs_and_staging_files_outlive_the_store)
{
	struct ct_blob_writer *writer = begin(fixture.store, ID_A, 6);

	append(writer, "abc", 3);
	struct ct_blob_checkpoint checkpoint = sync_writer(writer);
	ct_blob_writer_close(writer);
	struct ct_digest digest = put(fixture.store, NULL, "xyz", 3).digest;

	fixture_reopen(&fixture, NULL);
	assert_blob(fixture.store, &digest, "xyz", 3);
	cr_assert_eq(try_resume(fixture.store, ID_A, 6, &checkpoint, &writer), 0);
	append(writer, "def", 3);
	digest = commit(writer).digest;
	assert_blob(fixture.store, &digest, "abcdef", 6);
}

Test(disk, modes_keep_others_out_and_writers_off)
{
	char path[PATH_CHARS];
	struct ct_blob_writer *writer = begin(fixture.store, ID_A, 3);

	path_in(&fixture, "staging/" ID_A, path, sizeof(path));
	cr_assert_eq(status_of(path).st_mode & 07777, 0600);
	append(writer, "abc", 3);
	struct ct_digest digest = commit(writer).digest;
	cr_assert_eq(access(path, F_OK), -1);
	object_path(&fixture, &digest, path, sizeof(path));
	cr_assert_eq(status_of(path).st_mode & 07777, 0444);
	cr_assert_eq(status_of(path).st_nlink, 1);

	digest = put(fixture.store, NULL, "nameless", 8).digest;
	object_path(&fixture, &digest, path, sizeof(path));
	cr_assert_eq(status_of(path).st_mode & 07777, 0444);
	cr_assert_eq(status_of(path).st_nlink, 1);
}

Test(disk, a_nameless_upload_has_no_name)
{
	char path[PATH_CHARS];
	struct ct_blob_writer *writer = begin(fixture.store, NULL, 3);

	path_in(&fixture, "staging", path, sizeof(path));
	cr_assert_eq(count_entries(path), 0);
	ct_blob_writer_close(writer);
	cr_assert_eq(count_entries(path), 0);
}

Test(disk, only_ids_are_visited)
{
	write_file("staging/README", "");
	write_file("staging/0123456789ABCDEF0123456789ABCDEF", "");
	cr_assert_eq(count_staging(fixture.store), 0);
	write_file("staging/" ID_B, "");
	cr_assert_eq(count_staging(fixture.store), 1);
}

/* ---- resuming ---- */

Test(disk, the_tail_behind_the_checkpoint_is_cut_off)
{
	char path[PATH_CHARS];
	struct ct_blob_writer *writer = begin(fixture.store, ID_A, 100);

	append(writer, "abc", 3);
	struct ct_blob_checkpoint checkpoint = sync_writer(writer);
	append(writer, "unsynced", 8);
	ct_blob_writer_close(writer);
	path_in(&fixture, "staging/" ID_A, path, sizeof(path));
	cr_assert_eq(status_of(path).st_size, 11);
	cr_assert_eq(try_resume(fixture.store, ID_A, 100, &checkpoint, &writer), 0);
	cr_assert_eq(status_of(path).st_size, 3);
	cr_assert(status_of(path).st_blocks > 0, "reserved again");
	ct_blob_writer_discard(writer);
	cr_assert_eq(access(path, F_OK), -1);
}

Test(disk, a_staging_file_with_a_second_name_is_not_cut)
{
	char path[PATH_CHARS], other[PATH_CHARS];
	struct ct_blob_checkpoint start = { 0 };
	struct ct_blob_writer *writer = begin(fixture.store, ID_A, 3);

	append(writer, "abc", 3);
	ct_blob_writer_close(writer);
	path_in(&fixture, "staging/" ID_A, path, sizeof(path));
	path_in(&fixture, "objects/00/other", other, sizeof(other));
	cr_assert_eq(link(path, other), 0);
	cr_assert_eq(try_resume(fixture.store, ID_A, 3, &start, &writer), CT_ERROR_STAGING_DAMAGED);
	cr_assert_eq(status_of(other).st_size, 3);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(symlink(other, path), 0);
	cr_assert_eq(try_resume(fixture.store, ID_A, 3, &start, &writer), CT_ERROR_STAGING_DAMAGED);
}

/* A commit that was cut off between fchmod and rename, met by a server that is not root. */
Test(disk, a_read_only_staging_file_is_resumed)
{
	char path[PATH_CHARS];
	struct ct_blob_checkpoint checkpoint;
	struct ct_blob_writer *writer = begin(fixture.store, ID_A, 3);

	append(writer, "abc", 3);
	checkpoint = sync_writer(writer);
	ct_blob_writer_close(writer);
	path_in(&fixture, "staging/" ID_A, path, sizeof(path));
	cr_assert_eq(chmod(path, 0444), 0);
	if (geteuid() == 0) {
		static const char *const names[] = { ".", "staging", "objects", "objects/ba",
			("staging/" ID_A) };

		for (size_t i = 0; i < 5; i++) {
			path_in(&fixture, names[i], path, sizeof(path));
			cr_assert_eq(chown(path, 65534, 65534), 0);
		}
		cr_assert_eq(seteuid(65534), 0);
	}
	cr_assert_eq(try_resume(fixture.store, ID_A, 3, &checkpoint, &writer), 0);
	struct ct_digest digest = commit(writer).digest;
	assert_blob(fixture.store, &digest, "abc", 3);
	if (getuid() == 0)
		cr_assert_eq(seteuid(0), 0);
}

/*
 * The hash goes on from its state and reads nothing again, so the name is that of the bytes that
 * were sent, whatever the disk has made of them; reading tells, and sending them again heals.
 */
Test(disk, a_prefix_that_rots_in_staging_is_found_by_verify)
{
	char path[PATH_CHARS];
	struct ct_digest sent;
	struct ct_blob_writer *writer = begin(fixture.store, ID_A, 6);

	append(writer, "abc", 3);
	struct ct_blob_checkpoint checkpoint = sync_writer(writer);
	ct_blob_writer_close(writer);
	path_in(&fixture, "staging/" ID_A, path, sizeof(path));
	flip_byte(path, 1);
	cr_assert_eq(try_resume(fixture.store, ID_A, 6, &checkpoint, &writer), 0);
	append(writer, "def", 3);
	struct ct_blob_committed committed = commit(writer);
	ct_hash_once("abcdef", 6, &sent);
	cr_assert(ct_digest_equal(&committed.digest, &sent));
	cr_assert_eq(verify(fixture.store, &sent), CT_ERROR_DIGEST_MISMATCH);
	cr_assert_not(put(fixture.store, NULL, "abcdef", 6).was_present);
	assert_blob(fixture.store, &sent, "abcdef", 6);
}

Test(disk, a_rotten_prefix_does_not_replace_a_good_blob)
{
	char path[PATH_CHARS];
	struct ct_digest digest = put(fixture.store, NULL, "abcdef", 6).digest;
	struct ct_blob_writer *writer = begin(fixture.store, ID_A, 6);

	append(writer, "abcdef", 6);
	path_in(&fixture, "staging/" ID_A, path, sizeof(path));
	flip_byte(path, 1);
	cr_assert(commit(writer).was_present);
	assert_blob(fixture.store, &digest, "abcdef", 6);
}

/* ---- damage and healing ---- */

enum damage { FLIPPED, CUT, GROWN };

static void check_healing(const char *id, enum damage damage)
{
	uint8_t data[300000];
	char path[PATH_CHARS];

	fill_random(data, sizeof(data), 7);
	struct ct_digest digest = put(fixture.store, NULL, data, sizeof(data)).digest;
	object_path(&fixture, &digest, path, sizeof(path));
	if (damage == FLIPPED)
		flip_byte(path, 299999);
	else
		cr_assert_eq(truncate(path, damage == CUT ? 200000 : 300001), 0);
	cr_assert_eq(verify(fixture.store, &digest), CT_ERROR_DIGEST_MISMATCH);

	cr_assert_not(put(fixture.store, id, data, sizeof(data)).was_present);
	assert_blob(fixture.store, &digest, data, sizeof(data));
	cr_assert_eq(status_of(path).st_nlink, 1);
	cr_assert_eq(count_staging(fixture.store), 0);
	cr_assert(put(fixture.store, id, data, sizeof(data)).was_present);
}

Test(disk, a_flipped_byte_is_found_and_healed_by_a_nameless_upload)
{
	check_healing(NULL, FLIPPED);
}

Test(disk, a_flipped_byte_is_found_and_healed_by_a_named_upload)
{
	check_healing(ID_A, FLIPPED);
}

Test(disk, a_cut_blob_is_found_and_healed)
{
	check_healing(NULL, CUT);
}

Test(disk, a_grown_blob_is_found_and_healed)
{
	check_healing(ID_A, GROWN);
}

Test(disk, a_damaged_blob_is_no_end_of_an_upload)
{
	char path[PATH_CHARS];
	struct ct_blob_writer *writer = begin(fixture.store, ID_A, 3);

	append(writer, "abc", 3);
	struct ct_blob_checkpoint end = sync_writer(writer);
	struct ct_digest digest = commit(writer).digest;
	object_path(&fixture, &digest, path, sizeof(path));
	cr_assert_eq(truncate(path, 2), 0);
	cr_assert_eq(try_resume(fixture.store, ID_A, 3, &end, &writer), CT_ERROR_STAGING_DAMAGED);
}

Test(disk, a_blob_that_is_no_file_is_not_read)
{
	char path[PATH_CHARS];
	struct ct_blob_reader *reader;
	struct ct_digest digest = put(fixture.store, NULL, "abc", 3).digest;

	object_path(&fixture, &digest, path, sizeof(path));
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(symlink("/etc/passwd", path), 0);
	cr_assert_eq(
	    ct_blob_reader_open(fixture.store, CT_BLOB_ORIGINAL, &digest, &reader), -ELOOP);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(mkdir(path, 0700), 0);
	cr_assert_eq(ct_blob_reader_open(fixture.store, CT_BLOB_ORIGINAL, &digest, &reader), -EIO);
}

/* ---- file systems that lack something ---- */

static int no_tmpfile(int directory_fd)
{
	(void)directory_fd;
	errno = EOPNOTSUPP;
	return -1;
}

static int no_noreplace(
    int old_fd, const char *old_name, int new_fd, const char *new_name, unsigned flags)
{
	if (flags == 0)
		return renameat(old_fd, old_name, new_fd, new_name);
	errno = EINVAL;
	return -1;
}

Test(disk, nameless_uploads_need_no_tmpfile)
{
	ct_disk_calls.open_nameless = no_tmpfile;
	struct ct_blob_writer *writer = begin(fixture.store, NULL, 3);
	cr_assert_eq(count_staging(fixture.store), 1);
	ct_blob_writer_close(writer);
	cr_assert_eq(count_staging(fixture.store), 0);
	struct ct_digest digest = put(fixture.store, NULL, "abc", 3).digest;
	assert_blob(fixture.store, &digest, "abc", 3);
	cr_assert(put(fixture.store, NULL, "abc", 3).was_present);
	cr_assert_eq(count_staging(fixture.store), 0);
	check_healing(NULL, FLIPPED);
}

Test(disk, publishing_needs_no_renameat2)
{
	char path[PATH_CHARS];

	ct_disk_calls.renameat2 = no_noreplace;
	struct ct_digest digest = put(fixture.store, ID_A, "abc", 3).digest;
	assert_blob(fixture.store, &digest, "abc", 3);
	object_path(&fixture, &digest, path, sizeof(path));
	cr_assert_eq(status_of(path).st_nlink, 1);
	cr_assert(put(fixture.store, ID_A, "abc", 3).was_present);
	cr_assert_eq(count_staging(fixture.store), 0);
	check_healing(ID_A, FLIPPED);
}

/* ---- what is synced ---- */

#define MAX_CALLS 8

static char calls[MAX_CALLS + 1]; /* f: fsync of a file, d: of a directory, s: fdatasync */
static unsigned fail_call;	  /* 1: the first; 0: none */

static int note_call(char what)
{
	size_t count = strlen(calls);

	cr_assert_lt(count, MAX_CALLS);
	calls[count] = what;
	if (count + 1 != fail_call)
		return 0;
	errno = EIO;
	return -1;
}

static int noted_fsync(int fd)
{
	struct stat status;

	cr_assert_eq(fstat(fd, &status), 0);
	return note_call(S_ISDIR(status.st_mode) ? 'd' : 'f');
}

static int noted_fdatasync(int fd)
{
	(void)fd;
	return note_call('s');
}

static void note_calls(unsigned fail)
{
	memset(calls, 0, sizeof(calls));
	fail_call = fail;
	ct_disk_calls.fsync = noted_fsync;
	ct_disk_calls.fdatasync = noted_fdatasync;
}

Test(disk, each_step_is_synced_in_order)
{
	struct ct_blob_writer *writer;

	note_calls(0);
	writer = begin(fixture.store, ID_A, 3);
	cr_assert_str_eq(calls, "d", "the staging name");
	append(writer, "abc", 3);
	(void)sync_writer(writer);
	cr_assert_str_eq(calls, "ds");
	(void)commit(writer);
	cr_assert_str_eq(calls, "dsfd", "bytes, then the name");

	note_calls(0);
	cr_assert(put(fixture.store, NULL, "abc", 3).was_present);
	cr_assert_str_eq(calls, "d", "the name of a blob that was present");
}

/* A kill between rename and fsync leaves a name that only the page cache knows. */
Test(disk, a_blob_found_at_resume_is_synced_before_it_counts)
{
	struct ct_blob_writer *writer = begin(fixture.store, ID_A, 3);

	append(writer, "abc", 3);
	struct ct_blob_checkpoint end = sync_writer(writer);
	(void)commit(writer);
	note_calls(0);
	cr_assert_eq(try_resume(fixture.store, ID_A, 3, &end, &writer), 0);
	cr_assert(commit(writer).was_present);
	cr_assert_str_eq(calls, "d");
}

Test(disk, prints_wait_for_nothing)
{
	const struct ct_blob_writer_options options = {
		.class = CT_BLOB_PRINT,
		.declared_bytes = 3,
	};
	struct ct_blob_writer *writer = NULL;

	note_calls(0);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(ct_blob_writer_begin(fixture.store, &options, &writer), 0);
		append(writer, "abc", 3);
		cr_assert_eq(commit(writer).was_present, i == 1);
	}
	cr_assert_str_eq(calls, "");
}

static void assert_unhealthy(struct ct_blob_writer *writer, const struct ct_digest *good)
{
	struct ct_blob_checkpoint checkpoint = { 0 };
	struct ct_blob_committed committed;
	struct ct_blob_writer *other;
	size_t before = strlen(calls);

	cr_assert_not(ct_blob_store_is_healthy(fixture.store));
	fail_call = 0;
	if (writer != NULL) {
		cr_assert_eq(ct_blob_writer_append(writer, "x", 1), CT_ERROR_STORE_UNHEALTHY);
		cr_assert_eq(ct_blob_writer_sync(writer, &checkpoint), CT_ERROR_STORE_UNHEALTHY);
		cr_assert_eq(ct_blob_writer_commit(writer, &committed), CT_ERROR_STORE_UNHEALTHY);
		ct_blob_writer_close(writer);
	}
	cr_assert_eq(try_begin(fixture.store, NULL, 1, &other), CT_ERROR_STORE_UNHEALTHY);
	cr_assert_eq(
	    try_resume(fixture.store, ID_A, 9, &checkpoint, &other), CT_ERROR_STORE_UNHEALTHY);
	cr_assert_eq(strlen(calls), before, "a failed sync is never tried again");
	assert_blob(fixture.store, good, "good", 4);
	cr_assert_eq(ct_blob_remove(fixture.store, CT_BLOB_ORIGINAL, good), 0);
	cr_assert_eq(ct_blob_staging_remove(fixture.store, ID_A), 0);

	ct_disk_calls.fsync = fsync;
	ct_disk_calls.fdatasync = fdatasync;
	fixture_reopen(&fixture, NULL);
	cr_assert(ct_blob_store_is_healthy(fixture.store));
	cr_assert_not(put(fixture.store, NULL, "good", 4).was_present);
}

Test(disk, a_failed_fdatasync_is_final)
{
	struct ct_digest good = put(fixture.store, NULL, "good", 4).digest;
	struct ct_blob_checkpoint checkpoint;

	note_calls(2);
	struct ct_blob_writer *writer = begin(fixture.store, ID_A, 2);
	append(writer, "a", 1);
	cr_assert_eq(ct_blob_writer_sync(writer, &checkpoint), CT_ERROR_STORE_UNHEALTHY);
	assert_unhealthy(writer, &good);
}

Test(disk, a_failed_fsync_of_the_file_is_final)
{
	struct ct_digest good = put(fixture.store, NULL, "good", 4).digest;
	struct ct_digest digest;
	struct ct_blob_committed committed;

	note_calls(1);
	struct ct_blob_writer *writer = begin(fixture.store, NULL, CT_BLOB_LENGTH_UNKNOWN);
	append(writer, "ab", 2);
	cr_assert_eq(ct_blob_writer_commit(writer, &committed), CT_ERROR_STORE_UNHEALTHY);
	ct_hash_once("ab", 2, &digest);
	cr_assert_not(is_present(fixture.store, &digest), "no name before its bytes");
	assert_unhealthy(writer, &good);
}

Test(disk, a_failed_fsync_of_the_directory_is_final)
{
	struct ct_digest good = put(fixture.store, NULL, "good", 4).digest;
	struct ct_blob_committed committed;

	note_calls(2);
	struct ct_blob_writer *writer = begin(fixture.store, NULL, CT_BLOB_LENGTH_UNKNOWN);
	append(writer, "ab", 2);
	cr_assert_eq(ct_blob_writer_commit(writer, &committed), CT_ERROR_STORE_UNHEALTHY);
	assert_unhealthy(writer, &good);
}

Test(disk, a_failed_fsync_of_the_staging_directory_is_final)
{
	struct ct_digest good = put(fixture.store, NULL, "good", 4).digest;
	struct ct_blob_writer *writer;

	note_calls(1);
	cr_assert_eq(try_begin(fixture.store, ID_A, 2, &writer), CT_ERROR_STORE_UNHEALTHY);
	cr_assert_eq(count_staging(fixture.store), 0);
	assert_unhealthy(NULL, &good);
}
