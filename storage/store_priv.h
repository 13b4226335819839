/*
 * What store.c, writer.c, reader.c and failing.c share: a store is a backend and its operations.
 */
#ifndef CT_STORAGE_STORE_PRIV_H
#define CT_STORAGE_STORE_PRIV_H

#include "calotype/blob_backend.h"
#include "storage/claims.h"

struct ct_blob_store {
	const struct ct_blob_backend_ops *ops; /* set once */
	void *backend;			       /* set once */
	struct ct_blob_claims claims;
};

/* 0, or CT_ERROR_STORE_UNHEALTHY: asked before anything is written. */
int ct_blob_store_check_health(const struct ct_blob_store *store);

/* A name that may become a path: exactly 32 lower-case hex digits, else -EINVAL. */
int ct_blob_check_staging_id(const char *staging_id);

#endif
