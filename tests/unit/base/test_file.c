#include "base/file.h"
#include "base/cleanup.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char folder[64];
static char path[PATH_MAX];

static void make_folder(void)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/calotype-test-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	cr_assert_eq(ct_path_join(folder, "file", path, sizeof(path)), 0);
}

static void remove_entries(const char *where)
{
	DIR *entries = opendir(where);
	cr_assert_not_null(entries);
	for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
		char name[PATH_MAX];
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		cr_assert_eq(ct_path_join(where, entry->d_name, name, sizeof(name)), 0);
		if (entry->d_type == DT_DIR)
			remove_entries(name);
		else
			cr_assert_eq(unlink(name), 0);
	}
	cr_assert_eq(closedir(entries), 0);
	cr_assert_eq(rmdir(where), 0);
}

static void remove_folder(void)
{
	remove_entries(folder);
}

TestSuite(file, .init = make_folder, .fini = remove_folder);

static int count_entries(void)
{
	int count = 0;
	DIR *entries = opendir(folder);
	cr_assert_not_null(entries);
	while (readdir(entries) != NULL)
		count++;
	cr_assert_eq(closedir(entries), 0);
	return count - 2;
}

static void assert_holds(const char *expected)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer buffer;
	ct_buffer_init(&buffer, 1000);
	cr_assert_eq(ct_file_read(path, &buffer), 0);
	cr_assert_eq(buffer.length, strlen(expected));
	cr_assert_eq(memcmp(buffer.length > 0 ? buffer.data : "", expected, buffer.length), 0);
}

Test(file, replaces_whole)
{
	struct stat status;
	cr_assert_eq(ct_file_replace(path, "first", 5, 0600), 0);
	assert_holds("first");
	cr_assert_eq(ct_file_replace(path, "2", 1, 0600), 0);
	assert_holds("2");
	cr_assert_eq(ct_file_replace(path, NULL, 0, 0600), 0);
	assert_holds("");
	cr_assert_eq(stat(path, &status), 0);
	cr_assert_eq(status.st_mode & 07777, 0600);
	cr_assert_eq(count_entries(), 1);
}

Test(file, failed_replace_leaves_nothing)
{
	cr_assert_eq(mkdir(path, 0700), 0);
	cr_assert_eq(ct_file_replace(path, "x", 1, 0600), -EISDIR);
	cr_assert_eq(count_entries(), 1);
	cr_assert_eq(ct_file_replace("/nonexistent/file", "x", 1, 0600), -ENOENT);
	cr_assert_eq(ct_file_replace("", "x", 1, 0600), -ENOENT);
}

Test(file, replaces_in_the_current_folder)
{
	cr_assert_eq(chdir(folder), 0);
	cr_assert_eq(ct_file_replace("file", "here", 4, 0600), 0);
	assert_holds("here");
	cr_assert_eq(chdir("/"), 0);
}

Test(file, reads_up_to_the_maximum)
{
	char bytes[10000];
	memset(bytes, 'x', sizeof(bytes));
	cr_assert_eq(ct_file_replace(path, bytes, sizeof(bytes), 0600), 0);
	ct_cleanup(ct_buffer_done) struct ct_buffer fits;
	ct_buffer_init(&fits, sizeof(bytes));
	cr_assert_eq(ct_file_read(path, &fits), 0);
	cr_assert_eq(fits.length, sizeof(bytes));
	ct_cleanup(ct_buffer_done) struct ct_buffer small;
	ct_buffer_init(&small, sizeof(bytes) - 1);
	cr_assert_eq(ct_file_read(path, &small), -EMSGSIZE);
	cr_assert_eq(ct_file_read("/nonexistent", &fits), -ENOENT);
	cr_assert_eq(ct_file_read(folder, &fits), -EISDIR);
}

static void assert_line(const char *bytes, const char *expected)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer buffer;
	ct_buffer_init(&buffer, 10);
	cr_assert_eq(ct_file_replace(path, bytes, strlen(bytes), 0600), 0);
	cr_assert_eq(ct_file_read_line(path, &buffer), 0);
	cr_assert_eq(buffer.length, strlen(expected));
	cr_assert_str_eq(buffer.data, expected);
}

Test(file, reads_the_first_line)
{
	assert_line("secret\n", "secret");
	assert_line("secret\r\n", "secret");
	assert_line("secret", "secret");
	assert_line("0123456789\nmore than the maximum", "0123456789");
	assert_line("\nsecond", "");
	ct_cleanup(ct_buffer_done) struct ct_buffer buffer;
	ct_buffer_init(&buffer, 9);
	cr_assert_eq(ct_file_replace(path, "0123456789\n", 11, 0600), 0);
	cr_assert_eq(ct_file_read_line(path, &buffer), -EMSGSIZE);
}

Test(file, reads_and_writes_at_places)
{
	char bytes[4] = "???";
	ct_cleanup(ct_close_fd) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ct_file_write_all(fd, "abcdef", 6), 0);
	cr_assert_eq(ct_file_pwrite_all(fd, "XY", 2, 4), 0);
	cr_assert_eq(ct_file_pwrite_all(fd, "Z", 1, 7), 0);
	cr_assert_eq(ct_file_pread_all(fd, bytes, 3, 3), 0);
	cr_assert_str_eq(bytes, "dXY");
	cr_assert_eq(ct_file_pread_all(fd, bytes, 3, 6), -ENODATA);
	cr_assert_eq(ct_file_pread_all(fd, bytes, 0, 100), 0);
	cr_assert_eq(ct_file_write_all(-1, "x", 1), -EBADF);
	cr_assert_eq(ct_file_pwrite_all(fd, "x", 1, UINT64_MAX), -EINVAL);
}

Test(file, makes_directories)
{
	char deep[PATH_MAX];
	cr_assert_eq(ct_path_join(folder, "a/b//c/", deep, sizeof(deep)), 0);
	cr_assert_eq(ct_file_make_directories(deep, 0700), 0);
	cr_assert_eq(ct_file_make_directories(deep, 0700), 0);
	cr_assert_eq(ct_file_fsync_directory(deep), 0);
	cr_assert_eq(ct_file_make_directories("/", 0700), 0);
	cr_assert_eq(ct_file_make_directories("", 0700), -ENOENT);
	cr_assert_eq(ct_file_replace(path, "x", 1, 0600), 0);
	cr_assert_eq(ct_file_make_directories(path, 0700), -ENOTDIR);
	cr_assert_eq(ct_file_fsync_directory(path), -ENOTDIR);
	cr_assert_eq(ct_path_join(path, "below", deep, sizeof(deep)), 0);
	cr_assert_eq(ct_file_make_directories(deep, 0700), -ENOTDIR);
}

Test(path, joins)
{
	char joined[8] = "?";
	cr_assert_eq(ct_path_join("ab", "cdef", joined, 7), -ENAMETOOLONG);
	cr_assert_str_eq(joined, "?");
	cr_assert_eq(ct_path_join("ab", "cdef", joined, 8), 0);
	cr_assert_str_eq(joined, "ab/cdef");
	cr_assert_eq(ct_path_join("/", "x", joined, sizeof(joined)), 0);
	cr_assert_str_eq(joined, "/x");
	cr_assert_eq(ct_path_join("a/", "", joined, 3), 0);
	cr_assert_str_eq(joined, "a/");
}
