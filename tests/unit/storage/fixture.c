#include "fixture.h"

#include "base/hash.h"
#include "calotype/blob_open.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMORY_BYTES (64u << 20)

void fixture_open_disk(struct fixture *fixture, const struct ct_disk_options *options)
{
	struct ct_disk_options copy = options ? *options : (struct ct_disk_options){ 0 };

	*fixture = (struct fixture){ 0 };
	(void)snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/ct-storage-XXXXXX");
	cr_assert_not_null(mkdtemp(fixture->directory));
	copy.directory = fixture->directory;
	cr_assert_eq(ct_blob_store_open_disk(&copy, &fixture->store), 0);
}

void fixture_reopen(struct fixture *fixture, const struct ct_disk_options *options)
{
	struct ct_disk_options copy = options ? *options : (struct ct_disk_options){ 0 };

	ct_blob_store_close(fixture->store);
	fixture->store = NULL;
	copy.directory = fixture->directory;
	cr_assert_eq(ct_blob_store_open_disk(&copy, &fixture->store), 0);
}

void fixture_open(struct fixture *fixture, enum store_kind kind)
{
	struct ct_blob_store *inner;

	if (kind == STORE_DISK) {
		fixture_open_disk(fixture, NULL);
		return;
	}
	*fixture = (struct fixture){ 0 };
	cr_assert_eq(ct_blob_store_open_memory(MEMORY_BYTES, &inner), 0);
	if (kind == STORE_MEMORY) {
		fixture->store = inner;
		return;
	}
	cr_assert_eq(ct_failing_plan_new(&fixture->plan), 0);
	cr_assert_eq(ct_blob_store_open_failing(inner, fixture->plan, &fixture->store), 0);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(path);
}

void remove_tree(const char *directory)
{
	cr_assert_eq(nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void fixture_close(struct fixture *fixture)
{
	ct_blob_store_close(fixture->store);
	ct_failing_plan_free(fixture->plan);
	if (fixture->directory[0] != '\0')
		remove_tree(fixture->directory);
}

void fill_random(void *data, size_t length, unsigned seed)
{
	uint8_t *bytes = data;
	uint64_t state = seed * 0x9e3779b97f4a7c15ull + 1;

	for (size_t i = 0; i < length; i++) {
		state = state * 6364136223846793005ull + 1442695040888963407ull;
		bytes[i] = (uint8_t)(state >> 56);
	}
}

int try_begin(struct ct_blob_store *store, const char *id, uint64_t declared_bytes,
    struct ct_blob_writer **ret_writer)
{
	const struct ct_blob_writer_options options = {
		.class = CT_BLOB_ORIGINAL,
		.staging_id = id,
		.declared_bytes = declared_bytes,
	};

	return ct_blob_writer_begin(store, &options, ret_writer);
}

struct ct_blob_writer *begin(struct ct_blob_store *store, const char *id, uint64_t declared_bytes)
{
	struct ct_blob_writer *writer = NULL;

	cr_assert_eq(try_begin(store, id, declared_bytes, &writer), 0);
	return writer;
}

int try_resume(struct ct_blob_store *store, const char *id, uint64_t declared_bytes,
    const struct ct_blob_checkpoint *at, struct ct_blob_writer **ret_writer)
{
	const struct ct_blob_writer_options options = {
		.class = CT_BLOB_ORIGINAL,
		.staging_id = id,
		.declared_bytes = declared_bytes,
	};

	return ct_blob_writer_resume(store, &options, at, ret_writer);
}

void append(struct ct_blob_writer *writer, const void *data, size_t length)
{
	uint64_t before = ct_blob_writer_offset(writer);

	cr_assert_eq(ct_blob_writer_append(writer, data, length), 0);
	cr_assert_eq(ct_blob_writer_offset(writer), before + length);
}

struct ct_blob_checkpoint sync_writer(struct ct_blob_writer *writer)
{
	struct ct_blob_checkpoint checkpoint;

	cr_assert_eq(ct_blob_writer_sync(writer, &checkpoint), 0);
	cr_assert_eq(checkpoint.offset, ct_blob_writer_offset(writer));
	return checkpoint;
}

struct ct_blob_committed commit(struct ct_blob_writer *writer)
{
	struct ct_blob_committed committed;

	int r = ct_blob_writer_commit(writer, &committed);
	cr_assert_eq(r, 0, "commit: %d", r);
	ct_blob_writer_close(writer);
	return committed;
}

struct ct_blob_committed put(
    struct ct_blob_store *store, const char *id, const void *data, size_t length)
{
	struct ct_blob_writer *writer = begin(store, id, length);
	struct ct_digest digest;

	append(writer, data, length);
	struct ct_blob_committed committed = commit(writer);
	ct_hash_once(data, length, &digest);
	cr_assert(ct_digest_equal(&digest, &committed.digest));
	cr_assert_eq(committed.size_bytes, length);
	return committed;
}

void assert_blob(
    struct ct_blob_store *store, const struct ct_digest *digest, const void *data, size_t length)
{
	struct ct_blob_reader *reader = NULL;
	uint8_t *found = malloc(length + 1);

	cr_assert_not_null(found);
	cr_assert_eq(ct_blob_reader_open(store, CT_BLOB_ORIGINAL, digest, &reader), 0);
	cr_assert_eq(ct_blob_reader_size(reader), length);
	cr_assert_eq(ct_blob_reader_read(reader, 0, found, length), 0);
	cr_assert(memcmp(found, data, length) == 0);
	cr_assert_eq(ct_blob_reader_verify(reader), 0);
	ct_blob_reader_close(reader);
	free(found);
}

int verify(struct ct_blob_store *store, const struct ct_digest *digest)
{
	struct ct_blob_reader *reader;

	int r = ct_blob_reader_open(store, CT_BLOB_ORIGINAL, digest, &reader);
	if (r < 0)
		return r;
	r = ct_blob_reader_verify(reader);
	ct_blob_reader_close(reader);
	return r;
}

bool is_present(struct ct_blob_store *store, const struct ct_digest *digest)
{
	return verify(store, digest) != CT_ERROR_NOT_FOUND;
}

static int count_one(const char *staging_id, int64_t modified_ms, void *arg)
{
	(void)staging_id;
	(void)modified_ms;
	++*(size_t *)arg;
	return 0;
}

size_t count_staging(struct ct_blob_store *store)
{
	size_t count = 0;

	cr_assert_eq(ct_blob_staging_visit(store, count_one, &count), 0);
	return count;
}

uint64_t available(struct ct_blob_store *store)
{
	uint64_t bytes = 0;

	cr_assert_eq(ct_blob_store_available(store, &bytes), 0);
	return bytes;
}

void object_path(
    const struct fixture *fixture, const struct ct_digest *digest, char *ret_path, size_t capacity)
{
	char hex[CT_DIGEST_HEX_CHARS + 1];

	ct_digest_to_hex(digest, hex);
	int length =
	    snprintf(ret_path, capacity, "%s/objects/%.2s/%s", fixture->directory, hex, hex + 2);
	cr_assert(length > 0 && (size_t)length < capacity);
}

void path_in(const struct fixture *fixture, const char *name, char *ret_path, size_t capacity)
{
	int length = snprintf(ret_path, capacity, "%s/%s", fixture->directory, name);

	cr_assert(length > 0 && (size_t)length < capacity);
}

size_t count_entries(const char *path)
{
	DIR *stream = opendir(path);
	size_t count = 0;

	cr_assert_not_null(stream, "%s", path);
	while (readdir(stream) != NULL)
		count++;
	(void)closedir(stream);
	return count - 2;
}

void flip_byte(const char *path, uint64_t offset)
{
	struct stat status;
	uint8_t byte;

	cr_assert_eq(stat(path, &status), 0);
	cr_assert_eq(chmod(path, 0600), 0);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert(fd >= 0);
	cr_assert_eq(pread(fd, &byte, 1, (off_t)offset), 1);
	byte ^= 0xff;
	cr_assert_eq(pwrite(fd, &byte, 1, (off_t)offset), 1);
	cr_assert_eq(close(fd), 0);
	cr_assert_eq(chmod(path, status.st_mode & 07777), 0);
}
