/*
 * The data directory. All directories are made before the first upload and made durable once, so
 * that publishing a blob never has to sync more than the one directory it puts a name into.
 */
#include "storage/disk_priv.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "calotype/blob_open.h"
#include "calotype/error.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT_FILE "format"
#define FORMAT_TEXT "1\n"
#define FORMAT_MAX_BYTES 16
#define FAN_OUT 256
#define MAX_DEPTH 128
#define OPEN_DIRECTORY (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

static const char *const class_directories[CT_BLOB_CLASS_COUNT] = {
	[CT_BLOB_ORIGINAL] = "objects",
	[CT_BLOB_PRINT] = "prints",
};

void ct_disk_object_name(const struct ct_digest *digest, char ret_name[CT_DISK_NAME_CHARS + 1])
{
	char hex[CT_DIGEST_HEX_CHARS + 1];

	ct_digest_to_hex(digest, hex);
	memcpy(ret_name, hex, 2);
	ret_name[2] = '/';
	memcpy(ret_name + 3, hex + 2, sizeof(hex) - 2);
}

/* At opening nobody relies on the store yet: a failed sync is an error, not ill health. */
static int sync_directory(int fd)
{
	return ct_disk_calls.fsync(fd) < 0 ? -errno : 0;
}

/*
 * mkdir -p does not make its directories durable: sync the parents, up to the root of the file
 * system or to the first one that we may not read, which cannot be one that we made. At each
 * opening, since a kill may have come between making and syncing them.
 */
static int sync_parents(int directory_fd)
{
	struct stat child, parent;
	ct_cleanup(ct_close_fd) int fd = fcntl(directory_fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0 || fstat(fd, &child) < 0)
		return -errno;
	for (int depth = 0; depth < MAX_DEPTH; depth++) {
		int parent_fd = openat(fd, "..", OPEN_DIRECTORY);
		if (parent_fd < 0)
			return errno == EACCES ? 0 : -errno;
		ct_close_fd(&fd);
		fd = parent_fd;
		if (fstat(fd, &parent) < 0)
			return -errno;
		if (parent.st_dev != child.st_dev || parent.st_ino == child.st_ino)
			return 0;
		int r = sync_directory(fd);
		if (r < 0)
			return r;
		child = parent;
	}
	return 0;
}

static int open_data_directory(struct ct_disk *disk, const char *directory)
{
	int r = ct_file_make_directories(directory, 0700);

	if (r < 0)
		return r;
	disk->data_fd = open(directory, OPEN_DIRECTORY);
	if (disk->data_fd < 0)
		return -errno;
	return sync_parents(disk->data_fd);
}

static int take_lock(struct ct_disk *disk)
{
	disk->lock_fd = openat(disk->data_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (disk->lock_fd < 0)
		return -errno;
	if (flock(disk->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return 0;
}

/* A data directory of ours has the format file before anything else; other people's have not. */
static int write_format(struct ct_disk *disk, const char *directory)
{
	struct stat status;
	char path[PATH_MAX];

	for (int class = 0; class < CT_BLOB_CLASS_COUNT; class ++) {
		if (fstatat(disk->data_fd, class_directories[class], &status, 0) == 0)
			return -EPROTONOSUPPORT;
		if (errno != ENOENT)
			return -errno;
	}
	int r = ct_path_join(directory, FORMAT_FILE, path, sizeof(path));
	if (r < 0)
		return r;
	r = ct_file_replace(path, FORMAT_TEXT, strlen(FORMAT_TEXT), 0600);
	return r < 0 ? r : 0;
}

static int check_format(struct ct_disk *disk, const char *directory)
{
	char text[FORMAT_MAX_BYTES];
	ct_cleanup(ct_close_fd) int fd =
	    openat(disk->data_fd, FORMAT_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? write_format(disk, directory) : -errno;
	ssize_t length = read(fd, text, sizeof(text));
	if (length < 0)
		return -errno;
	if ((size_t)length != strlen(FORMAT_TEXT) || memcmp(text, FORMAT_TEXT, (size_t)length) != 0)
		return -EPROTONOSUPPORT;
	return 0;
}

static int make_directory(int parent_fd, const char *name)
{
	if (mkdirat(parent_fd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

/* Makes `name` in the data directory and opens it; it must lie on the device of its parent. */
static int open_directory(struct ct_disk *disk, const char *name, int *ret_fd)
{
	struct stat parent, child;

	int r = make_directory(disk->data_fd, name);
	if (r < 0)
		return r;
	ct_cleanup(ct_close_fd) int fd = openat(disk->data_fd, name, OPEN_DIRECTORY);
	if (fd < 0 || fstat(fd, &child) < 0 || fstat(disk->staging_fd, &parent) < 0)
		return -errno;
	if (parent.st_dev != child.st_dev)
		return -EXDEV;
	*ret_fd = ct_steal_fd(&fd);
	return 0;
}

/* Always synced: a kill between mkdir and fsync must not leave them undurable for good. */
static int make_fan_out(int class_fd)
{
	for (unsigned i = 0; i < FAN_OUT; i++) {
		char name[3];

		(void)snprintf(name, sizeof(name), "%02x", i); /* always fits */
		int r = make_directory(class_fd, name);
		if (r < 0)
			return r;
	}
	return sync_directory(class_fd);
}

int ct_disk_layout_open(struct ct_disk *disk, const char *directory)
{
	ct_cleanup(ct_close_fd) int quarantine_fd = -1;

	int r = open_data_directory(disk, directory);
	if (r == 0)
		r = take_lock(disk);
	if (r == 0)
		r = check_format(disk, directory);
	if (r == 0)
		r = make_directory(disk->data_fd, "staging");
	if (r < 0)
		return r;
	disk->staging_fd = openat(disk->data_fd, "staging", OPEN_DIRECTORY);
	if (disk->staging_fd < 0)
		return -errno;
	for (int class = 0; class < CT_BLOB_CLASS_COUNT; class ++) {
		r = open_directory(disk, class_directories[class], &disk->class_fds[class]);
		if (r == 0)
			r = make_fan_out(disk->class_fds[class]);
		if (r < 0)
			return r;
	}
	r = open_directory(disk, "quarantine", &quarantine_fd);
	return r < 0 ? r : sync_directory(disk->data_fd);
}

void ct_disk_layout_close(struct ct_disk *disk)
{
	for (int class = 0; class < CT_BLOB_CLASS_COUNT; class ++)
		ct_close_fd(&disk->class_fds[class]);
	ct_close_fd(&disk->staging_fd);
	ct_close_fd(&disk->data_fd);
	/* Last: this is what lets the next process in. */
	ct_close_fd(&disk->lock_fd);
}

/* ---- without opening it ---- */

/* 1: `path` names a directory that holds anything. */
static int holds_anything(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;

	if (directory == NULL)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	errno = 0;
	do
		entry = readdir(directory);
	while (entry != NULL && entry->d_name[0] == '.');
	int r = entry != NULL ? 1 : -errno;
	(void)closedir(directory); /* it was only read */
	return r;
}

int ct_disk_holds_originals(const char *directory)
{
	char path[PATH_MAX];
	int r = 0;

	for (unsigned shard = 0; shard < FAN_OUT && r == 0; shard++) {
		int length = snprintf(path, sizeof(path), "%s/%s/%02x", directory,
		    class_directories[CT_BLOB_ORIGINAL], shard);
		r = length < (int)sizeof(path) ? holds_anything(path) : -ENAMETOOLONG;
	}
	return r;
}
