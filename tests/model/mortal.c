#include "mortal.h"

#include "base/lock.h"
#include "calotype/blob_upkeep.h"
#include "storage/store_priv.h"

#include <errno.h>
#include <stdlib.h>

struct mortal {
	/* set once */
	struct ct_blob_store *inner; /* owned */
	void (*died)(void *arg);
	void *arg;

	struct ct_lock lock;
	/* under lock */
	unsigned nth; /* 0: no death is near */
	bool after;
	bool is_dead;
};

enum blow { BLOW_NONE, BLOW_BEFORE, BLOW_AFTER };

int mortal_new(
    struct ct_blob_store *inner, void (*died)(void *arg), void *arg, struct mortal **ret_mortal)
{
	struct mortal *mortal = calloc(1, sizeof(*mortal));

	if (mortal == NULL)
		return -ENOMEM;
	mortal->inner = inner;
	mortal->died = died;
	mortal->arg = arg;
	ct_lock_init(&mortal->lock, CT_LOCK_LEAF);
	*ret_mortal = mortal;
	return 0;
}

void mortal_free(struct mortal *mortal)
{
	if (mortal == NULL)
		return;
	ct_blob_store_close(mortal->inner);
	ct_lock_done(&mortal->lock);
	free(mortal);
}

void mortal_set_death(struct mortal *mortal, unsigned nth, bool after)
{
	ct_lock_take(&mortal->lock);
	mortal->nth = nth;
	mortal->after = after;
	ct_lock_release(&mortal->lock);
}

bool mortal_is_dead(struct mortal *mortal)
{
	ct_lock_take(&mortal->lock);
	bool is_dead = mortal->is_dead;
	ct_lock_release(&mortal->lock);
	return is_dead;
}

void mortal_die(struct mortal *mortal)
{
	ct_lock_take(&mortal->lock);
	bool was_dead = mortal->is_dead;
	mortal->is_dead = true;
	ct_lock_release(&mortal->lock);
	if (!was_dead)
		mortal->died(mortal->arg);
}

/* Counts one operation. After BLOW_AFTER the caller does it, then calls mortal_die(). */
static enum blow strike(struct mortal *mortal)
{
	enum blow blow = BLOW_NONE;

	ct_lock_take(&mortal->lock);
	bool is_now = !mortal->is_dead && mortal->nth > 0 && --mortal->nth == 0;
	if (mortal->is_dead)
		blow = BLOW_BEFORE;
	else if (is_now)
		blow = mortal->after ? BLOW_AFTER : BLOW_BEFORE;
	ct_lock_release(&mortal->lock);
	if (blow == BLOW_BEFORE)
		mortal_die(mortal);
	return blow;
}

/* An operation was done; what comes next will not be. */
static int survive(struct mortal *mortal, enum blow blow, int result)
{
	if (blow == BLOW_AFTER)
		mortal_die(mortal);
	return result;
}

static void close_none(void *backend)
{
	(void)backend;
}

static bool is_healthy(const void *backend)
{
	const struct mortal *mortal = backend;

	return ct_blob_store_is_healthy(mortal->inner);
}

static int available(void *backend, uint64_t *ret_bytes)
{
	struct mortal *mortal = backend;

	return ct_blob_store_available(mortal->inner, ret_bytes);
}

/* ---- stages ---- */

static int stage_open(void *backend, const struct ct_blob_writer_options *options, bool resume,
    uint64_t offset, struct ct_blob_stage **ret_stage)
{
	struct mortal *mortal = backend;
	const struct ct_blob_store *inner = mortal->inner;
	enum blow blow = strike(mortal);
	struct ct_blob_stage *stage;

	if (blow == BLOW_BEFORE)
		return -EIO;
	int r = inner->ops->stage_open(inner->backend, options, resume, offset, &stage);
	r = survive(mortal, blow, r);
	if (r == 0)
		*ret_stage = stage;
	return r;
}

static int stage_write(void *backend, struct ct_blob_stage *stage, uint64_t offset,
    const void *data, size_t length_bytes)
{
	struct mortal *mortal = backend;
	const struct ct_blob_store *inner = mortal->inner;
	enum blow blow = strike(mortal);

	if (blow == BLOW_BEFORE)
		return -EIO;
	return survive(mortal, blow,
	    inner->ops->stage_write(inner->backend, stage, offset, data, length_bytes));
}

static int stage_read(void *backend, struct ct_blob_stage *stage, uint64_t offset, void *ret_data,
    size_t length_bytes)
{
	struct mortal *mortal = backend;
	const struct ct_blob_store *inner = mortal->inner;

	return inner->ops->stage_read(inner->backend, stage, offset, ret_data, length_bytes);
}

static int stage_sync(void *backend, struct ct_blob_stage *stage)
{
	struct mortal *mortal = backend;
	const struct ct_blob_store *inner = mortal->inner;
	enum blow blow = strike(mortal);

	if (blow == BLOW_BEFORE)
		return -EIO;
	return survive(mortal, blow, inner->ops->stage_sync(inner->backend, stage));
}

static int stage_publish(void *backend, struct ct_blob_stage *stage, uint64_t size_bytes,
    const struct ct_digest *digest, bool *ret_was_present)
{
	struct mortal *mortal = backend;
	const struct ct_blob_store *inner = mortal->inner;
	enum blow blow = strike(mortal);

	if (blow == BLOW_BEFORE)
		return -EIO;
	return survive(mortal, blow,
	    inner->ops->stage_publish(inner->backend, stage, size_bytes, digest, ret_was_present));
}

/* A dead process closes its files, and removes none. */
static void stage_close(void *backend, struct ct_blob_stage *stage, bool discard)
{
	struct mortal *mortal = backend;
	const struct ct_blob_store *inner = mortal->inner;
	enum blow blow = discard ? strike(mortal) : BLOW_NONE;

	inner->ops->stage_close(inner->backend, stage, discard && blow != BLOW_BEFORE);
	(void)survive(mortal, blow, 0); /* nobody is told */
}

static int staging_remove(void *backend, const char *staging_id)
{
	struct mortal *mortal = backend;
	enum blow blow = strike(mortal);

	if (blow == BLOW_BEFORE)
		return -EIO;
	return survive(mortal, blow, ct_blob_staging_remove(mortal->inner, staging_id));
}

static int staging_visit(
    void *backend, int (*visit)(const char *staging_id, int64_t modified_ms, void *arg), void *arg)
{
	struct mortal *mortal = backend;

	return ct_blob_staging_visit(mortal->inner, visit, arg);
}

/* ---- objects ---- */

static int object_open(void *backend, enum ct_blob_class class, const struct ct_digest *digest,
    struct ct_blob_object **ret_object, uint64_t *ret_size_bytes)
{
	struct mortal *mortal = backend;
	const struct ct_blob_store *inner = mortal->inner;

	return inner->ops->object_open(inner->backend, class, digest, ret_object, ret_size_bytes);
}

static int object_read(void *backend, struct ct_blob_object *object, uint64_t offset,
    void *ret_data, size_t length_bytes)
{
	struct mortal *mortal = backend;
	const struct ct_blob_store *inner = mortal->inner;

	return inner->ops->object_read(inner->backend, object, offset, ret_data, length_bytes);
}

static int object_dup_fd(void *backend, struct ct_blob_object *object, int *ret_fd)
{
	struct mortal *mortal = backend;

	return mortal->inner->ops->object_dup_fd(mortal->inner->backend, object, ret_fd);
}

static void object_close(void *backend, struct ct_blob_object *object)
{
	struct mortal *mortal = backend;

	mortal->inner->ops->object_close(mortal->inner->backend, object);
}

static int object_sync(void *backend, enum ct_blob_class class, const struct ct_digest *digest)
{
	struct mortal *mortal = backend;
	const struct ct_blob_store *inner = mortal->inner;
	enum blow blow = strike(mortal);

	if (blow == BLOW_BEFORE)
		return -EIO;
	return survive(mortal, blow, inner->ops->object_sync(inner->backend, class, digest));
}

static int object_remove(void *backend, enum ct_blob_class class, const struct ct_digest *digest)
{
	struct mortal *mortal = backend;
	enum blow blow = strike(mortal);

	if (blow == BLOW_BEFORE)
		return -EIO;
	return survive(mortal, blow, ct_blob_remove(mortal->inner, class, digest));
}

static int object_visit(void *backend, enum ct_blob_class class, unsigned shard,
    int (*visit)(const struct ct_digest *digest, const struct ct_blob_info *info, void *arg),
    void *arg)
{
	struct mortal *mortal = backend;

	return ct_blob_visit(mortal->inner, class, shard, visit, arg);
}

static int object_look(void *backend, enum ct_blob_class class, const struct ct_digest *digest,
    struct ct_blob_info *ret_info)
{
	struct mortal *mortal = backend;
	const struct ct_blob_store *inner = mortal->inner;

	return inner->ops->object_look(inner->backend, class, digest, ret_info);
}

static int object_set_aside(void *backend, struct ct_blob_object *object, enum ct_blob_class class,
    const struct ct_digest *digest)
{
	struct mortal *mortal = backend;
	const struct ct_blob_store *inner = mortal->inner;
	enum blow blow = strike(mortal);

	if (blow == BLOW_BEFORE)
		return -EIO;
	return survive(
	    mortal, blow, inner->ops->object_set_aside(inner->backend, object, class, digest));
}

static bool is_strict(const void *backend)
{
	const struct mortal *mortal = backend;

	return mortal->inner->ops->is_strict(mortal->inner->backend);
}

static int flush(void *backend)
{
	struct mortal *mortal = backend;

	return ct_blob_store_flush(mortal->inner);
}

static const struct ct_blob_backend_ops mortal_ops = {
	.close = close_none,
	.is_healthy = is_healthy,
	.available = available,
	.stage_open = stage_open,
	.stage_write = stage_write,
	.stage_read = stage_read,
	.stage_sync = stage_sync,
	.stage_publish = stage_publish,
	.stage_close = stage_close,
	.staging_remove = staging_remove,
	.staging_visit = staging_visit,
	.object_open = object_open,
	.object_read = object_read,
	.object_dup_fd = object_dup_fd,
	.object_close = object_close,
	.object_sync = object_sync,
	.object_remove = object_remove,
	.object_visit = object_visit,
	.object_look = object_look,
	.object_set_aside = object_set_aside,
	.is_strict = is_strict,
	.flush = flush,
};

int mortal_open(struct mortal *mortal, struct ct_blob_store **ret_store)
{
	ct_lock_take(&mortal->lock);
	mortal->nth = 0;
	mortal->is_dead = false;
	ct_lock_release(&mortal->lock);
	return ct_blob_store_new(&mortal_ops, mortal, ret_store);
}
