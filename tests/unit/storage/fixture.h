/*
 * What the tests of the store share: a store of each kind in a fresh directory, and short ways to
 * write and read. Everything asserts by itself.
 */
#ifndef CT_TESTS_STORAGE_FIXTURE_H
#define CT_TESTS_STORAGE_FIXTURE_H

#include "calotype/blob_backend.h"
#include "calotype/blob_open.h"
#include <stddef.h>

enum store_kind { STORE_DISK, STORE_MEMORY, STORE_FAILING, STORE_KIND_COUNT };

#define ID_A "0123456789abcdef0123456789abcdea"
#define ID_B "0123456789abcdef0123456789abcdeb"

struct fixture {
	struct ct_blob_store *store;
	struct ct_failing_plan *plan;
	char directory[64]; /* empty for memory */
};

void fixture_open(struct fixture *fixture, enum store_kind kind);
void fixture_open_disk(struct fixture *fixture, const struct ct_disk_options *options);
/* Closes the store and opens it again over the same directory. */
void fixture_reopen(struct fixture *fixture, const struct ct_disk_options *options);
void fixture_close(struct fixture *fixture);
void remove_tree(const char *directory);

void fill_random(void *data, size_t length, unsigned seed);

/* `id` NULL: nameless. */
struct ct_blob_writer *begin(struct ct_blob_store *store, const char *id, uint64_t declared_bytes);
int try_begin(struct ct_blob_store *store, const char *id, uint64_t declared_bytes,
    struct ct_blob_writer **ret_writer);
int try_resume(struct ct_blob_store *store, const char *id, uint64_t declared_bytes,
    const struct ct_blob_checkpoint *at, struct ct_blob_writer **ret_writer);
void append(struct ct_blob_writer *writer, const void *data, size_t length);
struct ct_blob_checkpoint sync_writer(struct ct_blob_writer *writer);
/* Commits and closes. */
struct ct_blob_committed commit(struct ct_blob_writer *writer);
struct ct_blob_committed put(
    struct ct_blob_store *store, const char *id, const void *data, size_t length);

/* The blob is there, is verified and has these bytes. */
void assert_blob(
    struct ct_blob_store *store, const struct ct_digest *digest, const void *data, size_t length);
int verify(struct ct_blob_store *store, const struct ct_digest *digest);
bool is_present(struct ct_blob_store *store, const struct ct_digest *digest);
size_t count_staging(struct ct_blob_store *store);
uint64_t available(struct ct_blob_store *store);

/* "<directory>/objects/ab/<62>", and the like. */
void object_path(
    const struct fixture *fixture, const struct ct_digest *digest, char *ret_path, size_t capacity);
void path_in(const struct fixture *fixture, const char *name, char *ret_path, size_t capacity);
/* Entries but . and .. of a directory. */
size_t count_entries(const char *path);
/* Flips the bits of one byte in a file, whatever its mode. */
void flip_byte(const char *path, uint64_t offset);

#endif
