#include "storage/store_priv.h"

#include "base/assert.h"
#include "base/lock.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

struct fault {
	unsigned nth; /* 0: none */
	int error;
	bool after;
};

struct ct_failing_plan {
	struct ct_lock lock;
	struct fault faults[CT_FAIL_OPERATION_COUNT]; /* under `lock` */
};

struct failing {
	/* set once; a plan or a judge */
	struct ct_blob_store *inner;  /* owned with a plan, borrowed with a judge */
	struct ct_failing_plan *plan; /* borrowed */
	ct_failing_judge_fn judge;
	void *judge_arg;
	atomic_bool unhealthy;
};

int ct_failing_plan_new(struct ct_failing_plan **ret_plan)
{
	struct ct_failing_plan *plan = calloc(1, sizeof(*plan));

	if (plan == NULL)
		return -ENOMEM;
	ct_lock_init(&plan->lock, CT_LOCK_LEAF);
	*ret_plan = plan;
	return 0;
}

void ct_failing_plan_free(struct ct_failing_plan *plan)
{
	if (plan == NULL)
		return;
	ct_lock_done(&plan->lock);
	free(plan);
}

void ct_failing_plan_set(struct ct_failing_plan *plan, enum ct_failing_operation operation,
    unsigned nth, int error, bool after)
{
	CT_ASSERT(operation < CT_FAIL_OPERATION_COUNT && (nth == 0 || error < 0));
	ct_lock_take(&plan->lock);
	plan->faults[operation] = (struct fault){ nth, error, after };
	ct_lock_release(&plan->lock);
}

static struct fault next_planned(struct ct_failing_plan *plan, enum ct_failing_operation operation)
{
	struct fault *planned = &plan->faults[operation];
	struct fault fault = { 0 };

	ct_lock_take(&plan->lock);
	if (planned->nth > 0 && --planned->nth == 0)
		fault = *planned;
	ct_lock_release(&plan->lock);
	return fault;
}

/* Counts one call; what it has to suffer, with error 0 for nothing. */
static struct fault next_fault(struct failing *failing, enum ct_failing_operation operation)
{
	struct fault fault = { 0 };

	if (failing->judge != NULL)
		fault.error = failing->judge(failing->judge_arg, operation);
	else
		fault = next_planned(failing->plan, operation);
	if (fault.error == CT_ERROR_STORE_UNHEALTHY ||
	    (fault.error < 0 && operation == CT_FAIL_STAGE_SYNC))
		atomic_store(&failing->unhealthy, true);
	return fault;
}

static void failing_close(void *backend)
{
	struct failing *failing = backend;

	if (failing->judge == NULL)
		ct_blob_store_close(failing->inner);
	free(failing);
}

static bool is_healthy(const void *backend)
{
	const struct failing *failing = backend;

	return !atomic_load(&failing->unhealthy) && ct_blob_store_is_healthy(failing->inner);
}

static int available(void *backend, uint64_t *ret_bytes)
{
	struct failing *failing = backend;

	return ct_blob_store_available(failing->inner, ret_bytes);
}

static int stage_open(void *backend, const struct ct_blob_writer_options *options, bool resume,
    uint64_t offset, struct ct_blob_stage **ret_stage)
{
	struct failing *failing = backend;
	const struct ct_blob_store *inner = failing->inner;
	struct fault fault = next_fault(failing, CT_FAIL_STAGE_OPEN);
	struct ct_blob_stage *stage;

	if (fault.error < 0 && !fault.after)
		return fault.error;
	int r = inner->ops->stage_open(inner->backend, options, resume, offset, &stage);
	if (r < 0)
		return r;
	if (fault.error < 0) {
		inner->ops->stage_close(inner->backend, stage, false);
		return fault.error;
	}
	*ret_stage = stage;
	return 0;
}

static int stage_write(void *backend, struct ct_blob_stage *stage, uint64_t offset,
    const void *data, size_t length_bytes)
{
	struct failing *failing = backend;
	const struct ct_blob_store *inner = failing->inner;
	struct fault fault = next_fault(failing, CT_FAIL_STAGE_WRITE);

	if (fault.error < 0 && !fault.after)
		return fault.error;
	int r = inner->ops->stage_write(inner->backend, stage, offset, data, length_bytes);
	return r < 0 ? r : fault.error;
}

static int stage_read(void *backend, struct ct_blob_stage *stage, uint64_t offset, void *ret_data,
    size_t length_bytes)
{
	struct failing *failing = backend;
	const struct ct_blob_store *inner = failing->inner;
	return inner->ops->stage_read(inner->backend, stage, offset, ret_data, length_bytes);
}

static int stage_sync(void *backend, struct ct_blob_stage *stage)
{
	struct failing *failing = backend;
	const struct ct_blob_store *inner = failing->inner;
	struct fault fault = next_fault(failing, CT_FAIL_STAGE_SYNC);

	if (fault.error < 0 && !fault.after)
		return fault.error;
	int r = inner->ops->stage_sync(inner->backend, stage);
	return r < 0 ? r : fault.error;
}

static bool stage_writeout(void *backend, struct ct_blob_stage *stage, uint64_t written_to,
    struct ct_blob_writeout **ret_writeout)
{
	struct failing *failing = backend;
	const struct ct_blob_store *inner = failing->inner;

	return inner->ops->stage_writeout != NULL &&
	       inner->ops->stage_writeout(inner->backend, stage, written_to, ret_writeout);
}

static int stage_publish(void *backend, struct ct_blob_stage *stage, uint64_t size_bytes,
    const struct ct_digest *digest, bool *ret_was_present)
{
	struct failing *failing = backend;
	const struct ct_blob_store *inner = failing->inner;
	struct fault fault = next_fault(failing, CT_FAIL_STAGE_PUBLISH);
	bool was_present;

	if (fault.error < 0 && !fault.after)
		return fault.error;
	int r = inner->ops->stage_publish(inner->backend, stage, size_bytes, digest, &was_present);
	if (r < 0 || fault.error < 0)
		return r < 0 ? r : fault.error;
	*ret_was_present = was_present;
	return 0;
}

static void stage_close(void *backend, struct ct_blob_stage *stage, bool discard)
{
	struct failing *failing = backend;
	const struct ct_blob_store *inner = failing->inner;
	struct fault fault = { 0 };

	if (discard)
		fault = next_fault(failing, CT_FAIL_STAGE_DISCARD);
	inner->ops->stage_close(
	    inner->backend, stage, discard && (fault.error == 0 || fault.after));
}

static int staging_remove(void *backend, const char *staging_id)
{
	struct failing *failing = backend;
	struct fault fault = next_fault(failing, CT_FAIL_STAGING_REMOVE);

	if (fault.error < 0 && !fault.after)
		return fault.error;
	int r = ct_blob_staging_remove(failing->inner, staging_id);
	return r < 0 ? r : fault.error;
}

static int staging_visit(
    void *backend, int (*visit)(const char *staging_id, int64_t modified_ms, void *arg), void *arg)
{
	struct failing *failing = backend;

	return ct_blob_staging_visit(failing->inner, visit, arg);
}

static int object_open(void *backend, enum ct_blob_class class, const struct ct_digest *digest,
    struct ct_blob_object **ret_object, uint64_t *ret_size_bytes)
{
	struct failing *failing = backend;
	const struct ct_blob_store *inner = failing->inner;
	struct fault fault = next_fault(failing, CT_FAIL_OBJECT_OPEN);
	struct ct_blob_object *object;
	uint64_t size_bytes;

	if (fault.error < 0 && !fault.after)
		return fault.error;
	int r = inner->ops->object_open(inner->backend, class, digest, &object, &size_bytes);
	if (r < 0)
		return r;
	if (fault.error < 0) {
		inner->ops->object_close(inner->backend, object);
		return fault.error;
	}
	*ret_object = object;
	*ret_size_bytes = size_bytes;
	return 0;
}

static int object_read(void *backend, struct ct_blob_object *object, uint64_t offset,
    void *ret_data, size_t length_bytes)
{
	struct failing *failing = backend;
	const struct ct_blob_store *inner = failing->inner;
	struct fault fault = next_fault(failing, CT_FAIL_OBJECT_READ);

	if (fault.error < 0 && !fault.after)
		return fault.error;
	int r = inner->ops->object_read(inner->backend, object, offset, ret_data, length_bytes);
	return r < 0 ? r : fault.error;
}

static int object_dup_fd(void *backend, struct ct_blob_object *object, int *ret_fd)
{
	struct failing *failing = backend;

	return failing->inner->ops->object_dup_fd(failing->inner->backend, object, ret_fd);
}

static void object_close(void *backend, struct ct_blob_object *object)
{
	struct failing *failing = backend;

	failing->inner->ops->object_close(failing->inner->backend, object);
}

static int object_sync(void *backend, enum ct_blob_class class, const struct ct_digest *digest)
{
	struct failing *failing = backend;
	const struct ct_blob_store *inner = failing->inner;
	struct fault fault = next_fault(failing, CT_FAIL_OBJECT_SYNC);

	if (fault.error < 0 && !fault.after)
		return fault.error;
	int r = inner->ops->object_sync(inner->backend, class, digest);
	return r < 0 ? r : fault.error;
}

static int object_remove(void *backend, enum ct_blob_class class, const struct ct_digest *digest)
{
	struct failing *failing = backend;
	struct fault fault = next_fault(failing, CT_FAIL_OBJECT_REMOVE);

	if (fault.error < 0 && !fault.after)
		return fault.error;
	int r = ct_blob_remove(failing->inner, class, digest);
	return r < 0 ? r : fault.error;
}

static int object_visit(void *backend, enum ct_blob_class class, unsigned shard,
    int (*visit)(const struct ct_digest *digest, const struct ct_blob_info *info, void *arg),
    void *arg)
{
	struct failing *failing = backend;

	return ct_blob_visit(failing->inner, class, shard, visit, arg);
}

static int object_look(void *backend, enum ct_blob_class class, const struct ct_digest *digest,
    struct ct_blob_info *ret_info)
{
	struct failing *failing = backend;
	const struct ct_blob_store *inner = failing->inner;

	return inner->ops->object_look(inner->backend, class, digest, ret_info);
}

static int object_set_aside(void *backend, struct ct_blob_object *object, enum ct_blob_class class,
    const struct ct_digest *digest)
{
	struct failing *failing = backend;
	const struct ct_blob_store *inner = failing->inner;
	struct fault fault = next_fault(failing, CT_FAIL_OBJECT_SET_ASIDE);

	if (fault.error < 0 && !fault.after)
		return fault.error;
	int r = inner->ops->object_set_aside(inner->backend, object, class, digest);
	return r < 0 ? r : fault.error;
}

static bool is_strict(const void *backend)
{
	const struct failing *failing = backend;

	return failing->inner->ops->is_strict(failing->inner->backend);
}

static int flush(void *backend)
{
	struct failing *failing = backend;

	return ct_blob_store_flush(failing->inner);
}

static const struct ct_blob_backend_ops failing_ops = {
	.close = failing_close,
	.is_healthy = is_healthy,
	.available = available,
	.stage_open = stage_open,
	.stage_write = stage_write,
	.stage_read = stage_read,
	.stage_sync = stage_sync,
	.stage_writeout = stage_writeout,
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

static int open_wrapper(const struct failing *wanted, struct ct_blob_store **ret_store)
{
	struct failing *failing = calloc(1, sizeof(*failing));

	if (failing == NULL) {
		if (wanted->judge == NULL)
			ct_blob_store_close(wanted->inner);
		return -ENOMEM;
	}
	*failing = *wanted;
	atomic_init(&failing->unhealthy, false);
	return ct_blob_store_new(&failing_ops, failing, ret_store);
}

int ct_blob_store_open_failing(
    struct ct_blob_store *inner, struct ct_failing_plan *plan, struct ct_blob_store **ret_store)
{
	return open_wrapper(&(struct failing){ .inner = inner, .plan = plan }, ret_store);
}

int ct_blob_store_open_judged(struct ct_blob_store *inner, ct_failing_judge_fn judge, void *arg,
    struct ct_blob_store **ret_store)
{
	return open_wrapper(
	    &(struct failing){ .inner = inner, .judge = judge, .judge_arg = arg }, ret_store);
}
