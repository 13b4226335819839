/*
 * Writing ahead. sync_file_range() only begins to write: it allocates nothing durable, flushes no
 * cache of the device and waits for nothing but room in the device's queue. Errors of the writing
 * itself stay noted in the open file, which our descriptor shares with the stage's, so the fsync at
 * the end still meets them; waiting for them here would use them up.
 *
 * Pieces end at whole steps, so that no page is written twice.
 */
#include "storage/disk_priv.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define STEP_BYTES (8ull << 20)
#define MAX_AT_ONCE 2 /* they hold up workers of the caller's */

struct ct_disk_ahead {
	struct ct_blob_writeout writeout; /* first */
	struct ct_disk *disk;		  /* set once */
	int fd;				  /* set once */
	atomic_uint references;		  /* the stage's, and that of the piece under way */
	atomic_bool is_busy;
	uint64_t from, to; /* of whoever has made it busy */
};

static struct ct_disk_ahead *ahead_of(struct ct_blob_writeout *writeout)
{
	return (struct ct_disk_ahead *)writeout;
}

static void unref(struct ct_disk_ahead *ahead)
{
	if (atomic_fetch_sub(&ahead->references, 1) > 1)
		return;
	ct_close_fd(&ahead->fd);
	free(ahead);
}

static void end_piece(struct ct_disk_ahead *ahead)
{
	unsigned before = atomic_fetch_sub(&ahead->disk->writeouts, 1);

	CT_ASSERT(before > 0);
	atomic_store(&ahead->is_busy, false);
	unref(ahead);
}

/* Not here, or not allowed by a filter of system calls: then nothing was tried. */
static bool is_missing(int error_number)
{
	return error_number == ENOSYS || error_number == EPERM;
}

static void run(struct ct_blob_writeout *writeout)
{
	struct ct_disk_ahead *ahead = ahead_of(writeout);
	struct ct_disk *disk = ahead->disk;

	if (ct_disk_calls.sync_file_range(ahead->fd, (off_t)ahead->from,
		(off_t)(ahead->to - ahead->from), SYNC_FILE_RANGE_WRITE) < 0 &&
	    !is_missing(errno))
		atomic_store(&disk->unhealthy, true);
	end_piece(ahead);
}

static void drop(struct ct_blob_writeout *writeout)
{
	end_piece(ahead_of(writeout));
}

/* NULL: no memory or no descriptor for it; the upload does without. */
static struct ct_disk_ahead *ahead_new(struct ct_disk *disk, const struct ct_blob_stage *stage)
{
	struct ct_disk_ahead *ahead = calloc(1, sizeof(*ahead));

	if (ahead == NULL)
		return NULL;
	ahead->fd = fcntl(stage->fd, F_DUPFD_CLOEXEC, 0);
	if (ahead->fd < 0) {
		free(ahead);
		return NULL;
	}
	ahead->writeout = (struct ct_blob_writeout){ .run = run, .drop = drop };
	ahead->disk = disk;
	atomic_init(&ahead->references, 1);
	atomic_init(&ahead->is_busy, false);
	return ahead;
}

/* False: there are as many as may be. */
static bool take_place(struct ct_disk *disk)
{
	if (atomic_fetch_add(&disk->writeouts, 1) < MAX_AT_ONCE)
		return true;
	atomic_fetch_sub(&disk->writeouts, 1);
	return false;
}

bool ct_disk_stage_writeout(void *backend, struct ct_blob_stage *stage, uint64_t written_to,
    struct ct_blob_writeout **ret_writeout)
{
	struct ct_disk *disk = backend;
	uint64_t to = written_to / STEP_BYTES * STEP_BYTES;

	if (to <= stage->ahead_to || disk->is_async || stage->class != CT_BLOB_ORIGINAL)
		return false;
	if (stage->ahead == NULL)
		stage->ahead = ahead_new(disk, stage);
	if (stage->ahead == NULL || atomic_load(&stage->ahead->is_busy) || !take_place(disk))
		return false;
	struct ct_disk_ahead *ahead = stage->ahead;
	atomic_store(&ahead->is_busy, true);
	atomic_fetch_add(&ahead->references, 1);
	ahead->from = stage->ahead_to;
	ahead->to = stage->ahead_to = to;
	*ret_writeout = &ahead->writeout;
	return true;
}

void ct_disk_ahead_free(struct ct_disk_ahead *ahead)
{
	if (ahead != NULL)
		unref(ahead);
}
