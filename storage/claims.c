#include "storage/claims.h"

#include "base/assert.h"
#include <errno.h>

void ct_blob_claims_init(struct ct_blob_claims *claims)
{
	ct_lock_init(&claims->lock, CT_LOCK_LEAF);
	ct_condition_init(&claims->changed);
	claims->first = NULL;
}

void ct_blob_claims_done(struct ct_blob_claims *claims)
{
	CT_ASSERT(claims->first == NULL);
	ct_condition_done(&claims->changed);
	ct_lock_done(&claims->lock);
}

/* A few hundred at most: what waits for one group of the database's commits. */
static bool is_held_locked(
    const struct ct_blob_claims *claims, const struct ct_blob_claim *wanted, bool by_publishers)
{
	ct_lock_assert_held(&claims->lock);
	for (const struct ct_blob_claim *claim = claims->first; claim; claim = claim->next)
		if (claim->class == wanted->class &&
		    ct_digest_equal(&claim->digest, &wanted->digest) &&
		    (claim->removes || by_publishers))
			return true;
	return false;
}

static void insert_locked(struct ct_blob_claims *claims, struct ct_blob_claim *claim)
{
	claim->next = claims->first;
	claims->first = claim;
}

void ct_blob_claim_to_publish(struct ct_blob_claims *claims, struct ct_blob_claim *claim,
    enum ct_blob_class class, const struct ct_digest *digest)
{
	*claim = (struct ct_blob_claim){ .class = class, .digest = *digest };
	ct_lock_take(&claims->lock);
	while (is_held_locked(claims, claim, false))
		ct_condition_wait(&claims->changed, &claims->lock);
	insert_locked(claims, claim);
	ct_lock_release(&claims->lock);
}

int ct_blob_claim_to_remove(struct ct_blob_claims *claims, struct ct_blob_claim *claim,
    enum ct_blob_class class, const struct ct_digest *digest)
{
	*claim = (struct ct_blob_claim){ .class = class, .digest = *digest, .removes = true };
	ct_lock_take(&claims->lock);
	bool is_held = is_held_locked(claims, claim, true);
	if (!is_held)
		insert_locked(claims, claim);
	ct_lock_release(&claims->lock);
	return is_held ? -EBUSY : 0;
}

void ct_blob_claim_end(struct ct_blob_claims *claims, struct ct_blob_claim *claim)
{
	ct_lock_take(&claims->lock);
	struct ct_blob_claim **link = &claims->first;
	while (*link != claim) {
		CT_ASSERT(*link != NULL);
		link = &(*link)->next;
	}
	*link = claim->next;
	if (claim->removes)
		ct_condition_broadcast(&claims->changed);
	ct_lock_release(&claims->lock);
}
