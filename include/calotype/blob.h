/*
 * The content-addressed blob store: bytes go in through a writer, which hashes them as they come,
 * and come out through a reader under the name of their SHA-256. Opening a store is in blob_open.h,
 * what a housekeeper does with one in blob_upkeep.h.
 *
 * Durability: when ct_blob_writer_commit() has returned 0 for an original, its bytes and its name
 * survive a power cut (the fine print is in storage/README.md). When ct_blob_writer_sync() has
 * returned 0, the bytes up to the checkpoint survive one. A store opened as async promises both
 * for a crash of the process only; what a power cut has taken or torn is found when it is hashed.
 *
 * Threads: a store may be used from any thread. A writer or a reader belongs to one thread at a
 * time; handing it over needs a lock or a queue between. Functions marked BLOCKING wait for the
 * disk and are for workers; the others are fit for an HTTP thread (page cache and hashing only).
 *
 * Errors, everywhere: -ENOMEM; CT_ERROR_INSUFFICIENT_SPACE; CT_ERROR_STORE_UNHEALTHY for writers
 * once an fsync has failed, until the store is opened anew; -EIO and other errno values from the
 * disk. A staging id that is not 32 lower-case hex digits is -EINVAL. Nothing is logged.
 */
#ifndef CALOTYPE_BLOB_H
#define CALOTYPE_BLOB_H

#include "calotype/digest.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Originals are irreplaceable: strict durability. Prints can be made again: their commit does not
 * wait for the disk, so after a power cut one may be missing or damaged.
 */
enum ct_blob_class { CT_BLOB_ORIGINAL, CT_BLOB_PRINT, CT_BLOB_CLASS_COUNT };

#define CT_STAGING_ID_CHARS 32	/* lower-case hex digits */
#define CT_HASH_STATE_BYTES 112 /* versioned encoding of base/hash.h, zero-padded */
#define CT_BLOB_LENGTH_UNKNOWN UINT64_MAX

struct ct_blob_store;
struct ct_blob_writer;
struct ct_blob_reader;

/* Frees the store; writers and readers must be closed before. NULL is allowed. */
void ct_blob_store_close(struct ct_blob_store *store);

/* False for good once an fsync has failed. */
bool ct_blob_store_is_healthy(const struct ct_blob_store *store);

/* Free bytes that a new upload may still declare: free minus reserve minus declared, at least 0.
 * CT_ERROR_STORE_UNHEALTHY: the directories are gone. */
int ct_blob_store_available(struct ct_blob_store *store, uint64_t *ret_bytes);

/* ---- writing ---- */

/* What makes an interrupted upload resumable without reading a byte again: kept in the database. */
struct ct_blob_checkpoint {
	uint64_t offset;
	uint8_t hash_state[CT_HASH_STATE_BYTES];
};

struct ct_blob_writer_options {
	enum ct_blob_class class;
	const char *staging_id;	 /* a name makes it resumable; NULL: gone with the process */
	uint64_t declared_bytes; /* 0 is a length; CT_BLOB_LENGTH_UNKNOWN reserves in windows */
	uint64_t most_bytes; /* of an unknown length: no window reaches beyond it; 0: no bound */
};

struct ct_blob_committed {
	struct ct_digest digest;
	uint64_t size_bytes;
	bool was_present; /* the same bytes were there already */
};

/*
 * Reserves the declared bytes (one lock: free - reserve - declared sums, then fallocate) and opens
 * the staging file. A named one is durable in its directory when this returns. BLOCKING if named.
 * -EEXIST: that staging id exists.
 */
int ct_blob_writer_begin(struct ct_blob_store *store, const struct ct_blob_writer_options *options,
    struct ct_blob_writer **ret_writer);

/*
 * Opens the named staging file again at `at`: whatever lies behind it is cut off (it was never
 * acknowledged), the rest is reserved again, the hash continues from its saved state; at offset 0
 * that state is not looked at. BLOCKING.
 * A checkpoint at the declared end whose blob was already published by a commit that the caller
 * never heard of opens as well: its commit finds the blob present.
 * CT_ERROR_STAGING_DAMAGED: the file is missing or shorter than the checkpoint says, or the hash
 * state does not fit it; -EBUSY: a writer has it open.
 */
int ct_blob_writer_resume(struct ct_blob_store *store, const struct ct_blob_writer_options *options,
    const struct ct_blob_checkpoint *at, struct ct_blob_writer **ret_writer);

/*
 * Writes and hashes all of `data`, or fails and has appended nothing: the offset is as before, so
 * after CT_ERROR_INSUFFICIENT_SPACE what came before can still be synced. A write beyond the
 * declared bytes is CT_ERROR_TOO_LARGE.
 */
int ct_blob_writer_append(struct ct_blob_writer *writer, const void *data, size_t length_bytes);

uint64_t ct_blob_writer_offset(const struct ct_blob_writer *writer);
void ct_blob_writer_digest(const struct ct_blob_writer *writer, struct ct_digest *ret_digest);

/*
 * Reads back exactly `length_bytes` of what was appended, also in an earlier process: for a look
 * at the first bytes. -EINVAL beyond the offset; CT_ERROR_STAGING_DAMAGED: published already.
 */
int ct_blob_writer_read(
    struct ct_blob_writer *writer, uint64_t offset, void *ret_data, size_t length_bytes);

/* Makes all appended bytes durable; `*ret_checkpoint` may then be acknowledged. BLOCKING. */
int ct_blob_writer_sync(struct ct_blob_writer *writer, struct ct_blob_checkpoint *ret_checkpoint);

/*
 * Publishes the bytes under their digest; the staging name is gone afterwards. The writer can then
 * only be closed. If the blob was present, its presence is made durable too; one that was damaged
 * is replaced and does not count as present. BLOCKING. CT_ERROR_LENGTH_MISMATCH: fewer bytes than
 * declared. After a failure that is not the store's health, commit may be tried again.
 */
int ct_blob_writer_commit(struct ct_blob_writer *writer, struct ct_blob_committed *ret_committed);

/*
 * Frees the writer and its reservation; a named staging file stays. After a commit nobody removes
 * the blob before this, so the caller writes its row first; it does not block then. NULL is
 * allowed.
 */
void ct_blob_writer_close(struct ct_blob_writer *writer);

/* Frees the writer and removes its staging file. NULL is allowed. */
void ct_blob_writer_discard(struct ct_blob_writer *writer);

/* ---- reading ---- */

/* CT_ERROR_NOT_FOUND when absent. BLOCKING. */
int ct_blob_reader_open(struct ct_blob_store *store, enum ct_blob_class class,
    const struct ct_digest *digest, struct ct_blob_reader **ret_reader);

uint64_t ct_blob_reader_size(const struct ct_blob_reader *reader);

/* Reads exactly `length_bytes` at `offset`, else -EIO or -ENODATA. BLOCKING. */
int ct_blob_reader_read(
    struct ct_blob_reader *reader, uint64_t offset, void *ret_data, size_t length_bytes);

/* Reads the whole blob and compares: CT_ERROR_DIGEST_MISMATCH. BLOCKING. */
int ct_blob_reader_verify(struct ct_blob_reader *reader);
/* A descriptor of the bytes, read only, owned by the caller, for sendfile and the image worker (of
 * the memory store a sealed memfd). BLOCKING. */
int ct_blob_reader_dup_fd(struct ct_blob_reader *reader, int *ret_fd);
void ct_blob_reader_close(struct ct_blob_reader *reader);

#endif
