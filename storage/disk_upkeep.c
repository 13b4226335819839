/*
 * The disk for those who keep it: blobs listed by directory, looked at, put aside, and all of it
 * flushed for a store that does not wait for each upload.
 */
#include "storage/disk_priv.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "calotype/error.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

CT_DEFINE_CLEANUP(close_directory_stream, DIR *, (void)closedir)

static int open_stream(int parent_fd, const char *name, DIR **ret_stream)
{
	int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return ct_disk_error(errno);
	*ret_stream = fdopendir(fd);
	if (*ret_stream == NULL) {
		int r = -errno;
		ct_close_fd(&fd);
		return r;
	}
	return 0;
}

static void describe(const struct stat *status, struct ct_blob_info *ret_info)
{
	ret_info->size_bytes = (uint64_t)status->st_size;
	ret_info->modified_ms =
	    (int64_t)status->st_mtim.tv_sec * 1000 + status->st_mtim.tv_nsec / 1000000;
}

struct visitor {
	int (*visit)(const struct ct_digest *digest, const struct ct_blob_info *info, void *arg);
	void *arg;
};

/* Names that are no digests are not ours. */
static int visit_entry(
    int directory_fd, unsigned shard, const char *name, const struct visitor *visitor)
{
	char hex[CT_DIGEST_HEX_CHARS + 1];
	struct ct_digest digest;
	struct ct_blob_info info;
	struct stat status;

	if (strlen(name) != CT_DIGEST_HEX_CHARS - 2)
		return 0;
	(void)snprintf(hex, sizeof(hex), "%02x%s", shard, name); /* always fits */
	if (ct_digest_from_hex(hex, CT_DIGEST_HEX_CHARS, &digest) < 0)
		return 0;
	if (fstatat(directory_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno; /* gone since readdir saw it */
	describe(&status, &info);
	return visitor->visit(&digest, &info, visitor->arg);
}

int ct_disk_object_visit(void *backend, enum ct_blob_class class, unsigned shard,
    int (*visit)(const struct ct_digest *digest, const struct ct_blob_info *info, void *arg),
    void *arg)
{
	const struct ct_disk *disk = backend;
	const struct visitor visitor = { visit, arg };
	char name[3];
	ct_cleanup(close_directory_stream) DIR *stream = NULL;

	(void)snprintf(name, sizeof(name), "%02x", shard % CT_BLOB_SHARDS); /* always fits */
	int r = open_stream(disk->class_fds[class], name, &stream);
	while (r == 0) {
		errno = 0;
		const struct dirent *entry = readdir(stream);
		if (entry == NULL)
			return -errno;
		r = visit_entry(dirfd(stream), shard, entry->d_name, &visitor);
	}
	return r;
}

int ct_disk_object_look(void *backend, enum ct_blob_class class, const struct ct_digest *digest,
    struct ct_blob_info *ret_info)
{
	const struct ct_disk *disk = backend;
	char name[CT_DISK_NAME_CHARS + 1];
	struct stat status;

	ct_disk_object_name(digest, name);
	if (fstatat(disk->class_fds[class], name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? CT_ERROR_NOT_FOUND : ct_disk_error(errno);
	describe(&status, ret_info);
	return 0;
}

/*
 * The caller holds the claim to remove it, so nobody replaces the name between the look and the
 * rename. Durable, as a damaged blob that comes back would be found damaged again.
 */
int ct_disk_object_set_aside(void *backend, struct ct_blob_object *object, enum ct_blob_class class,
    const struct ct_digest *digest)
{
	struct ct_disk *disk = backend;
	char name[CT_DISK_NAME_CHARS + 1], hex[CT_DIGEST_HEX_CHARS + 1];
	struct stat ours, named;

	ct_disk_object_name(digest, name);
	ct_digest_to_hex(digest, hex);
	if (fstat(object->fd, &ours) < 0)
		return -errno;
	if (fstatat(disk->class_fds[class], name, &named, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? -ESTALE : ct_disk_error(errno);
	if (ours.st_dev != named.st_dev || ours.st_ino != named.st_ino)
		return -ESTALE;
	if (class == CT_BLOB_PRINT)
		return unlinkat(disk->class_fds[class], name, 0) < 0 ? ct_disk_error(errno) : 0;
	ct_cleanup(ct_close_fd) int quarantine_fd =
	    openat(disk->data_fd, "quarantine", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (quarantine_fd < 0)
		return ct_disk_error(errno);
	if (renameat(disk->class_fds[class], name, quarantine_fd, hex) < 0)
		return ct_disk_error(errno);
	return ct_disk_sync(disk, quarantine_fd, false);
}

/* Of the whole file system: there is no other way to sync names and bytes of many files at once. */
int ct_disk_flush(void *backend)
{
	struct ct_disk *disk = backend;

	if (!atomic_exchange(&disk->is_dirty, false))
		return 0;
	if (ct_disk_calls.syncfs(disk->data_fd) < 0) {
		atomic_store(&disk->unhealthy, true);
		return CT_ERROR_STORE_UNHEALTHY;
	}
	return 0;
}
