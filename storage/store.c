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
	*ret_store = store;
	return 0;
}

void ct_blob_store_close(struct ct_blob_store *store)
{
	if (store == NULL)
		return;
	store->ops->close(store->backend);
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
