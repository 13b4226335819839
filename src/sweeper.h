/*
 * The sweep over database and store: first the blobs that no image has any more, each with its row,
 * then the files without a row. What is younger than the grace period stays. Opaque by agreement.
 *
 * Threads: a sweeper belongs to one thread. What it is given outlives it.
 */
#ifndef CT_SWEEPER_H
#define CT_SWEEPER_H

#include "storage/sweep.h"

struct ct_metadata;

struct ct_sweeper {
	struct ct_metadata *metadata; /* set once */
	struct ct_blob_store *store;  /* set once */
	int64_t grace_ms;	      /* set once */
	struct ct_sweep files;
};

/* Needs no end. It is not moved afterwards. */
void ct_sweeper_init(struct ct_sweeper *sweeper, struct ct_metadata *metadata,
    struct ct_blob_store *store, int64_t grace_ms);

/*
 * Rows, at most CT_SWEEPER_ROWS, then the next `directories` of CT_BLOB_SHARDS; adds to `*report`.
 * Ends at the first error. Does nothing while an upload has been `finishing` for the grace period:
 * its blob may be published, and has no row yet. BLOCKING.
 */
#define CT_SWEEPER_ROWS 100
int ct_sweeper_run(
    struct ct_sweeper *sweeper, unsigned directories, struct ct_sweep_report *report);

#endif
