/*
 * Who publishes a blob and who removes it, by class and digest: never both at once. A publisher
 * holds its claim from before it looks for the name until its caller has written a row (or given
 * up); a remover holds its from before it asks whether a row is there until the name is gone. So a
 * remover never takes away what an upload has just found present, and a publisher never finds
 * present what is about to go. The data directory has one process, so memory is enough.
 *
 * Threads: any. A claim is the caller's own memory, and is in the list while it is held.
 */
#ifndef CT_STORAGE_CLAIMS_H
#define CT_STORAGE_CLAIMS_H

#include "base/lock.h"
#include "calotype/blob.h"

struct ct_blob_claim {
	enum ct_blob_class class;
	struct ct_digest digest;
	bool removes;
	struct ct_blob_claim *next; /* under the lock */
};

struct ct_blob_claims {
	struct ct_lock lock;
	struct ct_condition changed;
	struct ct_blob_claim *first; /* under the lock */
};

void ct_blob_claims_init(struct ct_blob_claims *claims);
/* None may be held. */
void ct_blob_claims_done(struct ct_blob_claims *claims);

/* Waits while the blob is being removed; many may publish it at once. BLOCKING. */
void ct_blob_claim_to_publish(struct ct_blob_claims *claims, struct ct_blob_claim *claim,
    enum ct_blob_class class, const struct ct_digest *digest);
/* -EBUSY: it is being published, or removed by another. Never waits. */
int ct_blob_claim_to_remove(struct ct_blob_claims *claims, struct ct_blob_claim *claim,
    enum ct_blob_class class, const struct ct_digest *digest);
void ct_blob_claim_end(struct ct_blob_claims *claims, struct ct_blob_claim *claim);

#endif
