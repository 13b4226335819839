#include "storage/disk_priv.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/slice.h"
#include "base/text.h"
#include "calotype/blob_open.h"
#include "calotype/error.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_RESERVE_BYTES (256ull << 20)
#define DEFAULT_WINDOW_BYTES (64ull << 20)
#define PROC_PATH_CHARS 32   /* "/proc/self/fd/2147483647" */
#define STAT_BLOCK_BYTES 512 /* of st_blocks, whatever the file system's own */

static int open_nameless(int directory_fd)
{
	return openat(directory_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

struct ct_disk_calls ct_disk_calls = {
	.fsync = fsync,
	.fdatasync = fdatasync,
	.fallocate = fallocate,
	.open_nameless = open_nameless,
	.renameat2 = renameat2,
	.syncfs = syncfs,
	.sync_file_range = sync_file_range,
};

CT_DEFINE_CLEANUP(close_directory_stream, DIR *, (void)closedir)

int ct_disk_error(int error_number)
{
	switch (error_number) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG: return CT_ERROR_INSUFFICIENT_SPACE;
	case EMFILE:
	case ENFILE: return CT_ERROR_LIMIT_REACHED;
	/* The kernel does that to a file system that has failed. */
	case EROFS:
	/* A directory of ours was taken away, or its mode changed: what must be there is asked for.
	 */
	case ENOENT:
	case ENOTDIR:
	case EACCES:
	case EPERM: return CT_ERROR_STORE_UNHEALTHY;
	default: return -error_number;
	}
}

/*
 * After a failed fsync Linux may mark the lost pages clean, so that the next fsync succeeds over
 * missing data: it is never called again for that file, and the store takes no more.
 */
int ct_disk_sync(struct ct_disk *disk, int fd, bool data_only)
{
	if (disk->is_async) {
		atomic_store(&disk->is_dirty, true);
		return 0;
	}
	int r = data_only ? ct_disk_calls.fdatasync(fd) : ct_disk_calls.fsync(fd);

	if (r < 0) {
		atomic_store(&disk->unhealthy, true);
		return CT_ERROR_STORE_UNHEALTHY;
	}
	return 0;
}

/* ---- stages ---- */

static bool is_open_locked(const struct ct_disk *disk, const char *staging_id)
{
	ct_lock_assert_held(&disk->space.lock);
	for (const struct ct_blob_stage *stage = disk->named_stages; stage; stage = stage->next)
		if (strcmp(stage->name, staging_id) == 0)
			return true;
	return false;
}

/* Two writers in one file would publish bytes that neither has hashed. */
static bool enter(struct ct_disk *disk, struct ct_blob_stage *stage)
{
	ct_lock_take(&disk->space.lock);
	bool is_open = is_open_locked(disk, stage->name);
	if (!is_open) {
		stage->next = disk->named_stages;
		disk->named_stages = stage;
	}
	ct_lock_release(&disk->space.lock);
	return !is_open;
}

static void leave(struct ct_disk *disk, struct ct_blob_stage *stage)
{
	ct_lock_take(&disk->space.lock);
	for (struct ct_blob_stage **link = &disk->named_stages; *link; link = &(*link)->next)
		if (*link == stage) {
			*link = stage->next;
			break;
		}
	ct_lock_release(&disk->space.lock);
}

static int create_file(struct ct_disk *disk, struct ct_blob_stage *stage)
{
	if (!stage->is_named) {
		stage->fd = ct_disk_calls.open_nameless(disk->staging_fd);
		if (stage->fd >= 0)
			return 0;
		if (errno != EOPNOTSUPP && errno != EISDIR)
			return ct_disk_error(errno);
		/* This file system has none: a name that nobody knows will do. */
		int r = ct_id_generate(stage->name);
		if (r < 0)
			return r;
	}
	stage->fd =
	    openat(disk->staging_fd, stage->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (stage->fd < 0)
		return ct_disk_error(errno);
	stage->has_name = true;
	return 0;
}

static void remove_name(struct ct_disk *disk, struct ct_blob_stage *stage)
{
	if (!stage->has_name)
		return;
	/* A name that stays is garbage which ct_blob_staging_visit() finds. */
	(void)unlinkat(disk->staging_fd, stage->name, 0);
	stage->has_name = false;
}

/* Where the window ends that holds the byte before `end`. */
static uint64_t window_end(
    const struct ct_disk *disk, const struct ct_blob_stage *stage, uint64_t end)
{
	uint64_t to = ((end - 1) / disk->window_bytes + 1) * disk->window_bytes;
	bool is_bounded = stage->most_bytes >= end && stage->most_bytes < to;
	return is_bounded ? stage->most_bytes : to;
}

static uint64_t first_reservation(
    const struct ct_disk *disk, const struct ct_blob_stage *stage, uint64_t offset)
{
	if (stage->declared_bytes != CT_BLOB_LENGTH_UNKNOWN)
		return stage->declared_bytes;
	return window_end(disk, stage, offset + 1);
}

static int create(struct ct_disk *disk, struct ct_blob_stage *stage)
{
	int r = create_file(disk, stage);
	if (r < 0)
		return r;
	r = ct_disk_space_reserve(disk, stage, first_reservation(disk, stage, 0), 0);
	if (r == 0 && stage->is_named)
		r = ct_disk_sync(disk, disk->staging_fd, false);
	if (r < 0)
		/* A failed fallocate keeps what it got: the file must go, not only its name. */
		remove_name(disk, stage);
	return r;
}

static int reopen_file(struct ct_disk *disk, struct ct_blob_stage *stage)
{
	const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW;

	stage->fd = openat(disk->staging_fd, stage->name, flags);
	if (stage->fd < 0 && errno == EACCES) {
		/* A commit that was cut off between its fchmod and its rename. */
		if (fchmodat(disk->staging_fd, stage->name, 0600, 0) < 0)
			return -errno;
		stage->fd = openat(disk->staging_fd, stage->name, flags);
	}
	if (stage->fd < 0)
		return errno == ENOENT || errno == ELOOP || errno == EISDIR
			   ? CT_ERROR_STAGING_DAMAGED
			   : ct_disk_error(errno);
	return 0;
}

static int reopen(struct ct_disk *disk, struct ct_blob_stage *stage, uint64_t offset)
{
	struct stat status;

	int r = reopen_file(disk, stage);
	if (r < 0)
		return r;
	if (fstat(stage->fd, &status) < 0)
		return -errno;
	/* A second name is a blob's: cutting this file would cut the blob. */
	if (!S_ISREG(status.st_mode) || status.st_nlink != 1 || (uint64_t)status.st_size < offset)
		return CT_ERROR_STAGING_DAMAGED;
	if ((uint64_t)status.st_size > offset &&
	    (ftruncate(stage->fd, (off_t)offset) < 0 || fstat(stage->fd, &status) < 0))
		return ct_disk_error(errno);

	stage->has_name = true;
	uint64_t blocks_bytes = (uint64_t)status.st_blocks * STAT_BLOCK_BYTES;
	stage->reserved_to = stage->ahead_to = offset;
	r = ct_disk_space_reserve(disk, stage, first_reservation(disk, stage, offset),
	    blocks_bytes > offset ? blocks_bytes - offset : 0);
	if (r < 0)
		/* Best effort, as the upload may wait long for its next try. */
		(void)!ftruncate(stage->fd, (off_t)offset);
	return r;
}

static void stage_free(struct ct_disk *disk, struct ct_blob_stage *stage)
{
	if (stage == NULL)
		return;
	ct_disk_space_release(disk, stage, UINT64_MAX);
	if (stage->is_named)
		leave(disk, stage);
	ct_disk_ahead_free(stage->ahead);
	/* What a sync has promised is on the disk; about the rest close() has nothing to tell. */
	ct_close_fd(&stage->fd);
	free(stage);
}

static int stage_open(void *backend, const struct ct_blob_writer_options *options, bool resume,
    uint64_t offset, struct ct_blob_stage **ret_stage)
{
	struct ct_disk *disk = backend;
	struct ct_blob_stage *stage = calloc(1, sizeof(*stage));

	if (stage == NULL)
		return -ENOMEM;
	stage->fd = -1;
	stage->class = options->class;
	stage->declared_bytes = options->declared_bytes;
	stage->most_bytes = options->most_bytes;
	if (options->staging_id != NULL) {
		stage->is_named = true;
		memcpy(stage->name, options->staging_id, CT_STAGING_ID_CHARS);
	}
	if (stage->is_named && !enter(disk, stage)) {
		free(stage);
		return resume ? -EBUSY : -EEXIST;
	}
	int r = resume ? reopen(disk, stage, offset) : create(disk, stage);
	if (r < 0) {
		stage_free(disk, stage);
		return r;
	}
	*ret_stage = stage;
	return 0;
}

static int reserve_window(
    struct ct_disk *disk, struct ct_blob_stage *stage, uint64_t offset, uint64_t end)
{
	if (end <= stage->reserved_to)
		return 0;
	CT_ASSERT(stage->declared_bytes == CT_BLOB_LENGTH_UNKNOWN);
	int r = ct_disk_space_reserve(disk, stage, window_end(disk, stage, end), 0);
	if (r < 0) {
		/* What the failed fallocate got goes back, with what is left of this window. */
		if (ftruncate(stage->fd, (off_t)offset) < 0)
			return ct_disk_error(errno);
		ct_disk_space_release(disk, stage, stage->reserved_to - offset);
		stage->reserved_to = offset;
	}
	return r;
}

static int stage_write(void *backend, struct ct_blob_stage *stage, uint64_t offset,
    const void *data, size_t length_bytes)
{
	struct ct_disk *disk = backend;

	int r = reserve_window(disk, stage, offset, offset + length_bytes);
	if (r < 0)
		return r;
	r = ct_file_pwrite_all(stage->fd, data, length_bytes, offset);
	if (r < 0)
		return ct_disk_error(-r);
	ct_disk_space_written(disk, stage, length_bytes);
	return 0;
}

static int stage_read(void *backend, struct ct_blob_stage *stage, uint64_t offset, void *ret_data,
    size_t length_bytes)
{
	(void)backend;
	return ct_file_pread_all(stage->fd, ret_data, length_bytes, offset);
}

static int stage_sync(void *backend, struct ct_blob_stage *stage)
{
	return ct_disk_sync(backend, stage->fd, true);
}

static int stage_publish(void *backend, struct ct_blob_stage *stage, uint64_t size_bytes,
    const struct ct_digest *digest, bool *ret_was_present)
{
	struct ct_disk *disk = backend;

	int r = ct_disk_publish(disk, stage, size_bytes, digest, ret_was_present);
	if (r == 0)
		ct_disk_space_release(disk, stage, UINT64_MAX);
	return r;
}

/*
 * How much is still to come is not known: an upload that waits holds what it has and no more. The
 * blocks behind the end go; best effort.
 */
static void give_window_back(struct ct_blob_stage *stage)
{
	struct stat status;

	if (fstat(stage->fd, &status) == 0)
		(void)!ftruncate(stage->fd, status.st_size);
}

static void stage_close(void *backend, struct ct_blob_stage *stage, bool discard)
{
	struct ct_disk *disk = backend;

	if (discard || !stage->is_named)
		remove_name(disk, stage);
	else if (stage->has_name && stage->declared_bytes == CT_BLOB_LENGTH_UNKNOWN)
		give_window_back(stage);
	stage_free(disk, stage);
}

static int staging_remove(void *backend, const char *staging_id)
{
	struct ct_disk *disk = backend;

	ct_lock_take(&disk->space.lock);
	bool is_open = is_open_locked(disk, staging_id);
	ct_lock_release(&disk->space.lock);
	if (is_open)
		return -EBUSY;
	if (unlinkat(disk->staging_fd, staging_id, 0) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

static int visit_entry(struct ct_disk *disk, const char *name,
    int (*visit)(const char *staging_id, int64_t modified_ms, void *arg), void *arg)
{
	struct stat status;

	if (!ct_id_is_valid(ct_slice_from_string(name)))
		return 0;
	if (fstatat(disk->staging_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno; /* gone since readdir saw it */
	return visit(name, status.st_mtim.tv_sec * 1000 + status.st_mtim.tv_nsec / 1000000, arg);
}

static int staging_visit(
    void *backend, int (*visit)(const char *staging_id, int64_t modified_ms, void *arg), void *arg)
{
	struct ct_disk *disk = backend;
	int fd = openat(disk->staging_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ct_cleanup(close_directory_stream) DIR *stream = fdopendir(fd);
	if (stream == NULL) {
		int r = -errno;
		ct_close_fd(&fd);
		return r;
	}
	for (;;) {
		errno = 0;
		const struct dirent *entry = readdir(stream);
		if (entry == NULL)
			return -errno;
		int r = visit_entry(disk, entry->d_name, visit, arg);
		if (r != 0)
			return r;
	}
}

/* ---- objects ---- */

static int object_open(void *backend, enum ct_blob_class class, const struct ct_digest *digest,
    struct ct_blob_object **ret_object, uint64_t *ret_size_bytes)
{
	struct ct_disk *disk = backend;
	char name[CT_DISK_NAME_CHARS + 1];
	struct stat status;

	ct_disk_object_name(digest, name);
	ct_cleanup(ct_close_fd) int fd =
	    openat(disk->class_fds[class], name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? CT_ERROR_NOT_FOUND : ct_disk_error(errno);
	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EIO;
	struct ct_blob_object *object = malloc(sizeof(*object));
	if (object == NULL)
		return -ENOMEM;
	object->fd = ct_steal_fd(&fd);
	*ret_object = object;
	*ret_size_bytes = (uint64_t)status.st_size;
	return 0;
}

static int object_read(void *backend, struct ct_blob_object *object, uint64_t offset,
    void *ret_data, size_t length_bytes)
{
	(void)backend;
	return ct_file_pread_all(object->fd, ret_data, length_bytes, offset);
}

/* Opened anew, as a dup() would share the file position; by /proc, as the name may be gone. */
static int object_dup_fd(void *backend, struct ct_blob_object *object, int *ret_fd)
{
	char path[PROC_PATH_CHARS];

	(void)backend;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", object->fd); /* always fits */
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return ct_disk_error(errno);
	*ret_fd = fd;
	return 0;
}

static void object_close(void *backend, struct ct_blob_object *object)
{
	(void)backend;
	ct_close_fd(&object->fd);
	free(object);
}

static int object_sync(void *backend, enum ct_blob_class class, const struct ct_digest *digest)
{
	return ct_disk_publish_again(backend, class, digest);
}

/* Not synced: a blob that comes back after a power cut has no row and is only garbage. */
static int object_remove(void *backend, enum ct_blob_class class, const struct ct_digest *digest)
{
	struct ct_disk *disk = backend;
	char name[CT_DISK_NAME_CHARS + 1];

	ct_disk_object_name(digest, name);
	if (unlinkat(disk->class_fds[class], name, 0) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

/* ---- the store ---- */

static bool is_healthy(const void *backend)
{
	const struct ct_disk *disk = backend;

	return !atomic_load(&disk->unhealthy);
}

static bool is_strict(const void *backend)
{
	const struct ct_disk *disk = backend;

	return !disk->is_async;
}

/* A directory that was removed while we hold it open has no name any more. */
static bool is_gone(int directory_fd)
{
	struct stat status;
	return fstat(directory_fd, &status) < 0 || status.st_nlink == 0;
}

static int available(void *backend, uint64_t *ret_bytes)
{
	const struct ct_disk *disk = backend;
	if (is_gone(disk->staging_fd) || is_gone(disk->class_fds[CT_BLOB_ORIGINAL]))
		return CT_ERROR_STORE_UNHEALTHY;
	return ct_disk_space_available(backend, ret_bytes);
}

static void disk_close(void *backend)
{
	struct ct_disk *disk = backend;

	CT_ASSERT(disk->named_stages == NULL && disk->space.pending_bytes == 0);
	CT_ASSERT(atomic_load(&disk->writeouts) == 0);
	ct_disk_layout_close(disk);
	ct_lock_done(&disk->space.lock);
	free(disk);
}

static const struct ct_blob_backend_ops disk_ops = {
	.close = disk_close,
	.is_healthy = is_healthy,
	.available = available,
	.stage_open = stage_open,
	.stage_write = stage_write,
	.stage_read = stage_read,
	.stage_sync = stage_sync,
	.stage_writeout = ct_disk_stage_writeout,
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
	.object_visit = ct_disk_object_visit,
	.object_look = ct_disk_object_look,
	.object_set_aside = ct_disk_object_set_aside,
	.is_strict = is_strict,
	.flush = ct_disk_flush,
};

int ct_blob_store_open_disk(const struct ct_disk_options *options, struct ct_blob_store **ret_store)
{
	if (options->directory == NULL || options->directory[0] == '\0')
		return -EINVAL;
	struct ct_disk *disk = calloc(1, sizeof(*disk));
	if (disk == NULL)
		return -ENOMEM;
	disk->data_fd = disk->lock_fd = disk->staging_fd = -1;
	for (int class = 0; class < CT_BLOB_CLASS_COUNT; class ++)
		disk->class_fds[class] = -1;
	atomic_init(&disk->unhealthy, false);
	atomic_init(&disk->is_dirty, false);
	atomic_init(&disk->writeouts, 0);
	disk->is_async = options->is_async;
	ct_lock_init(&disk->space.lock, CT_LOCK_SPACE);
	disk->space.assumed_free = options->assumed_free;
	disk->space.reserve_bytes =
	    options->reserve_bytes ? options->reserve_bytes : DEFAULT_RESERVE_BYTES;
	disk->window_bytes = options->window_bytes ? options->window_bytes : DEFAULT_WINDOW_BYTES;

	int r = ct_disk_layout_open(disk, options->directory);
	if (r < 0) {
		disk_close(disk);
		return r;
	}
	return ct_blob_store_new(&disk_ops, disk, ret_store);
}
