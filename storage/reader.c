#include "storage/store_priv.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "calotype/error.h"
#include <errno.h>
#include <stdlib.h>

#define VERIFY_BLOCK_BYTES (256u << 10)

struct ct_blob_reader {
	struct ct_blob_store *store;
	struct ct_blob_object *object;
	enum ct_blob_class class;
	struct ct_digest digest;
	uint64_t size_bytes;
}; /* all set once */

int ct_blob_reader_open(struct ct_blob_store *store, enum ct_blob_class class,
    const struct ct_digest *digest, struct ct_blob_reader **ret_reader)
{
	CT_ASSERT(class < CT_BLOB_CLASS_COUNT);
	ct_cleanup(ct_free_pointer) struct ct_blob_reader *reader = calloc(1, sizeof(*reader));
	if (reader == NULL)
		return -ENOMEM;
	reader->store = store;
	reader->class = class;
	reader->digest = *digest;
	int r = store->ops->object_open(
	    store->backend, class, digest, &reader->object, &reader->size_bytes);
	if (r < 0)
		return r;
	*ret_reader = ct_steal(reader);
	return 0;
}

uint64_t ct_blob_reader_size(const struct ct_blob_reader *reader)
{
	return reader->size_bytes;
}

int ct_blob_reader_read(
    struct ct_blob_reader *reader, uint64_t offset, void *ret_data, size_t length_bytes)
{
	const struct ct_blob_store *store = reader->store;

	if (offset > reader->size_bytes || length_bytes > reader->size_bytes - offset)
		return -ENODATA;
	if (length_bytes == 0)
		return 0;
	return store->ops->object_read(
	    store->backend, reader->object, offset, ret_data, length_bytes);
}

int ct_blob_reader_verify(struct ct_blob_reader *reader)
{
	ct_cleanup(ct_free_pointer) uint8_t *block = malloc(VERIFY_BLOCK_BYTES);
	if (block == NULL)
		return -ENOMEM;

	struct ct_hash hash;
	ct_hash_init(&hash);
	for (uint64_t offset = 0; offset < reader->size_bytes;) {
		uint64_t left = reader->size_bytes - offset;
		size_t length = left < VERIFY_BLOCK_BYTES ? (size_t)left : VERIFY_BLOCK_BYTES;
		int r = ct_blob_reader_read(reader, offset, block, length);

		if (r < 0)
			return r;
		ct_hash_update(&hash, block, length);
		offset += length;
	}

	struct ct_digest digest;
	ct_hash_final(&hash, &digest);
	return ct_digest_equal(&digest, &reader->digest) ? 0 : CT_ERROR_DIGEST_MISMATCH;
}

int ct_blob_reader_dup_fd(struct ct_blob_reader *reader, int *ret_fd)
{
	const struct ct_blob_store *store = reader->store;

	return store->ops->object_dup_fd(store->backend, reader->object, ret_fd);
}

int ct_blob_set_aside(struct ct_blob_reader *reader)
{
	struct ct_blob_store *store = reader->store;
	struct ct_blob_claim claim;

	int r = ct_blob_claim_to_remove(&store->claims, &claim, reader->class, &reader->digest);
	if (r < 0)
		return r;
	r = store->ops->object_set_aside(
	    store->backend, reader->object, reader->class, &reader->digest);
	ct_blob_claim_end(&store->claims, &claim);
	return r;
}

void ct_blob_reader_close(struct ct_blob_reader *reader)
{
	if (reader == NULL)
		return;
	reader->store->ops->object_close(reader->store->backend, reader->object);
	free(reader);
}
