#include "storage/store_priv.h"

#include "base/assert.h"
#include "base/slice.h"
#include "base/text.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include <errno.h>
#include <stdlib.h>

_Static_assert(CT_STAGING_ID_CHARS == CT_ID_CHARS, "staging ids are ids");

int ct_blob_store_new(
    const struct ct_blob_backend_ops *ops, void *backend, struct ct_blob_store **ret_store)
{
	CT_ASSERT(ops != NULL && backend != NULL);
	struct ct_blob_store *store = calloc(1, sizeof(*store));

	if (store == NULL) {
		ops->close(backend);
		return -ENOMEM;
	}
	store->ops = ops;
	store->backend = backend;
	ct_blob_claims_init(&store->claims);
	*ret_store = store;
	return 0;
}

void ct_blob_store_close(struct ct_blob_store *store)
{
	if (store == NULL)
		return;
	store->ops->close(store->backend);
	ct_blob_claims_done(&store->claims);
	free(store);
}

bool ct_blob_store_is_healthy(const struct ct_blob_store *store)
{
	return store->ops->is_healthy(store->backend);
}

int ct_blob_store_check_health(const struct ct_blob_store *store)
{
	return ct_blob_store_is_healthy(store) ? 0 : CT_ERROR_STORE_UNHEALTHY;
}

int ct_blob_store_available(struct ct_blob_store *store, uint64_t *ret_bytes)
{
	return store->ops->available(store->backend, ret_bytes);
}

int ct_blob_check_staging_id(const char *staging_id)
{
	return ct_id_is_valid(ct_slice_from_string(staging_id)) ? 0 : -EINVAL;
}

int ct_blob_staging_remove(struct ct_blob_store *store, const char *staging_id)
{
	int r = ct_blob_check_staging_id(staging_id);

	return r < 0 ? r : store->ops->staging_remove(store->backend, staging_id);
}

int ct_blob_staging_visit(struct ct_blob_store *store,
    int (*visit)(const char *staging_id, int64_t modified_ms, void *arg), void *arg)
{
	return store->ops->staging_visit(store->backend, visit, arg);
}

int ct_blob_remove(
    struct ct_blob_store *store, enum ct_blob_class class, const struct ct_digest *digest)
{
	CT_ASSERT(class < CT_BLOB_CLASS_COUNT);
	return store->ops->object_remove(store->backend, class, digest);
}

int ct_blob_visit(struct ct_blob_store *store, enum ct_blob_class class, unsigned shard,
    int (*visit)(const struct ct_digest *digest, const struct ct_blob_info *info, void *arg),
    void *arg)
{
	CT_ASSERT(class < CT_BLOB_CLASS_COUNT && shard < CT_BLOB_SHARDS);
	return store->ops->object_visit(store->backend, class, shard, visit, arg);
}

/* The row goes first: a crash between leaves a file without a row, never the other way round. */
static int remove_claimed(struct ct_blob_store *store, const struct ct_blob_claim *claim,
    int64_t before_ms, ct_blob_let_go_fn let_go, void *arg)
{
	struct ct_blob_info info;

	int r = store->ops->object_look(store->backend, claim->class, &claim->digest, &info);
	if (r < 0 && r != CT_ERROR_NOT_FOUND)
		return r;
	if (r == 0 && info.modified_ms >= before_ms)
		return -EBUSY;
	r = let_go(claim->class, &claim->digest, arg);
	return r < 0 ? r : store->ops->object_remove(store->backend, claim->class, &claim->digest);
}

int ct_blob_remove_unused(struct ct_blob_store *store, enum ct_blob_class class,
    const struct ct_digest *digest, int64_t before_ms, ct_blob_let_go_fn let_go, void *arg)
{
	struct ct_blob_claim claim;

	int r = ct_blob_claim_to_remove(&store->claims, &claim, class, digest);
	if (r < 0)
		return r;
	r = remove_claimed(store, &claim, before_ms, let_go, arg);
	ct_blob_claim_end(&store->claims, &claim);
	return r;
}

int ct_blob_store_flush(struct ct_blob_store *store)
{
	return store->ops->flush(store->backend);
}
