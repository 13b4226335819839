/*
 * The upkeep of a blob store: what a housekeeper and the tools do with it, beside those who write
 * and read. Threads and errors as in blob.h.
 */
#ifndef CALOTYPE_BLOB_UPKEEP_H
#define CALOTYPE_BLOB_UPKEEP_H

#include "calotype/blob.h"

/* ---- staging ---- */

/* Removes a named staging file; a missing one is fine; -EBUSY: a writer has it open. BLOCKING. */
int ct_blob_staging_remove(struct ct_blob_store *store, const char *staging_id);

/* Calls `visit` for each named staging file, in no order; a nonzero result ends it. BLOCKING. */
int ct_blob_staging_visit(struct ct_blob_store *store,
    int (*visit)(const char *staging_id, int64_t modified_ms, void *arg), void *arg);

/*
 * Gives all bytes of a named staging file to `take`, in order and each once; whoever filled it has
 * left it at `at`, and nobody writes it now (-EBUSY). A nonzero result of `take` ends it and is
 * returned. CT_ERROR_STAGING_DAMAGED, perhaps at the very end: they are not what was sent.
 * BLOCKING.
 */
int ct_blob_staged_read(struct ct_blob_store *store, const char *staging_id,
    const struct ct_blob_checkpoint *at, int (*take)(const void *data, size_t length, void *arg),
    void *arg);

/* ---- blobs ---- */

/* Removes the blob's name; a missing one is fine. Readers that are open go on reading. BLOCKING. */
int ct_blob_remove(
    struct ct_blob_store *store, enum ct_blob_class class, const struct ct_digest *digest);

struct ct_blob_info {
	uint64_t size_bytes;
	int64_t modified_ms; /* when it was last published, also as a duplicate */
};

#define CT_BLOB_SHARDS 256 /* the directories of a class: the first byte of the digest */

/*
 * Calls `visit` for each blob of one shard, in no order; a nonzero result ends it. What is
 * published or removed meanwhile may be missed. BLOCKING.
 */
int ct_blob_visit(struct ct_blob_store *store, enum ct_blob_class class, unsigned shard,
    int (*visit)(const struct ct_digest *digest, const struct ct_blob_info *info, void *arg),
    void *arg);

/*
 * Removes a blob that nothing refers to. While nobody can publish it, `let_go` makes sure of that
 * (and deletes its row, if there is one): 0 removes it. -EBUSY: it was published after `before_ms`,
 * or is being published; `let_go` was not called. Else the result of `let_go`. BLOCKING.
 */
typedef int (*ct_blob_let_go_fn)(
    enum ct_blob_class class, const struct ct_digest *digest, void *arg);
int ct_blob_remove_unused(struct ct_blob_store *store, enum ct_blob_class class,
    const struct ct_digest *digest, int64_t before_ms, ct_blob_let_go_fn let_go, void *arg);

/*
 * For a blob that was read and is damaged: an original goes to quarantine/ under its digest, a
 * print is removed. -ESTALE: its name is gone or another file's by now; -EBUSY: someone publishes
 * it, which heals it. BLOCKING.
 */
int ct_blob_set_aside(struct ct_blob_reader *reader);

/*
 * Makes all durable that was published or synced in a store that does not wait for it (async);
 * nothing to do otherwise. CT_ERROR_STORE_UNHEALTHY. BLOCKING, perhaps for long.
 */
int ct_blob_store_flush(struct ct_blob_store *store);

#endif
