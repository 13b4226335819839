#include "base/file.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SUFFIX_BYTES 8

int ct_file_write_all(int fd, const void *data, size_t length)
{
	const char *at = data;
	while (length > 0) {
		ssize_t written = write(fd, at, length);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		at += written;
		length -= (size_t)written;
	}
	return 0;
}

int ct_file_pwrite_all(int fd, const void *data, size_t length, uint64_t offset)
{
	const char *at = data;
	while (length > 0) {
		ssize_t written = pwrite(fd, at, length, (off_t)offset);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		at += written;
		length -= (size_t)written;
		offset += (uint64_t)written;
	}
	return 0;
}

int ct_file_pread_all(int fd, void *ret_data, size_t length, uint64_t offset)
{
	char *at = ret_data;
	while (length > 0) {
		ssize_t got = pread(fd, at, length, (off_t)offset);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return -ENODATA;
		at += got;
		length -= (size_t)got;
		offset += (uint64_t)got;
	}
	return 0;
}

/* Appends what comes until the end, or until a newline when `one_line`. */
static int read_into(int fd, bool one_line, struct ct_buffer *buffer)
{
	char piece[4096];
	for (;;) {
		ssize_t got = read(fd, piece, sizeof(piece));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return 0;
		const char *end = one_line ? memchr(piece, '\n', (size_t)got) : NULL;
		ct_buffer_append(buffer, piece, end != NULL ? (size_t)(end - piece) : (size_t)got);
		if (ct_buffer_error(buffer) < 0)
			return ct_buffer_error(buffer);
		if (end != NULL)
			return 0;
	}
}

int ct_file_read(const char *path, struct ct_buffer *buffer)
{
	ct_cleanup(ct_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return read_into(fd, false, buffer);
}

int ct_file_read_line(const char *path, struct ct_buffer *buffer)
{
	ct_cleanup(ct_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t before = buffer->length;
	if (fd < 0)
		return -errno;
	int r = read_into(fd, true, buffer);
	if (r < 0)
		return r;
	if (buffer->length > before && buffer->data[buffer->length - 1] == '\r')
		buffer->data[--buffer->length] = '\0';
	return 0;
}

/* The folder that holds `path`. */
static int folder_of(const char *path, char *ret_folder, size_t capacity)
{
	const char *slash = strrchr(path, '/');
	struct ct_slice folder = CT_SLICE_OF(".");
	if (slash == path)
		folder = CT_SLICE_OF("/");
	else if (slash != NULL)
		folder = (struct ct_slice){ path, (size_t)(slash - path) };
	return ct_slice_copy(folder, ret_folder, capacity);
}

/* Makes the new file and its bytes durable; it has no lasting name yet. */
static int write_new(const char *path, const void *data, size_t length, mode_t mode)
{
	ct_cleanup(ct_close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	int r = ct_file_write_all(fd, data, length);
	if (r < 0)
		return r;
	if (fsync(fd) < 0)
		return -errno;
	if (close(ct_steal_fd(&fd)) < 0)
		return -errno;
	return 0;
}

int ct_file_replace(const char *path, const void *data, size_t length, mode_t mode)
{
	unsigned char random[SUFFIX_BYTES];
	char suffix[2 * SUFFIX_BYTES + 1];
	char temporary[PATH_MAX];
	char folder[PATH_MAX];

	int r = folder_of(path, folder, sizeof(folder));
	if (r < 0)
		return r;
	r = ct_random_bytes(random, sizeof(random));
	if (r < 0)
		return r;
	ct_hex_encode(random, sizeof(random), suffix);
	int chars = snprintf(temporary, sizeof(temporary), "%s.%s", path, suffix);
	if (chars < 0 || (size_t)chars >= sizeof(temporary))
		return -ENAMETOOLONG;

	r = write_new(temporary, data, length, mode);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlink(temporary); /* the first failure is the one to tell */
		return r;
	}
	return ct_file_fsync_directory(folder);
}

int ct_file_fsync_directory(const char *path)
{
	ct_cleanup(ct_close_fd) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return fsync(fd) < 0 ? -errno : 0;
}

static int make_directory(const char *path, mode_t mode)
{
	struct stat status;
	if (mkdir(path, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (stat(path, &status) < 0)
		return -errno;
	return S_ISDIR(status.st_mode) ? 0 : -ENOTDIR;
}

int ct_file_make_directories(const char *path, mode_t mode)
{
	char part[PATH_MAX];
	int r = ct_slice_copy(ct_slice_from_string(path), part, sizeof(part));
	if (r < 0)
		return r;
	for (char *at = part; *at != '\0'; at++) {
		if (*at != '/' || at == part)
			continue;
		*at = '\0';
		r = make_directory(part, mode);
		*at = '/';
		if (r < 0)
			return r;
	}
	return make_directory(part, mode);
}

int ct_path_join(const char *folder, const char *name, char *ret_path, size_t capacity)
{
	size_t folder_length = strlen(folder);
	size_t name_length = strlen(name);
	CT_ASSERT(folder_length > 0);
	size_t slash = folder[folder_length - 1] == '/' ? 0 : 1;
	if (folder_length + slash + name_length >= capacity)
		return -ENAMETOOLONG;
	memcpy(ret_path, folder, folder_length);
	ret_path[folder_length] = '/'; /* the name overwrites it when there was one */
	memcpy(ret_path + folder_length + slash, name, name_length + 1);
	return 0;
}
