/*
 * For those who write a backend of the blob store (storage/disk.c, memory.c, failing.c). The
 * generic half (store.c, writer.c, reader.c) hashes, counts and checks; a backend moves bytes.
 * The thread rule and the errors are those of blob.h. A struct of a backend begins with these.
 */
#ifndef CALOTYPE_BLOB_BACKEND_H
#define CALOTYPE_BLOB_BACKEND_H

#include "calotype/blob.h"
#include "calotype/blob_upkeep.h"
#include "calotype/blob_writeout.h"

struct ct_blob_stage;  /* an open staging file */
struct ct_blob_object; /* an open blob */

/* A backend's own begins with this; see blob_writeout.h. */
struct ct_blob_writeout {
	void (*run)(struct ct_blob_writeout *writeout);
	void (*drop)(struct ct_blob_writeout *writeout);
};

struct ct_blob_backend_ops {
	void (*close)(void *backend);
	bool (*is_healthy)(const void *backend);
	int (*available)(void *backend, uint64_t *ret_bytes);
	/* False: a checkpoint may be of bytes that a power cut has taken, so a resume checks them.
	 */
	bool (*is_strict)(const void *backend);
	int (*flush)(void *backend); /* ct_blob_store_flush() */

	/* `offset`: 0 and fresh, or where a resumed one is cut; see blob.h for reserving. */
	int (*stage_open)(void *backend, const struct ct_blob_writer_options *options, bool resume,
	    uint64_t offset, struct ct_blob_stage **ret_stage);
	int (*stage_write)(void *backend, struct ct_blob_stage *stage, uint64_t offset,
	    const void *data, size_t length_bytes);
	/* Exactly `length_bytes` that were written before. */
	int (*stage_read)(void *backend, struct ct_blob_stage *stage, uint64_t offset,
	    void *ret_data, size_t length_bytes);
	int (*stage_sync)(void *backend, struct ct_blob_stage *stage);
	/* ct_blob_writer_writeout() of the bytes before `written_to`; NULL: nothing to be early
	 * for.
	 */
	bool (*stage_writeout)(void *backend, struct ct_blob_stage *stage, uint64_t written_to,
	    struct ct_blob_writeout **ret_writeout);
	/* Trims to `size_bytes`, makes bytes and name durable as the class asks. */
	int (*stage_publish)(void *backend, struct ct_blob_stage *stage, uint64_t size_bytes,
	    const struct ct_digest *digest, bool *ret_was_present);
	void (*stage_close)(void *backend, struct ct_blob_stage *stage, bool discard);
	int (*staging_remove)(void *backend, const char *staging_id);
	int (*staging_visit)(void *backend,
	    int (*visit)(const char *staging_id, int64_t modified_ms, void *arg), void *arg);

	int (*object_open)(void *backend, enum ct_blob_class class, const struct ct_digest *digest,
	    struct ct_blob_object **ret_object, uint64_t *ret_size_bytes);
	int (*object_read)(void *backend, struct ct_blob_object *object, uint64_t offset,
	    void *ret_data, size_t length_bytes);
	int (*object_dup_fd)(void *backend, struct ct_blob_object *object, int *ret_fd);
	void (*object_close)(void *backend, struct ct_blob_object *object);
	/* Makes the presence of a blob as durable as stage_publish would; CT_ERROR_NOT_FOUND. */
	int (*object_sync)(void *backend, enum ct_blob_class class, const struct ct_digest *digest);
	int (*object_remove)(
	    void *backend, enum ct_blob_class class, const struct ct_digest *digest);

	/* As ct_blob_visit() and ct_blob_set_aside(); the caller has claimed what is set aside. */
	int (*object_visit)(void *backend, enum ct_blob_class class, unsigned shard,
	    int (*visit)(
		const struct ct_digest *digest, const struct ct_blob_info *info, void *arg),
	    void *arg);
	int (*object_look)(void *backend, enum ct_blob_class class, const struct ct_digest *digest,
	    struct ct_blob_info *ret_info); /* CT_ERROR_NOT_FOUND */
	int (*object_set_aside)(void *backend, struct ct_blob_object *object,
	    enum ct_blob_class class, const struct ct_digest *digest);
};

/* Takes over `backend` also when it fails. */
int ct_blob_store_new(
    const struct ct_blob_backend_ops *ops, void *backend, struct ct_blob_store **ret_store);

/*
 * A wrapper for tests that fails on demand. It takes over `inner`. `plan` outlives it and may be
 * changed while it runs: the nth call of an operation from now (1 is the next, 0 is none) returns
 * `error`, after the inner operation was done when `after` is set. As with a real disk, a failed
 * STAGE_SYNC makes the store unhealthy for good, and so does the error CT_ERROR_STORE_UNHEALTHY.
 */
enum ct_failing_operation {
	CT_FAIL_STAGE_OPEN,
	CT_FAIL_STAGE_WRITE,
	CT_FAIL_STAGE_SYNC,
	CT_FAIL_STAGE_PUBLISH,
	CT_FAIL_OBJECT_OPEN,
	CT_FAIL_OBJECT_READ,
	CT_FAIL_OBJECT_REMOVE,
	CT_FAIL_STAGE_DISCARD, /* nobody is told; the stage is closed all the same */
	CT_FAIL_STAGING_REMOVE,
	CT_FAIL_OBJECT_SYNC,
	CT_FAIL_OBJECT_SET_ASIDE,
	CT_FAIL_OPERATION_COUNT
};

struct ct_failing_plan;
int ct_failing_plan_new(struct ct_failing_plan **ret_plan);
void ct_failing_plan_free(struct ct_failing_plan *plan);
void ct_failing_plan_set(struct ct_failing_plan *plan, enum ct_failing_operation operation,
    unsigned nth, int error, bool after);
int ct_blob_store_open_failing(
    struct ct_blob_store *inner, struct ct_failing_plan *plan, struct ct_blob_store **ret_store);

/*
 * The same with a judge in place of a plan, asked before each of the operations: what it returns
 * below 0 is the result, and the operation is not done. Any thread. `inner` is borrowed: it
 * outlives the wrapper.
 */
typedef int (*ct_failing_judge_fn)(void *arg, enum ct_failing_operation operation);
int ct_blob_store_open_judged(struct ct_blob_store *inner, ct_failing_judge_fn judge, void *arg,
    struct ct_blob_store **ret_store);

#endif
