/*
 * Reads what is stored and hashes it, a bounded number of bytes at each step, round and round.
 * What does not have its digest is put into quarantine/ (an original) or removed (a print, which is
 * made again); from then on it is missing and is told as such, and uploading the same bytes heals
 * it.
 *
 * Threads: a scrub belongs to one thread.
 */
#ifndef CT_STORAGE_SCRUB_H
#define CT_STORAGE_SCRUB_H

#include "calotype/blob.h"

struct ct_scrub;

struct ct_scrub_options {
	struct ct_blob_store *store;
	unsigned first_shard; /* where the round begins: anywhere, as a restart forgets the place */
	/*
	 * Called once for what was found: CT_ERROR_DIGEST_MISMATCH (it has been put aside), or what
	 * reading it gave, such as -EIO (it is left as it is).
	 */
	void (*found)(
	    enum ct_blob_class class, const struct ct_digest *digest, int error, void *arg);
	void *arg;
};

int ct_scrub_new(const struct ct_scrub_options *options, struct ct_scrub **ret_scrub);
void ct_scrub_free(struct ct_scrub *scrub); /* NULL is allowed */

/*
 * Hashes about `budget_bytes` more (a file counts for at least 4 KiB, a directory for 64 KiB); a
 * large file goes on at the next step. Adds what it read to `*read_bytes`. BLOCKING.
 */
int ct_scrub_step(struct ct_scrub *scrub, uint64_t budget_bytes, uint64_t *read_bytes);

#endif
