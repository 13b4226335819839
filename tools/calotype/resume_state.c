/*
 * The state is replaced by rename, so it can't be locked itself: `<name>.lock` is. Its holder
 * removes it, so whoever gets a lock checks that the name still leads to what was locked.
 */
#include "resume_state.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_VERSION 1
#define MAX_STATE_BYTES 65536
#define MAX_LOCK_TRIES 10
#define MAX_SWEPT 4096
#define LOCK_SUFFIX ".lock"

struct ct_resume_state {
	struct ct_resume_file file; /* with copies of its strings: */
	char *server_url;
	char *real_path;
	char state_path[PATH_MAX];
	char lock_path[PATH_MAX];
	int lock_fd;
};

CT_DEFINE_CLEANUP(state_cleanup, struct ct_resume_state *, ct_resume_close)
CT_DEFINE_CLEANUP(json_cleanup, struct ct_json *, ct_json_free)

static void hash_text(struct ct_hash *hash, const char *text)
{
	ct_hash_update(hash, text, strlen(text) + 1); /* the NUL keeps the parts apart */
}

void ct_resume_name(const struct ct_resume_file *file, char ret_name[CT_DIGEST_HEX_CHARS + 1])
{
	struct ct_hash hash;
	struct ct_digest digest;
	char numbers[64];
	int chars = snprintf(numbers, sizeof(numbers), "%llu %lld",
	    (unsigned long long)file->size_bytes, (long long)file->modified_ns);
	CT_ASSERT(chars > 0 && (size_t)chars < sizeof(numbers));

	ct_hash_init(&hash);
	hash_text(&hash, file->server_url);
	hash_text(&hash, file->path);
	hash_text(&hash, numbers);
	ct_hash_final(&hash, &digest);
	ct_digest_to_hex(&digest, ret_name);
}

int ct_resume_folder(char *ret_folder, size_t capacity)
{
	const char *state = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");
	/* A relative one is to be ignored (XDG base directory specification). */
	if (state != NULL && state[0] == '/')
		return ct_path_join(state, "calotype/uploads", ret_folder, capacity);
	if (home == NULL || home[0] != '/')
		return -ENOENT;
	return ct_path_join(home, ".local/state/calotype/uploads", ret_folder, capacity);
}

/* 1: the lock is held; 0: its name was taken away meanwhile, try again. */
static int try_lock(const char *path, int *ret_fd)
{
	struct stat named;
	struct stat opened;
	ct_cleanup(ct_close_fd) int fd =
	    open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	if (fstat(fd, &opened) < 0)
		return -errno;
	if (stat(path, &named) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (named.st_ino != opened.st_ino || named.st_dev != opened.st_dev)
		return 0;
	*ret_fd = ct_steal_fd(&fd);
	return 1;
}

static int take_lock(const char *path, int *ret_fd)
{
	for (int i = 0; i < MAX_LOCK_TRIES; i++) {
		int r = try_lock(path, ret_fd);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	return -EWOULDBLOCK;
}

static int make_paths(struct ct_resume_state *state, const char *folder)
{
	char name[CT_DIGEST_HEX_CHARS + 1];
	ct_resume_name(&state->file, name);
	int r = ct_path_join(folder, name, state->state_path, sizeof(state->state_path));
	if (r < 0)
		return r;
	int chars = snprintf(
	    state->lock_path, sizeof(state->lock_path), "%s%s", state->state_path, LOCK_SUFFIX);
	return chars < 0 || (size_t)chars >= sizeof(state->lock_path) ? -ENAMETOOLONG : 0;
}

int ct_resume_open(
    const char *folder, const struct ct_resume_file *file, struct ct_resume_state **ret_state)
{
	ct_cleanup(state_cleanup) struct ct_resume_state *state = calloc(1, sizeof(*state));
	if (state == NULL)
		return -ENOMEM;
	state->lock_fd = -1;
	state->file = *file;
	state->server_url = strdup(file->server_url);
	state->real_path = strdup(file->path);
	if (state->server_url == NULL || state->real_path == NULL)
		return -ENOMEM;
	state->file.server_url = state->server_url;
	state->file.path = state->real_path;
	int r = make_paths(state, folder);
	if (r == 0)
		r = ct_file_make_directories(folder, 0700);
	if (r == 0)
		r = take_lock(state->lock_path, &state->lock_fd);
	if (r < 0)
		return r;
	*ret_state = ct_steal(state);
	return 0;
}

static bool is_of(const struct ct_json *json, const struct ct_resume_file *file)
{
	const char *server = ct_json_get_text(json, "server");
	const char *path = ct_json_get_text(json, "file");
	/* A path that isn't UTF-8 is stored as null; the name of the state says it all then. */
	return ct_json_get_number(json, "version", 0) == STATE_VERSION && server != NULL &&
	       strcmp(server, file->server_url) == 0 &&
	       (path == NULL || strcmp(path, file->path) == 0) &&
	       ct_json_get_number(json, "size", -1) == (int64_t)file->size_bytes &&
	       ct_json_get_number(json, "modified_ns", -1) == file->modified_ns;
}

int ct_resume_load(const struct ct_resume_state *state, char ret_upload[CT_ID_CHARS + 1])
{
	ct_cleanup(ct_buffer_done) struct ct_buffer text;
	ct_cleanup(json_cleanup) struct ct_json *json = NULL;
	ct_buffer_init(&text, MAX_STATE_BYTES);

	int r = ct_file_read(state->state_path, &text);
	if (r == 0)
		r = ct_json_parse((struct ct_slice){ text.data, text.length }, &json);
	if (r == -ENOMEM)
		return r;
	if (r < 0 || !is_of(json, &state->file))
		return -ENOENT;
	struct ct_slice upload = ct_slice_from_string(ct_json_get_text(json, "upload"));
	return ct_url_last_id(upload, "uploads", ret_upload) < 0 ? -ENOENT : 0;
}

int ct_resume_save(const struct ct_resume_state *state, const char *upload)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer text;
	ct_cleanup(json_cleanup) struct ct_json *json = ct_json_object();
	char url[CT_URL_MAX + 64];
	bool utf8 = ct_slice_is_utf8(ct_slice_from_string(state->file.path));
	ct_buffer_init(&text, MAX_STATE_BYTES);

	int chars = snprintf(url, sizeof(url), "%s/uploads/%s", state->file.server_url, upload);
	if (chars < 0 || (size_t)chars >= sizeof(url))
		return -ENAMETOOLONG;
	ct_json_set_number(json, "version", STATE_VERSION);
	ct_json_set_text(json, "server", state->file.server_url);
	ct_json_set_text(json, "file", utf8 ? state->file.path : NULL);
	ct_json_set_number(json, "size", (int64_t)state->file.size_bytes);
	ct_json_set_number(json, "modified_ns", state->file.modified_ns);
	ct_json_set_text(json, "upload", url);
	ct_json_set_time(json, "created", ct_clock_wall_ms());
	int r = ct_json_print(json, &text);
	if (r < 0)
		return r;
	return ct_file_replace(state->state_path, text.data, text.length, 0600);
}

static int remove_file(const char *path)
{
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

int ct_resume_forget(const struct ct_resume_state *state)
{
	return remove_file(state->state_path);
}

int ct_resume_forget_named(const char *folder, const char *name)
{
	char path[PATH_MAX];
	int r = ct_path_join(folder, name, path, sizeof(path));
	return r < 0 ? r : remove_file(path);
}

void ct_resume_close(struct ct_resume_state *state)
{
	if (state == NULL)
		return;
	if (state->lock_fd >= 0) {
		/* One that can't be removed is swept later. */
		(void)remove_file(state->lock_path);
		ct_close_fd(&state->lock_fd);
	}
	free(state->server_url);
	free(state->real_path);
	free(state);
}

static int sweep_entry(int folder_fd, const char *name, int64_t older_than_ms)
{
	struct stat status;
	if (name[0] == '.')
		return 0;
	if (fstatat(folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	int64_t modified_ms = (int64_t)status.st_mtim.tv_sec * 1000;
	if (!S_ISREG(status.st_mode) || modified_ms >= older_than_ms)
		return 0;
	ct_cleanup(ct_close_fd) int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	/* A lock that is held is in use, however old. */
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? 0 : -errno;
	return unlinkat(folder_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static void close_folder(DIR **folder)
{
	if (*folder != NULL)
		(void)closedir(*folder); /* only read */
}

int ct_resume_sweep(const char *folder, int64_t older_than_ms)
{
	ct_cleanup(close_folder) DIR *entries = opendir(folder);
	if (entries == NULL)
		return errno == ENOENT ? 0 : -errno;
	for (int i = 0; i < MAX_SWEPT; i++) {
		errno = 0;
		const struct dirent *entry = readdir(entries);
		if (entry == NULL)
			return -errno;
		int r = sweep_entry(dirfd(entries), entry->d_name, older_than_ms);
		if (r < 0)
			return r;
	}
	return 0;
}
