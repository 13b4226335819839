#include "walk.h"

#include "base/file.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[PATH_MAX];
static size_t problem_count;
static int last_problem;

static void set_up(void)
{
	(void)snprintf(root, sizeof(root), "/tmp/calotype-test-XXXXXX");
	cr_assert_not_null(mkdtemp(root));
	cr_assert_eq(chdir(root), 0);
}

static void tear_down(void)
{
	char command[PATH_MAX + 16];
	(void)snprintf(command, sizeof(command), "rm -rf %s", root);
	cr_expect_eq(system(command), 0);
}

TestSuite(walk, .init = set_up, .fini = tear_down);

static void make_file(const char *path)
{
	cr_assert_eq(ct_file_replace(path, "x", 1, 0600), 0);
}

static void make_folder(const char *path)
{
	cr_assert_eq(ct_file_make_directories(path, 0700), 0);
}

static void note_problem(void *arg, const char *path, int error)
{
	(void)arg;
	(void)path;
	problem_count++;
	last_problem = error;
}

static void expect_walk(const char *path, const char *const *expected, size_t count)
{
	struct ct_walk walk = { .problem = note_problem };
	cr_expect_eq(ct_walk_add(&walk, path), 0);
	cr_assert_eq(walk.count, count, "%s: %zu", path, walk.count);
	for (size_t i = 0; i < count; i++)
		cr_expect_str_eq(walk.paths[i], expected[i]);
	ct_walk_done(&walk);
}

Test(walk, folders_are_walked_in_order_without_hidden_names)
{
	static const char *const expected[] = { "f/B.jpg", "f/a/x.jpg", "f/a/y.jpg", "f/b.jpg" };
	make_folder("f/a");
	make_folder("f/.git");
	make_folder("f/empty");
	make_file("f/b.jpg");
	make_file("f/a/y.jpg");
	make_file("f/a/x.jpg");
	make_file("f/B.jpg");
	make_file("f/.hidden");
	make_file("f/.git/config");
	expect_walk("f", expected, 4);
	expect_walk("f/", expected, 4);
	cr_expect_eq(problem_count, 0);
}

Test(walk, what_is_named_counts_also_when_hidden)
{
	static const char *const expected[] = { ".hidden" };
	make_file(".hidden");
	expect_walk(".hidden", expected, 1);
}

Test(walk, links_to_files_are_followed_and_to_folders_are_not)
{
	static const char *const inside[] = { "f/link.jpg" };
	static const char *const named[] = { "folder-link/link.jpg" };
	make_folder("f");
	make_file("real.jpg");
	cr_assert_eq(symlink("../real.jpg", "f/link.jpg"), 0);
	cr_assert_eq(symlink("..", "f/up"), 0);
	expect_walk("f", inside, 1);
	cr_assert_eq(symlink("f", "folder-link"), 0);
	expect_walk("folder-link", named, 1);
	cr_expect_eq(problem_count, 0);
}

Test(walk, pipes_are_left_out_of_folders_and_refused_when_named)
{
	make_folder("f");
	cr_assert_eq(mkfifo("f/pipe", 0600), 0);
	expect_walk("f", NULL, 0);
	cr_expect_eq(problem_count, 0);
	expect_walk("f/pipe", NULL, 0);
	cr_expect_eq(problem_count, 1);
	cr_expect_eq(last_problem, -EINVAL);
}

Test(walk, what_cannot_be_read_is_told_and_the_rest_goes_on)
{
	static const char *const expected[] = { "f/z.jpg" };
	make_folder("f");
	make_file("f/z.jpg");
	cr_assert_eq(symlink("nowhere", "f/broken"), 0);
	expect_walk("f", expected, 1);
	cr_expect_eq(problem_count, 1);
	cr_expect_eq(last_problem, -ENOENT);
	expect_walk("nothing", NULL, 0);
	cr_expect_eq(problem_count, 2);
}

Test(walk, the_depth_has_an_end)
{
	char path[PATH_MAX] = "f";
	for (int i = 0; i < CT_WALK_MAX_DEPTH + 1; i++) {
		size_t length = strlen(path);
		(void)snprintf(path + length, sizeof(path) - length, "/d");
	}
	make_folder(path);
	expect_walk("f", NULL, 0);
	cr_expect_eq(problem_count, 1);
	cr_expect_eq(last_problem, -ELOOP);
}
