#include "metadata/metadata_priv.h"
#include "base/file.h"
#include "base/lock.h"
#include "metadata/jobs.h"
#include "metadata/uploads.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_MAX_READERS 16
#define DEFAULT_MAX_QUEUED 4096
#define DEFAULT_MAX_GROUP 256
#define LOG_RESERVE_BYTES (8 << 20) /* twice what it holds when it is emptied */

struct ct_metadata {
	/* Set once. */
	struct ct_database_writer *writer;
	struct ct_reader_pool *readers;
	int directory_fd; /* async: stands for the database's file system; else -1 */
};

CT_DEFINE_CLEANUP(metadata_cleanup, struct ct_metadata *, ct_metadata_close)
CT_DEFINE_CLEANUP(view_cleanup, struct ct_metadata_view *, ct_connection_close)

static char *directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (slash == NULL)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/*
 * The names of the database and of its log must survive a power cut as their bytes do; the log was
 * made by the first read. At each opening: the one before may have died in between.
 */
static int sync_directory_of(const char *path)
{
	ct_cleanup(ct_free_pointer) char *directory = directory_of(path);
	return directory == NULL ? -ENOMEM : ct_file_fsync_directory(directory);
}

static int make_async(const char *path, struct ct_metadata_view *view, struct ct_metadata *metadata)
{
	ct_cleanup(ct_free_pointer) char *directory = directory_of(path);
	if (directory == NULL)
		return -ENOMEM;
	metadata->directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (metadata->directory_fd < 0)
		return -errno;
	return ct_connection_execute(view, "PRAGMA synchronous = NORMAL");
}

/*
 * On a full disk something must still be deletable, and a deletion begins with a commit: the log,
 * which is used again and again from its start, gets its space beforehand. The length of the file
 * stays, as SQLite reads it. It holds no locks on the log, so a descriptor may be closed.
 */
static void reserve_log(const char *path)
{
	char name[PATH_MAX];
	int length = snprintf(name, sizeof(name), "%s-wal", path);
	if (length < 0 || (size_t)length >= sizeof(name))
		return;
	ct_cleanup(ct_close_fd) int fd = open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	/* What cannot be reserved is missed only if the disk fills up. */
	if (fd >= 0)
		(void)fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, LOG_RESERVE_BYTES);
}

static int prepare(
    const char *path, struct ct_metadata_view *view, struct ct_row_counts *ret_counts)
{
	int r = ct_connection_migrate(view);
	if (r < 0)
		return r;
	r = ct_upload_get_receiving(view, &ret_counts->receiving);
	if (r >= 0)
		r = ct_job_get_queued(view, &ret_counts->queued);
	if (r < 0)
		return r;
	reserve_log(path);
	return sync_directory_of(path);
}

static unsigned or_default(unsigned value, unsigned otherwise)
{
	return value != 0 ? value : otherwise;
}

int ct_metadata_open(const struct ct_metadata_options *options, struct ct_metadata **ret_metadata)
{
	ct_cleanup(metadata_cleanup) struct ct_metadata *metadata = calloc(1, sizeof(*metadata));
	if (metadata == NULL)
		return -ENOMEM;
	metadata->directory_fd = -1;
	ct_cleanup(view_cleanup) struct ct_metadata_view *view = NULL;
	int r = ct_connection_open(options->path, CT_CONNECTION_WRITER, &view);
	if (r < 0)
		return r;
	struct ct_row_counts counts;
	r = prepare(options->path, view, &counts);
	if (r >= 0 && options->is_async)
		r = make_async(options->path, view, metadata);
	if (r >= 0 && options->busy_ms != 0)
		r = ct_connection_set_busy_ms(view, options->busy_ms);
	if (r < 0)
		return r;
	r = ct_reader_pool_new(options->path, or_default(options->max_readers, DEFAULT_MAX_READERS),
	    &metadata->readers);
	if (r < 0)
		return r;
	r = ct_database_writer_new(ct_steal(view),
	    or_default(options->max_queued, DEFAULT_MAX_QUEUED),
	    or_default(options->max_group, DEFAULT_MAX_GROUP), &counts, &metadata->writer);
	if (r < 0)
		return r;
	*ret_metadata = ct_steal(metadata);
	return 0;
}

void ct_metadata_close(struct ct_metadata *metadata)
{
	if (metadata == NULL)
		return;
	/* Its last callbacks may borrow a reader; and who closes last empties the log. */
	ct_database_writer_stop(metadata->writer);
	ct_reader_pool_free(metadata->readers);
	ct_database_writer_free(metadata->writer);
	ct_close_fd(&metadata->directory_fd);
	free(metadata);
}

int ct_metadata_submit(
    struct ct_metadata *metadata, ct_transaction_fn run, ct_transaction_done_fn done, void *arg)
{
	return ct_database_writer_submit(metadata->writer, run, done, arg);
}

struct waiting_write {
	/* Set once. */
	ct_transaction_fn run;
	void *arg;

	struct ct_lock lock;
	struct ct_condition finished;
	/* Under lock. */
	bool is_finished;
	int result;
};

static int run_waiting(struct ct_metadata_view *view, void *arg)
{
	struct waiting_write *write = arg;
	return write->run(view, write->arg);
}

static void finish_waiting(void *arg, int result)
{
	struct waiting_write *write = arg;
	ct_lock_take(&write->lock);
	write->result = result;
	write->is_finished = true;
	ct_condition_signal(&write->finished);
	ct_lock_release(&write->lock);
}

int ct_metadata_write(struct ct_metadata *metadata, ct_transaction_fn run, void *arg)
{
	CT_ASSERT(!ct_database_writer_is_this_thread(metadata->writer));
	struct waiting_write write = { .run = run, .arg = arg };
	ct_lock_init(&write.lock, CT_LOCK_LEAF);
	ct_condition_init(&write.finished);
	int r = ct_metadata_submit(metadata, run_waiting, finish_waiting, &write);
	if (r >= 0) {
		ct_lock_take(&write.lock);
		while (!write.is_finished)
			ct_condition_wait(&write.finished, &write.lock);
		r = write.result;
		ct_lock_release(&write.lock);
	}
	ct_condition_done(&write.finished);
	ct_lock_done(&write.lock);
	return r;
}

int ct_metadata_borrow(struct ct_metadata *metadata, struct ct_metadata_view **ret_view)
{
	return ct_reader_pool_borrow(metadata->readers, ret_view);
}

void ct_metadata_give_back(struct ct_metadata *metadata, struct ct_metadata_view *view)
{
	ct_reader_pool_give_back(metadata->readers, view);
}

int64_t ct_upload_open_count(struct ct_metadata *metadata)
{
	return ct_database_writer_counts(metadata->writer).receiving;
}

int64_t ct_job_queued_count(struct ct_metadata *metadata)
{
	return ct_database_writer_counts(metadata->writer).queued;
}

int ct_metadata_flush(struct ct_metadata *metadata)
{
	if (metadata->directory_fd < 0 || !ct_database_writer_take_unsynced(metadata->writer))
		return 0;
	if (syncfs(metadata->directory_fd) == 0)
		return 0;
	int error = errno;
	ct_database_writer_note_failure(metadata->writer);
	return -error;
}

void ct_metadata_health(const struct ct_metadata *metadata, struct ct_metadata_health *ret_health)
{
	ct_database_writer_health(metadata->writer, ret_health);
}
