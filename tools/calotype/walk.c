#include "walk.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/file.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FIRST_CAPACITY 16

struct names {
	char **items;
	size_t count;
	size_t capacity;
};

static int walk_folder(struct ct_walk *walk, const char *path, int depth);

static int append(char ***items, size_t *count, size_t *capacity, const char *text)
{
	if (*count >= CT_WALK_MAX_FILES)
		return -E2BIG;
	if (*count == *capacity) {
		size_t more = *capacity > 0 ? *capacity * 2 : FIRST_CAPACITY;
		char **grown = realloc(*items, more * sizeof(*grown));
		if (grown == NULL)
			return -ENOMEM;
		*items = grown;
		*capacity = more;
	}
	char *copy = strdup(text);
	if (copy == NULL)
		return -ENOMEM;
	(*items)[(*count)++] = copy;
	return 0;
}

static void names_done(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->items[i]);
	free(names->items);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void close_folder(DIR **folder)
{
	if (*folder != NULL)
		(void)closedir(*folder); /* only read */
}

static int read_names(const char *path, struct names *names)
{
	ct_cleanup(close_folder) DIR *folder = opendir(path);
	if (folder == NULL)
		return -errno;
	for (;;) {
		errno = 0;
		const struct dirent *entry = readdir(folder);
		if (entry == NULL)
			break;
		if (entry->d_name[0] == '.')
			continue;
		int r = append(&names->items, &names->count, &names->capacity, entry->d_name);
		if (r < 0)
			return r;
	}
	if (errno != 0)
		return -errno;
	if (names->count > 0)
		qsort(names->items, names->count, sizeof(*names->items), compare);
	return 0;
}

/* A failure of this walk as a whole, as against one of a file. */
static bool is_fatal(int error)
{
	return error == -ENOMEM || error == -E2BIG;
}

static int visit(struct ct_walk *walk, const char *path, int depth)
{
	struct stat status;
	if (lstat(path, &status) < 0)
		return -errno;
	if (S_ISDIR(status.st_mode))
		return walk_folder(walk, path, depth + 1);
	if (S_ISLNK(status.st_mode) && stat(path, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return 0;
	return append(&walk->paths, &walk->count, &walk->capacity, path);
}

static int walk_folder(struct ct_walk *walk, const char *path, int depth)
{
	ct_cleanup(names_done) struct names names = { 0 };
	char child[PATH_MAX];
	if (depth > CT_WALK_MAX_DEPTH)
		return -ELOOP;
	int r = read_names(path, &names);
	if (r < 0)
		return r;
	for (size_t i = 0; i < names.count; i++) {
		r = ct_path_join(path, names.items[i], child, sizeof(child));
		if (r == 0)
			r = visit(walk, child, depth);
		if (is_fatal(r))
			return r;
		if (r < 0)
			walk->problem(walk->arg, child, r);
	}
	return 0;
}

int ct_walk_add(struct ct_walk *walk, const char *path)
{
	struct stat status;
	int r;
	CT_ASSERT(walk->problem != NULL);
	if (stat(path, &status) < 0)
		r = -errno;
	else if (S_ISDIR(status.st_mode))
		r = walk_folder(walk, path, 0);
	else if (S_ISREG(status.st_mode))
		r = append(&walk->paths, &walk->count, &walk->capacity, path);
	else
		r = -EINVAL; /* a device, a pipe, a socket */
	if (r < 0 && !is_fatal(r)) {
		walk->problem(walk->arg, path, r);
		r = 0;
	}
	return r;
}

void ct_walk_done(struct ct_walk *walk)
{
	for (size_t i = 0; i < walk->count; i++)
		free(walk->paths[i]);
	free(walk->paths);
	walk->paths = NULL;
	walk->count = 0;
	walk->capacity = 0;
}
