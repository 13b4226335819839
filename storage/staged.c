/*
 * Reading a staging file that somebody else has filled. Its bytes are hashed on the way, so what is
 * given out is what was sent, also when the disk has lost or changed something since.
 */
#include "storage/store_priv.h"

#include "base/cleanup.h"
#include "base/hash.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include <errno.h>
#include <stdlib.h>

#define BLOCK_BYTES (256u << 10)

typedef int (*take_fn)(const void *data, size_t length, void *arg);

static int read_blocks(struct ct_blob_store *store, struct ct_blob_stage *stage, uint64_t end,
    struct ct_hash *hash, take_fn take, void *arg)
{
	ct_cleanup(ct_free_pointer) uint8_t *block = malloc(BLOCK_BYTES);
	int r = block == NULL ? -ENOMEM : 0;

	for (uint64_t offset = 0; r == 0 && offset < end;) {
		uint64_t left = end - offset;
		size_t length = left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;

		r = store->ops->stage_read(store->backend, stage, offset, block, length);
		if (r < 0)
			return r;
		ct_hash_update(hash, block, length);
		r = take(block, length, arg);
		offset += length;
	}
	return r;
}

int ct_blob_staged_read(struct ct_blob_store *store, const char *staging_id,
    const struct ct_blob_checkpoint *at, take_fn take, void *arg)
{
	const struct ct_blob_writer_options options = {
		.class = CT_BLOB_ORIGINAL,
		.staging_id = staging_id,
		.declared_bytes = at->offset,
	};
	struct ct_blob_stage *stage;
	struct ct_hash expected, found;
	struct ct_digest expected_digest, found_digest;

	int r = ct_blob_check_staging_id(staging_id);
	if (r < 0 || at->offset == 0)
		return r;
	if (ct_hash_restore(&expected, at->hash_state, at->offset) < 0)
		return CT_ERROR_STAGING_DAMAGED;
	r = store->ops->stage_open(store->backend, &options, true, at->offset, &stage);
	if (r < 0)
		return r;
	ct_hash_init(&found);
	r = read_blocks(store, stage, at->offset, &found, take, arg);
	store->ops->stage_close(store->backend, stage, false);
	if (r != 0)
		return r;
	ct_hash_final(&expected, &expected_digest);
	ct_hash_final(&found, &found_digest);
	return ct_digest_equal(&expected_digest, &found_digest) ? 0 : CT_ERROR_STAGING_DAMAGED;
}
