#include "resume_state.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define ID "0123456789abcdef0123456789abcdef"
#define OTHER_ID "ffffffffffffffffffffffffffffffff"

static char root[PATH_MAX];
static char folder[PATH_MAX];
static const struct ct_resume_file photo = {
	.server_url = "http://a:1",
	.path = "/home/me/photo.jpg",
	.size_bytes = 1000,
	.modified_ns = 123456789,
};

static void set_up(void)
{
	(void)snprintf(root, sizeof(root), "/tmp/calotype-test-XXXXXX");
	cr_assert_not_null(mkdtemp(root));
	cr_assert_eq(ct_path_join(root, "state/uploads", folder, sizeof(folder)), 0);
}

static size_t count_files(void)
{
	size_t count = 0;
	DIR *entries = opendir(folder);
	if (entries == NULL)
		return 0;
	for (const struct dirent *entry; (entry = readdir(entries)) != NULL;)
		count += entry->d_name[0] != '.';
	(void)closedir(entries);
	return count;
}

static void tear_down(void)
{
	char command[PATH_MAX + 16];
	(void)snprintf(command, sizeof(command), "rm -rf %s", root);
	cr_expect_eq(system(command), 0);
}

TestSuite(resume_state, .init = set_up, .fini = tear_down);

static struct ct_resume_state *open_state(const struct ct_resume_file *file)
{
	struct ct_resume_state *state = NULL;
	cr_assert_eq(ct_resume_open(folder, file, &state), 0);
	return state;
}

static void path_of(const struct ct_resume_file *file, char ret_path[PATH_MAX])
{
	char name[CT_DIGEST_HEX_CHARS + 1];
	ct_resume_name(file, name);
	cr_assert_eq(ct_path_join(folder, name, ret_path, PATH_MAX), 0);
}

Test(resume_state, names_differ_in_everything)
{
	char name[CT_DIGEST_HEX_CHARS + 1];
	char other[CT_DIGEST_HEX_CHARS + 1];
	struct ct_resume_file files[] = { photo, photo, photo, photo, photo };
	files[0].server_url = "http://a:2";
	files[1].path = "/home/me/photo2.jpg";
	files[2].size_bytes = 1001;
	files[3].modified_ns = 123456790;
	/* the same bytes, cut elsewhere */
	files[4].server_url = "http://a:1/home";
	files[4].path = "/me/photo.jpg";

	ct_resume_name(&photo, name);
	cr_expect_eq(strlen(name), CT_DIGEST_HEX_CHARS);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		ct_resume_name(&files[i], other);
		cr_expect_str_neq(name, other, "%zu", i);
	}
	ct_resume_name(&photo, other);
	cr_expect_str_eq(name, other);
}

Test(resume_state, the_folder_follows_the_environment)
{
	char path[PATH_MAX];
	cr_assert_eq(setenv("HOME", "/home/me", 1), 0);
	cr_assert_eq(setenv("XDG_STATE_HOME", "/var/me", 1), 0);
	cr_expect_eq(ct_resume_folder(path, sizeof(path)), 0);
	cr_expect_str_eq(path, "/var/me/calotype/uploads");
	cr_assert_eq(setenv("XDG_STATE_HOME", "relative", 1), 0);
	cr_expect_eq(ct_resume_folder(path, sizeof(path)), 0);
	cr_expect_str_eq(path, "/home/me/.local/state/calotype/uploads");
	cr_assert_eq(unsetenv("HOME"), 0);
	cr_expect_eq(ct_resume_folder(path, sizeof(path)), -ENOENT);
}

Test(resume_state, what_was_saved_is_loaded)
{
	char upload[CT_ID_CHARS + 1];
	char path[PATH_MAX];
	struct stat status;
	struct ct_resume_state *state = open_state(&photo);
	cr_expect_eq(ct_resume_load(state, upload), -ENOENT);
	cr_expect_eq(ct_resume_save(state, OTHER_ID), 0);
	cr_expect_eq(ct_resume_save(state, ID), 0);
	ct_resume_close(state);

	state = open_state(&photo);
	cr_expect_eq(ct_resume_load(state, upload), 0);
	cr_expect_str_eq(upload, ID);
	path_of(&photo, path);
	cr_assert_eq(stat(path, &status), 0);
	cr_expect_eq(status.st_mode & 07777, 0600);
	cr_assert_eq(stat(folder, &status), 0);
	cr_expect_eq(status.st_mode & 07777, 0700);
	cr_expect_eq(ct_resume_forget(state), 0);
	cr_expect_eq(ct_resume_forget(state), 0);
	cr_expect_eq(ct_resume_load(state, upload), -ENOENT);
	ct_resume_close(state);
	cr_expect_eq(count_files(), 0);
}

Test(resume_state, a_path_that_is_not_utf8_works)
{
	char upload[CT_ID_CHARS + 1];
	struct ct_resume_file file = photo;
	file.path = "/home/me/\377.jpg";
	struct ct_resume_state *state = open_state(&file);
	cr_expect_eq(ct_resume_save(state, ID), 0);
	cr_expect_eq(ct_resume_load(state, upload), 0);
	ct_resume_close(state);
}

static void expect_unusable(const char *text)
{
	char path[PATH_MAX];
	char upload[CT_ID_CHARS + 1] = "untouched";
	struct ct_resume_state *state = open_state(&photo);
	path_of(&photo, path);
	cr_assert_eq(ct_file_replace(path, text, strlen(text), 0600), 0);
	cr_expect_eq(ct_resume_load(state, upload), -ENOENT, "%s", text);
	cr_expect_str_eq(upload, "untouched");
	ct_resume_close(state);
}

#define STATE(server, file, size, upload)                                               \
	"{\"version\":1,\"server\":\"" server "\",\"file\":\"" file "\",\"size\":" size \
	",\"modified_ns\":123456789,\"upload\":\"" upload "\"}"

Test(resume_state, a_damaged_or_foreign_one_counts_as_none)
{
	expect_unusable("");
	expect_unusable("{");
	expect_unusable("[]");
	expect_unusable("{}");
	expect_unusable(STATE("http://b", "/home/me/photo.jpg", "1000", "http://a:1/uploads/" ID));
	expect_unusable(STATE("http://a:1", "/home/me/x.jpg", "1000", "http://a:1/uploads/" ID));
	expect_unusable(STATE("http://a:1", "/home/me/photo.jpg", "1", "http://a:1/uploads/" ID));
	expect_unusable(STATE("http://a:1", "/home/me/photo.jpg", "1000", "http://a:1/uploads/1"));
	expect_unusable(STATE("http://a:1", "/home/me/photo.jpg", "1000", "http://a:1/x"));
}

Test(resume_state, only_one_holds_it)
{
	struct ct_resume_file file = photo;
	struct ct_resume_state *state = open_state(&photo);
	struct ct_resume_state *second = NULL;
	cr_expect_eq(ct_resume_open(folder, &photo, &second), -EWOULDBLOCK);
	cr_expect_null(second);
	file.size_bytes++;
	second = open_state(&file); /* another upload is free */
	ct_resume_close(second);
	ct_resume_close(state);
	ct_resume_close(open_state(&photo));
}

Test(resume_state, old_ones_are_swept)
{
	char path[PATH_MAX];
	char upload[CT_ID_CHARS + 1];
	struct ct_resume_file other = photo;
	struct timeval times[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	other.size_bytes++;
	struct ct_resume_state *state = open_state(&photo);
	cr_expect_eq(ct_resume_save(state, ID), 0);
	ct_resume_close(state);
	state = open_state(&other);
	cr_expect_eq(ct_resume_save(state, ID), 0);
	path_of(&photo, path);
	cr_assert_eq(utimes(path, times), 0);

	cr_expect_eq(ct_resume_sweep(folder, ct_clock_wall_ms() - 60000), 0);
	cr_expect_eq(access(path, F_OK), -1);
	cr_expect_eq(ct_resume_load(state, upload), 0);
	/* the lock that is held stays, however old */
	cr_expect_eq(ct_resume_sweep(folder, INT64_MAX), 0);
	cr_expect_eq(count_files(), 1);
	ct_resume_close(state);
	cr_expect_eq(ct_resume_sweep("/nonexistent", 0), 0);
}
