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

/* ---- blobs ---- */

/* Removes the blob's name; a missing one is fine. Readers that are open go on reading. BLOCKING. */
int ct_blob_remove(
    struct ct_blob_store *store, enum ct_blob_class class, const struct ct_digest *digest);

#endif
