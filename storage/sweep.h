/*
 * Removes the files of blobs that nothing refers to: what a crash between a name and its row left,
 * and what a removal could not finish. It goes round the 256 directories of each class, some at
 * each step, and never looks at all at once.
 *
 * A blob is removed only when it is older than the grace period (publishing makes it young, also
 * when it was there already), when nobody publishes it, and when `is_used` then says no. What the
 * three are for is told in README.md.
 *
 * Threads: a sweep belongs to one thread.
 */
#ifndef CT_STORAGE_SWEEP_H
#define CT_STORAGE_SWEEP_H

#include "calotype/blob.h"

/* 1: something refers to these bytes; 0: nothing; else an error. BLOCKING. */
typedef int (*ct_blob_is_used_fn)(
    enum ct_blob_class class, const struct ct_digest *digest, void *arg);

struct ct_sweep_options {
	struct ct_blob_store *store;
	int64_t grace_ms;
	ct_blob_is_used_fn is_used;
	void *arg;
};

struct ct_sweep {
	struct ct_sweep_options options; /* set once */
	unsigned shard;			 /* looked at next */
};

struct ct_sweep_report {
	uint64_t seen, removed, removed_bytes;
};

void ct_sweep_init(struct ct_sweep *sweep, const struct ct_sweep_options *options);

/*
 * Looks at the next directory of each class, and adds to `*report`. At most CT_SWEEP_MAX_REMOVED
 * files of a directory are removed at once; the rest waits for the next round. BLOCKING.
 */
#define CT_SWEEP_MAX_REMOVED 1000
int ct_sweep_step(struct ct_sweep *sweep, struct ct_sweep_report *report);

#endif
