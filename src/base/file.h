/*
 * Small helpers over files; -errno on failure. They block. Any thread.
 */
#ifndef CT_BASE_FILE_H
#define CT_BASE_FILE_H

#include "base/buffer.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* All of it, over short writes and EINTR. */
int ct_file_write_all(int fd, const void *data, size_t length);
int ct_file_pwrite_all(int fd, const void *data, size_t length, uint64_t offset);
/* Exactly `length` bytes; -ENODATA at an early end. */
int ct_file_pread_all(int fd, void *ret_data, size_t length, uint64_t offset);

/* The whole file, at most the buffer's maximum (-EMSGSIZE). */
int ct_file_read(const char *path, struct ct_buffer *buffer);

/* A secret: the file's first line without its newline; the buffer's maximum counts. */
int ct_file_read_line(const char *path, struct ct_buffer *buffer);

/* Written whole or not at all, and durable: temporary name, fsync, rename, fsync of the folder. */
int ct_file_replace(const char *path, const void *data, size_t length, mode_t mode);

int ct_file_fsync_directory(const char *path);
int ct_file_make_directories(const char *path, mode_t mode); /* like mkdir -p */

/* "a/b": -ENAMETOOLONG. */
int ct_path_join(const char *folder, const char *name, char *ret_path, size_t capacity);

#endif
