/*
 * The generic half of writing. Bytes are written first and hashed after, so that a failed append
 * leaves offset and hash as they were: the last acknowledged state can still be synced.
 *
 * A crash between publishing and the caller's own record of it leaves a checkpoint at the end and
 * no staging file. Such a resume looks for the blob under the digest that the saved hash state
 * stands for; when it is there, the writer has no stage and its commit finds the blob present.
 */
#include "storage/store_priv.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "calotype/blob_writeout.h"
#include "calotype/error.h"
#include <errno.h>
#include <stdlib.h>

#define PREFIX_BLOCK_BYTES (128u << 10)

struct ct_blob_writer {
	struct ct_blob_store *store; /* set once */
	struct ct_blob_stage *stage; /* NULL: the blob was published before a crash */
	enum ct_blob_class class;    /* set once */
	uint64_t declared_bytes;     /* set once */
	uint64_t offset;
	struct ct_hash hash; /* of the bytes before `offset` */
	bool committed;
	bool is_claimed;
	struct ct_blob_claim claim; /* from the commit to the close */
};

static int check_options(
    const struct ct_blob_store *store, const struct ct_blob_writer_options *options)
{
	CT_ASSERT(options->class < CT_BLOB_CLASS_COUNT);
	if (options->staging_id != NULL && ct_blob_check_staging_id(options->staging_id) < 0)
		return -EINVAL;
	return ct_blob_store_check_health(store);
}

static struct ct_blob_writer *writer_new(
    struct ct_blob_store *store, const struct ct_blob_writer_options *options)
{
	struct ct_blob_writer *writer = calloc(1, sizeof(*writer));

	if (writer == NULL)
		return NULL;
	writer->store = store;
	writer->class = options->class;
	writer->declared_bytes = options->declared_bytes;
	ct_hash_init(&writer->hash);
	return writer;
}

int ct_blob_writer_begin(struct ct_blob_store *store, const struct ct_blob_writer_options *options,
    struct ct_blob_writer **ret_writer)
{
	int r = check_options(store, options);
	if (r < 0)
		return r;

	ct_cleanup(ct_free_pointer) struct ct_blob_writer *writer = writer_new(store, options);
	if (writer == NULL)
		return -ENOMEM;
	r = store->ops->stage_open(store->backend, options, false, 0, &writer->stage);
	if (r < 0)
		return r;
	*ret_writer = ct_steal(writer);
	return 0;
}

static int restore(struct ct_blob_writer *writer, const struct ct_blob_checkpoint *at)
{
	if (at->offset > writer->declared_bytes)
		return CT_ERROR_STAGING_DAMAGED;
	writer->offset = at->offset;
	if (at->offset == 0)
		return 0;
	if (ct_hash_restore(&writer->hash, at->hash_state, at->offset) < 0)
		return CT_ERROR_STAGING_DAMAGED;
	return 0;
}

void ct_blob_writer_digest(const struct ct_blob_writer *writer, struct ct_digest *ret_digest)
{
	struct ct_hash hash = writer->hash;

	ct_hash_final(&hash, ret_digest);
}

/* What is in the staging file must have the digest that the saved state stands for. */
static int hash_prefix(struct ct_blob_writer *writer)
{
	struct ct_blob_store *store = writer->store;
	struct ct_digest expected, found;
	struct ct_hash hash;
	ct_cleanup(ct_free_pointer) uint8_t *block = malloc(PREFIX_BLOCK_BYTES);

	if (block == NULL)
		return -ENOMEM;
	ct_hash_init(&hash);
	for (uint64_t offset = 0; offset < writer->offset;) {
		uint64_t left = writer->offset - offset;
		size_t length = left < PREFIX_BLOCK_BYTES ? (size_t)left : PREFIX_BLOCK_BYTES;
		int r =
		    store->ops->stage_read(store->backend, writer->stage, offset, block, length);

		if (r < 0)
			return r;
		ct_hash_update(&hash, block, length);
		offset += length;
	}
	ct_hash_final(&hash, &found);
	ct_blob_writer_digest(writer, &expected);
	return ct_digest_equal(&found, &expected) ? 0 : CT_ERROR_STAGING_DAMAGED;
}

static bool is_published(const struct ct_blob_writer *writer)
{
	const struct ct_blob_store *store = writer->store;
	struct ct_blob_object *object;
	struct ct_digest digest;
	uint64_t size_bytes;

	ct_blob_writer_digest(writer, &digest);
	if (store->ops->object_open(store->backend, writer->class, &digest, &object, &size_bytes) <
	    0)
		return false;
	store->ops->object_close(store->backend, object);
	return size_bytes == writer->offset;
}

/*
 * Where a checkpoint does not wait for the disk, a power cut may have kept the row and lost the
 * bytes: they are hashed again. Closes the stage when they are not what was sent.
 */
static int check_prefix(struct ct_blob_writer *writer)
{
	struct ct_blob_store *store = writer->store;

	if (writer->offset == 0 || store->ops->is_strict(store->backend))
		return 0;
	int r = hash_prefix(writer);
	if (r < 0)
		store->ops->stage_close(store->backend, ct_steal(writer->stage), false);
	return r;
}

int ct_blob_writer_resume(struct ct_blob_store *store, const struct ct_blob_writer_options *options,
    const struct ct_blob_checkpoint *at, struct ct_blob_writer **ret_writer)
{
	if (options->staging_id == NULL)
		return -EINVAL;
	int r = check_options(store, options);
	if (r < 0)
		return r;

	ct_cleanup(ct_free_pointer) struct ct_blob_writer *writer = writer_new(store, options);
	if (writer == NULL)
		return -ENOMEM;
	r = restore(writer, at);
	if (r < 0)
		return r;
	r = store->ops->stage_open(store->backend, options, true, at->offset, &writer->stage);
	if (r == 0)
		r = check_prefix(writer);
	if (r == CT_ERROR_STAGING_DAMAGED && at->offset == options->declared_bytes &&
	    is_published(writer))
		r = 0;
	if (r < 0)
		return r;
	*ret_writer = ct_steal(writer);
	return 0;
}

int ct_blob_writer_append(struct ct_blob_writer *writer, const void *data, size_t length_bytes)
{
	CT_ASSERT(!writer->committed);
	struct ct_blob_store *store = writer->store;

	int r = ct_blob_store_check_health(store);
	if (r < 0)
		return r;
	if (length_bytes > writer->declared_bytes - writer->offset)
		return CT_ERROR_TOO_LARGE;
	if (length_bytes == 0)
		return 0;

	CT_ASSERT(writer->stage != NULL);
	r = store->ops->stage_write(
	    store->backend, writer->stage, writer->offset, data, length_bytes);
	if (r < 0)
		return r;
	ct_hash_update(&writer->hash, data, length_bytes);
	writer->offset += length_bytes;
	return 0;
}

int ct_blob_writer_read(
    struct ct_blob_writer *writer, uint64_t offset, void *ret_data, size_t length_bytes)
{
	CT_ASSERT(!writer->committed);
	if (offset > writer->offset || length_bytes > writer->offset - offset)
		return -EINVAL;
	if (writer->stage == NULL)
		return CT_ERROR_STAGING_DAMAGED;
	return writer->store->ops->stage_read(
	    writer->store->backend, writer->stage, offset, ret_data, length_bytes);
}

uint64_t ct_blob_writer_offset(const struct ct_blob_writer *writer)
{
	return writer->offset;
}

bool ct_blob_writer_writeout(struct ct_blob_writer *writer, struct ct_blob_writeout **ret_writeout)
{
	const struct ct_blob_store *store = writer->store;

	CT_ASSERT(!writer->committed);
	if (store->ops->stage_writeout == NULL || writer->stage == NULL)
		return false;
	return store->ops->stage_writeout(
	    store->backend, writer->stage, writer->offset, ret_writeout);
}

void ct_blob_writeout_run(struct ct_blob_writeout *writeout)
{
	writeout->run(writeout);
}

void ct_blob_writeout_drop(struct ct_blob_writeout *writeout)
{
	writeout->drop(writeout);
}

int ct_blob_writer_sync(struct ct_blob_writer *writer, struct ct_blob_checkpoint *ret_checkpoint)
{
	CT_ASSERT(!writer->committed);
	struct ct_blob_store *store = writer->store;

	int r = ct_blob_store_check_health(store);
	if (r == 0 && writer->stage != NULL)
		r = store->ops->stage_sync(store->backend, writer->stage);
	if (r < 0)
		return r;
	ret_checkpoint->offset = writer->offset;
	ct_hash_save(&writer->hash, ret_checkpoint->hash_state);
	return 0;
}

int ct_blob_writer_commit(struct ct_blob_writer *writer, struct ct_blob_committed *ret_committed)
{
	CT_ASSERT(!writer->committed);
	struct ct_blob_store *store = writer->store;
	struct ct_digest digest;
	bool was_present;

	int r = ct_blob_store_check_health(store);
	if (r < 0)
		return r;
	if (writer->declared_bytes != CT_BLOB_LENGTH_UNKNOWN &&
	    writer->offset != writer->declared_bytes)
		return CT_ERROR_LENGTH_MISMATCH;

	ct_blob_writer_digest(writer, &digest);
	if (!writer->is_claimed)
		ct_blob_claim_to_publish(&store->claims, &writer->claim, writer->class, &digest);
	writer->is_claimed = true;
	if (writer->stage != NULL) {
		r = store->ops->stage_publish(
		    store->backend, writer->stage, writer->offset, &digest, &was_present);
	} else {
		/* The crash may have come between the name and its fsync. */
		r = store->ops->object_sync(store->backend, writer->class, &digest);
		was_present = true;
	}
	if (r < 0)
		return r;
	writer->committed = true;
	/* Here, where waiting for the disk is allowed. */
	if (writer->stage != NULL)
		store->ops->stage_close(store->backend, ct_steal(writer->stage), false);
	*ret_committed = (struct ct_blob_committed){
		.digest = digest,
		.size_bytes = writer->offset,
		.was_present = was_present,
	};
	return 0;
}

static void end(struct ct_blob_writer *writer, bool discard)
{
	if (writer == NULL)
		return;
	if (writer->stage != NULL)
		writer->store->ops->stage_close(writer->store->backend, writer->stage, discard);
	if (writer->is_claimed)
		ct_blob_claim_end(&writer->store->claims, &writer->claim);
	free(writer);
}

void ct_blob_writer_close(struct ct_blob_writer *writer)
{
	end(writer, false);
}

void ct_blob_writer_discard(struct ct_blob_writer *writer)
{
	end(writer, true);
}
