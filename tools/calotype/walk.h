/*
 * Which files `put` sends: those named, and what is in the folders named, in sorted order. Hidden
 * names and what is neither a file nor a folder are left out; links to files are followed, links
 * to folders aren't, unless named.
 */
#ifndef CT_CLI_WALK_H
#define CT_CLI_WALK_H

#include <stddef.h>

#define CT_WALK_MAX_DEPTH 64
#define CT_WALK_MAX_FILES 1000000

struct ct_walk {
	char **paths;
	size_t count;
	size_t capacity;
	/* A file or folder that can't be read, or isn't either; the walk goes on. */
	void (*problem)(void *arg, const char *path, int error);
	void *arg;
};

/* Adds what `path` names. -ENOMEM, or -E2BIG past the maximum; all else goes to `problem`. */
int ct_walk_add(struct ct_walk *walk, const char *path);
void ct_walk_done(struct ct_walk *walk);

#endif
