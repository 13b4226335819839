/*
 * Who may still declare how much. A byte is counted once at any time:
 *
 *   pending   declared by an open stage and not yet taken from the file system's free space;
 *   allocated once fallocate has succeeded, or the byte was written: the free space that
 *             fstatvfs tells has shrunk by it, so it must not be pending any longer.
 *
 * The check and the addition to `pending` happen under one lock, so two uploads can't both take
 * the last gigabyte. fallocate runs outside of it; between its success and settle() the bytes are
 * counted twice, which can only refuse too much for that moment, never admit too much.
 */
#include "storage/disk_priv.h"

#include "base/assert.h"
#include "calotype/error.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t subtract(uint64_t from, uint64_t bytes)
{
	return from > bytes ? from - bytes : 0;
}

/* fstatvfs reads counters in memory: the lock is not held over a disk. */
static int available_locked(const struct ct_disk *disk, uint64_t reserve_bytes, uint64_t *ret_bytes)
{
	const struct ct_disk_space *space = &disk->space;
	uint64_t free_bytes;

	ct_lock_assert_held(&space->lock);
	if (space->assumed_free != 0) {
		free_bytes = subtract(space->assumed_free, space->held_bytes);
	} else {
		struct statvfs status;

		if (fstatvfs(disk->staging_fd, &status) < 0)
			return -errno;
		free_bytes = (uint64_t)status.f_bavail * status.f_frsize;
	}
	*ret_bytes = subtract(subtract(free_bytes, reserve_bytes), space->pending_bytes);
	return 0;
}

int ct_disk_space_available(struct ct_disk *disk, uint64_t *ret_bytes)
{
	ct_lock_take(&disk->space.lock);
	int r = available_locked(disk, disk->space.reserve_bytes, ret_bytes);
	ct_lock_release(&disk->space.lock);
	return r;
}

static int claim(struct ct_disk *disk, struct ct_blob_stage *stage, uint64_t bytes)
{
	uint64_t available;
	/* Prints are small, and their images were taken: the last ones before it get theirs. */
	uint64_t reserve_bytes = stage->class == CT_BLOB_PRINT ? 0 : disk->space.reserve_bytes;

	ct_lock_take(&disk->space.lock);
	int r = available_locked(disk, reserve_bytes, &available);
	if (r == 0 && bytes > available)
		r = CT_ERROR_INSUFFICIENT_SPACE;
	if (r == 0) {
		disk->space.pending_bytes += bytes;
		stage->pending_bytes += bytes;
	}
	ct_lock_release(&disk->space.lock);
	return r;
}

/* Takes `bytes` out of pending; `held` says whether they are now taken from the free space. */
static void settle(struct ct_disk *disk, struct ct_blob_stage *stage, uint64_t bytes, bool held)
{
	if (bytes == 0)
		return;
	ct_lock_take(&disk->space.lock);
	CT_ASSERT(stage->pending_bytes >= bytes && disk->space.pending_bytes >= bytes);
	stage->pending_bytes -= bytes;
	disk->space.pending_bytes -= bytes;
	if (held) {
		stage->held_bytes += bytes;
		disk->space.held_bytes += bytes;
	}
	ct_lock_release(&disk->space.lock);
}

static int allocate(int fd, uint64_t from, uint64_t to)
{
	int r;

	do
		r = ct_disk_calls.fallocate(
		    fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from));
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

int ct_disk_space_reserve(
    struct ct_disk *disk, struct ct_blob_stage *stage, uint64_t to, uint64_t present_bytes)
{
	if (to <= stage->reserved_to)
		return 0;
	uint64_t bytes = to - stage->reserved_to;
	/* What an earlier reservation left in the file has left the free space already. */
	if (disk->space.assumed_free == 0)
		bytes = subtract(bytes, present_bytes);
	int r = claim(disk, stage, bytes);
	if (r < 0)
		return r;

	r = allocate(stage->fd, stage->reserved_to, to);
	if (r == 0) {
		settle(disk, stage, bytes, true);
	} else if (r != -EOPNOTSUPP && r != -ENOSYS) {
		settle(disk, stage, bytes, false);
		return ct_disk_error(-r);
	} /* else: no such call here, the bytes stay pending until they are written */
	stage->reserved_to = to;
	return 0;
}

void ct_disk_space_written(struct ct_disk *disk, struct ct_blob_stage *stage, uint64_t length_bytes)
{
	/* Only the stage's owner changes its part, so it may be read without the lock. */
	settle(disk, stage, least(stage->pending_bytes, length_bytes), true);
}

void ct_disk_space_release(struct ct_disk *disk, struct ct_blob_stage *stage, uint64_t bytes)
{
	ct_lock_take(&disk->space.lock);
	uint64_t pending = least(stage->pending_bytes, bytes);
	uint64_t held = least(stage->held_bytes, bytes - pending);

	CT_ASSERT(disk->space.pending_bytes >= pending && disk->space.held_bytes >= held);
	stage->pending_bytes -= pending;
	disk->space.pending_bytes -= pending;
	stage->held_bytes -= held;
	disk->space.held_bytes -= held;
	ct_lock_release(&disk->space.lock);
}
