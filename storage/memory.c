/*
 * A store in memory, for tests and model checks: every promise of blob.h but durability. Lists are
 * searched from end to end. Bytes of a stage belong to its writer; lists, sums and reference
 * counts are under the lock.
 */
#include "calotype/blob_backend.h"
#include "calotype/blob_open.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/lock.h"
#include "calotype/error.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PROC_PATH_CHARS 32

struct ct_blob_stage {
	char id[CT_STAGING_ID_CHARS + 1]; /* empty: nameless */
	enum ct_blob_class class;
	uint8_t *data;
	uint64_t size_bytes, capacity_bytes;
	uint64_t reserved_bytes; /* under the lock */
	int64_t modified_ms;	 /* under the lock */
	bool is_open;		 /* under the lock */
	struct ct_blob_stage *next;
};

struct ct_blob_object {
	enum ct_blob_class class;
	struct ct_digest digest;
	uint8_t *data;
	uint64_t size_bytes;
	int64_t modified_ms; /* under the lock */
	unsigned references; /* under the lock: its name in the list, and readers */
	struct ct_blob_object *next;
};

struct memory {
	uint64_t capacity_bytes; /* set once */
	struct ct_lock lock;
	uint64_t used_bytes; /* under the lock: blobs and reservations */
	struct ct_blob_stage *stages;
	struct ct_blob_object *objects;
};

static int available(void *backend, uint64_t *ret_bytes)
{
	struct memory *memory = backend;

	ct_lock_take(&memory->lock);
	*ret_bytes = memory->capacity_bytes - memory->used_bytes;
	ct_lock_release(&memory->lock);
	return 0;
}

static bool is_healthy(const void *backend)
{
	(void)backend;
	return true;
}

/* ---- stages ---- */

static struct ct_blob_stage **find_stage_locked(struct memory *memory, const char *id)
{
	struct ct_blob_stage **link = &memory->stages;

	while (*link != NULL && strcmp((*link)->id, id) != 0)
		link = &(*link)->next;
	return link;
}

static int reserve_locked(struct memory *memory, struct ct_blob_stage *stage, uint64_t bytes)
{
	ct_lock_assert_held(&memory->lock);
	if (bytes <= stage->reserved_bytes)
		return 0;
	if (bytes - stage->reserved_bytes > memory->capacity_bytes - memory->used_bytes)
		return CT_ERROR_INSUFFICIENT_SPACE;
	memory->used_bytes += bytes - stage->reserved_bytes;
	stage->reserved_bytes = bytes;
	return 0;
}

static void stage_free(struct ct_blob_stage *stage)
{
	free(stage->data);
	free(stage);
}

/* Out of the list, if it is in it, and out of the sum; the caller frees. */
static void drop_locked(struct memory *memory, struct ct_blob_stage *stage)
{
	ct_lock_assert_held(&memory->lock);
	for (struct ct_blob_stage **link = &memory->stages; *link != NULL; link = &(*link)->next)
		if (*link == stage) {
			*link = stage->next;
			break;
		}
	CT_ASSERT(memory->used_bytes >= stage->reserved_bytes);
	memory->used_bytes -= stage->reserved_bytes;
	stage->reserved_bytes = 0;
}

static int begin_locked(struct memory *memory, const struct ct_blob_writer_options *options,
    struct ct_blob_stage *stage)
{
	const uint64_t declared = options->declared_bytes;

	if (options->staging_id != NULL) {
		if (*find_stage_locked(memory, options->staging_id) != NULL)
			return -EEXIST;
		memcpy(stage->id, options->staging_id, CT_STAGING_ID_CHARS);
	}
	int r = reserve_locked(memory, stage, declared == CT_BLOB_LENGTH_UNKNOWN ? 0 : declared);
	if (r < 0)
		return r;
	stage->class = options->class;
	stage->modified_ms = ct_clock_wall_ms();
	stage->is_open = true;
	if (options->staging_id != NULL) {
		stage->next = memory->stages;
		memory->stages = stage;
	}
	return 0;
}

static int stage_begin(struct memory *memory, const struct ct_blob_writer_options *options,
    struct ct_blob_stage **ret_stage)
{
	ct_cleanup(ct_free_pointer) struct ct_blob_stage *stage = calloc(1, sizeof(*stage));

	if (stage == NULL)
		return -ENOMEM;
	ct_lock_take(&memory->lock);
	int r = begin_locked(memory, options, stage);
	ct_lock_release(&memory->lock);
	if (r < 0)
		return r;
	*ret_stage = ct_steal(stage);
	return 0;
}

static int resume_locked(struct memory *memory, const struct ct_blob_writer_options *options,
    uint64_t offset, struct ct_blob_stage **ret_stage)
{
	const uint64_t declared = options->declared_bytes;
	struct ct_blob_stage *stage = *find_stage_locked(memory, options->staging_id);

	if (stage == NULL)
		return CT_ERROR_STAGING_DAMAGED;
	if (stage->is_open)
		return -EBUSY;
	if (stage->size_bytes < offset)
		return CT_ERROR_STAGING_DAMAGED;
	int r =
	    reserve_locked(memory, stage, declared == CT_BLOB_LENGTH_UNKNOWN ? offset : declared);
	if (r < 0)
		return r;
	stage->size_bytes = offset;
	stage->class = options->class;
	stage->is_open = true;
	*ret_stage = stage;
	return 0;
}

static int stage_open(void *backend, const struct ct_blob_writer_options *options, bool resume,
    uint64_t offset, struct ct_blob_stage **ret_stage)
{
	struct memory *memory = backend;

	if (!resume)
		return stage_begin(memory, options, ret_stage);
	ct_lock_take(&memory->lock);
	int r = resume_locked(memory, options, offset, ret_stage);
	ct_lock_release(&memory->lock);
	return r;
}

static int grow(struct ct_blob_stage *stage, uint64_t needed_bytes)
{
	uint64_t capacity_bytes = stage->capacity_bytes ? stage->capacity_bytes : 4096;

	if (needed_bytes <= stage->capacity_bytes)
		return 0;
	while (capacity_bytes < needed_bytes)
		capacity_bytes *= 2;
	uint8_t *data = realloc(stage->data, capacity_bytes);
	if (data == NULL)
		return -ENOMEM;
	stage->data = data;
	stage->capacity_bytes = capacity_bytes;
	return 0;
}

static int stage_write(void *backend, struct ct_blob_stage *stage, uint64_t offset,
    const void *data, size_t length_bytes)
{
	struct memory *memory = backend;
	uint64_t end = offset + length_bytes;

	ct_lock_take(&memory->lock);
	int r = reserve_locked(memory, stage, end);
	if (r == 0)
		stage->modified_ms = ct_clock_wall_ms();
	ct_lock_release(&memory->lock);
	if (r == 0)
		r = grow(stage, end);
	if (r < 0)
		return r;
	memcpy(stage->data + offset, data, length_bytes);
	stage->size_bytes = end;
	return 0;
}

static int stage_read(void *backend, struct ct_blob_stage *stage, uint64_t offset, void *ret_data,
    size_t length_bytes)
{
	(void)backend;
	if (offset + length_bytes > stage->size_bytes)
		return -ENODATA;
	memcpy(ret_data, stage->data + offset, length_bytes);
	return 0;
}

static int stage_sync(void *backend, struct ct_blob_stage *stage)
{
	(void)backend;
	(void)stage;
	return 0;
}

static void stage_close(void *backend, struct ct_blob_stage *stage, bool discard)
{
	struct memory *memory = backend;
	/* A name that was published is cut off by stage_publish(). */
	bool stays = !discard && stage->id[0] != '\0';

	ct_lock_take(&memory->lock);
	stage->is_open = false;
	if (!stays)
		drop_locked(memory, stage);
	ct_lock_release(&memory->lock);
	if (!stays)
		stage_free(stage);
}

static int staging_remove(void *backend, const char *staging_id)
{
	struct memory *memory = backend;
	int r = 0;

	ct_lock_take(&memory->lock);
	struct ct_blob_stage *stage = *find_stage_locked(memory, staging_id);
	if (stage != NULL && stage->is_open) {
		r = -EBUSY;
		stage = NULL;
	}
	if (stage != NULL)
		drop_locked(memory, stage);
	ct_lock_release(&memory->lock);
	if (stage != NULL)
		stage_free(stage);
	return r;
}

struct visited {
	char id[CT_STAGING_ID_CHARS + 1];
	int64_t modified_ms;
};

static int list_stages(struct memory *memory, struct visited **ret_list, size_t *ret_count)
{
	size_t count = 0, i = 0;

	ct_lock_take(&memory->lock);
	for (const struct ct_blob_stage *stage = memory->stages; stage; stage = stage->next)
		count++;
	struct visited *list = calloc(count + 1, sizeof(*list));
	for (const struct ct_blob_stage *stage = memory->stages; stage && list;
	     stage = stage->next) {
		memcpy(list[i].id, stage->id, sizeof(list[i].id));
		list[i++].modified_ms = stage->modified_ms;
	}
	ct_lock_release(&memory->lock);
	if (list == NULL)
		return -ENOMEM;
	*ret_list = list;
	*ret_count = count;
	return 0;
}

/* Over a copy, as no lock is held over a callback, and this one may remove what it visits. */
static int staging_visit(
    void *backend, int (*visit)(const char *staging_id, int64_t modified_ms, void *arg), void *arg)
{
	ct_cleanup(ct_free_pointer) struct visited *list = NULL;
	size_t count;

	int r = list_stages(backend, &list, &count);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = visit(list[i].id, list[i].modified_ms, arg);
	return r;
}

/* ---- objects ---- */

static struct ct_blob_object **find_object_locked(
    struct memory *memory, enum ct_blob_class class, const struct ct_digest *digest)
{
	struct ct_blob_object **link = &memory->objects;

	while (*link != NULL &&
	       ((*link)->class != class || !ct_digest_equal(&(*link)->digest, digest)))
		link = &(*link)->next;
	return link;
}

/* The reservation of the stage becomes the size of the object. */
static void publish_locked(
    struct memory *memory, struct ct_blob_stage *stage, struct ct_blob_object *object)
{
	drop_locked(memory, stage);
	stage->id[0] = '\0';
	object->class = stage->class;
	object->data = ct_steal(stage->data);
	object->references = 1;
	object->modified_ms = ct_clock_wall_ms();
	object->next = memory->objects;
	memory->objects = object;
	memory->used_bytes += object->size_bytes;
}

static int stage_publish(void *backend, struct ct_blob_stage *stage, uint64_t size_bytes,
    const struct ct_digest *digest, bool *ret_was_present)
{
	struct memory *memory = backend;
	ct_cleanup(ct_free_pointer) struct ct_blob_object *object = calloc(1, sizeof(*object));

	if (object == NULL)
		return -ENOMEM;
	object->digest = *digest;
	object->size_bytes = size_bytes;
	ct_lock_take(&memory->lock);
	struct ct_blob_object *present = *find_object_locked(memory, stage->class, digest);
	bool was_present = present != NULL;
	if (was_present) {
		present->modified_ms = ct_clock_wall_ms();
		drop_locked(memory, stage);
		stage->id[0] = '\0';
	} else {
		publish_locked(memory, stage, ct_steal(object));
	}
	ct_lock_release(&memory->lock);
	*ret_was_present = was_present;
	return 0;
}

static void unref_locked(struct memory *memory, struct ct_blob_object *object)
{
	ct_lock_assert_held(&memory->lock);
	CT_ASSERT(object->references > 0);
	if (--object->references > 0)
		return;
	memory->used_bytes -= object->size_bytes;
	free(object->data);
	free(object);
}

static int object_open(void *backend, enum ct_blob_class class, const struct ct_digest *digest,
    struct ct_blob_object **ret_object, uint64_t *ret_size_bytes)
{
	struct memory *memory = backend;

	ct_lock_take(&memory->lock);
	struct ct_blob_object *object = *find_object_locked(memory, class, digest);
	if (object != NULL)
		object->references++;
	ct_lock_release(&memory->lock);
	if (object == NULL)
		return CT_ERROR_NOT_FOUND;
	*ret_object = object;
	*ret_size_bytes = object->size_bytes;
	return 0;
}

static int object_read(void *backend, struct ct_blob_object *object, uint64_t offset,
    void *ret_data, size_t length_bytes)
{
	(void)backend;
	memcpy(ret_data, object->data + offset, length_bytes);
	return 0;
}

static int object_dup_fd(void *backend, struct ct_blob_object *object, int *ret_fd)
{
	char path[PROC_PATH_CHARS];

	(void)backend;
	ct_cleanup(ct_close_fd) int fd = memfd_create("blob", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	int r = object->size_bytes
		    ? ct_file_pwrite_all(fd, object->data, (size_t)object->size_bytes, 0)
		    : 0;
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return -errno;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* always fits */
	int read_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (read_fd < 0)
		return -errno;
	*ret_fd = read_fd;
	return 0;
}

static void object_close(void *backend, struct ct_blob_object *object)
{
	struct memory *memory = backend;

	ct_lock_take(&memory->lock);
	unref_locked(memory, object);
	ct_lock_release(&memory->lock);
}

static int object_sync(void *backend, enum ct_blob_class class, const struct ct_digest *digest)
{
	struct memory *memory = backend;

	ct_lock_take(&memory->lock);
	bool is_present = *find_object_locked(memory, class, digest) != NULL;
	ct_lock_release(&memory->lock);
	return is_present ? 0 : CT_ERROR_NOT_FOUND;
}

static int object_remove(void *backend, enum ct_blob_class class, const struct ct_digest *digest)
{
	struct memory *memory = backend;

	ct_lock_take(&memory->lock);
	struct ct_blob_object **link = find_object_locked(memory, class, digest);
	struct ct_blob_object *object = *link;
	if (object != NULL) {
		*link = object->next;
		unref_locked(memory, object);
	}
	ct_lock_release(&memory->lock);
	return 0;
}

struct seen {
	struct ct_digest digest;
	struct ct_blob_info info;
};

static int list_objects(struct memory *memory, enum ct_blob_class class, unsigned shard,
    struct seen **ret_list, size_t *ret_count)
{
	size_t count = 0, i = 0;

	ct_lock_take(&memory->lock);
	for (const struct ct_blob_object *object = memory->objects; object; object = object->next)
		count++;
	struct seen *list = calloc(count + 1, sizeof(*list));
	for (const struct ct_blob_object *object = memory->objects; object && list;
	     object = object->next)
		if (object->class == class && object->digest.bytes[0] == shard)
			list[i++] = (struct seen){ object->digest,
				{ object->size_bytes, object->modified_ms } };
	ct_lock_release(&memory->lock);
	if (list == NULL)
		return -ENOMEM;
	*ret_list = list;
	*ret_count = i;
	return 0;
}

/* Over a copy, as no lock is held over a callback. */
static int object_visit(void *backend, enum ct_blob_class class, unsigned shard,
    int (*visit)(const struct ct_digest *digest, const struct ct_blob_info *info, void *arg),
    void *arg)
{
	ct_cleanup(ct_free_pointer) struct seen *list = NULL;
	size_t count = 0;

	int r = list_objects(backend, class, shard, &list, &count);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = visit(&list[i].digest, &list[i].info, arg);
	return r;
}

static int object_look(void *backend, enum ct_blob_class class, const struct ct_digest *digest,
    struct ct_blob_info *ret_info)
{
	struct memory *memory = backend;

	ct_lock_take(&memory->lock);
	const struct ct_blob_object *object = *find_object_locked(memory, class, digest);
	bool is_present = object != NULL;
	if (is_present)
		*ret_info = (struct ct_blob_info){ object->size_bytes, object->modified_ms };
	ct_lock_release(&memory->lock);
	return is_present ? 0 : CT_ERROR_NOT_FOUND;
}

/* It has no quarantine: what is set aside is gone when its readers are. */
static int object_set_aside(void *backend, struct ct_blob_object *object, enum ct_blob_class class,
    const struct ct_digest *digest)
{
	struct memory *memory = backend;

	ct_lock_take(&memory->lock);
	struct ct_blob_object **link = find_object_locked(memory, class, digest);
	bool is_same = *link == object;
	if (is_same) {
		*link = object->next;
		unref_locked(memory, object);
	}
	ct_lock_release(&memory->lock);
	return is_same ? 0 : -ESTALE;
}

/* ---- the store ---- */

static bool is_strict(const void *backend)
{
	(void)backend;
	return true;
}

static int flush(void *backend)
{
	(void)backend;
	return 0;
}

static void memory_close(void *backend)
{
	struct memory *memory = backend;

	while (memory->stages != NULL) {
		struct ct_blob_stage *stage = memory->stages;

		CT_ASSERT(!stage->is_open);
		memory->stages = stage->next;
		stage_free(stage);
	}
	while (memory->objects != NULL) {
		struct ct_blob_object *object = memory->objects;

		CT_ASSERT(object->references == 1);
		memory->objects = object->next;
		free(object->data);
		free(object);
	}
	ct_lock_done(&memory->lock);
	free(memory);
}

static const struct ct_blob_backend_ops memory_ops = {
	.close = memory_close,
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

int ct_blob_store_open_memory(uint64_t capacity_bytes, struct ct_blob_store **ret_store)
{
	struct memory *memory = calloc(1, sizeof(*memory));

	if (memory == NULL)
		return -ENOMEM;
	memory->capacity_bytes = capacity_bytes;
	ct_lock_init(&memory->lock, CT_LOCK_SPACE);
	return ct_blob_store_new(&memory_ops, memory, ret_store);
}
