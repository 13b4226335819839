/*
 * What an upload that was cut off needs to go on: one small JSON file each, under
 * ${XDG_STATE_HOME:-~/.local/state}/calotype/uploads, named by the SHA-256 of server, real path,
 * size and time of the file's last change, so that a changed file never continues an old upload.
 * A lock file beside it keeps two processes off the same upload. -errno on failure.
 */
#ifndef CT_CLI_RESUME_STATE_H
#define CT_CLI_RESUME_STATE_H

#include "base/text.h"
#include "calotype/digest.h"
#include "urls.h"
#include <stdint.h>

struct ct_resume_state;

/* The file that is sent; plain borrowed values. */
struct ct_resume_file {
	const char *server_url;
	const char *path; /* real */
	uint64_t size_bytes;
	int64_t modified_ns; /* since 1970 */
};

/* Pure. */
void ct_resume_name(const struct ct_resume_file *file, char ret_name[CT_DIGEST_HEX_CHARS + 1]);

/* The folder, from the environment; -ENOENT when neither variable is set. */
int ct_resume_folder(char *ret_folder, size_t capacity);

/*
 * Takes the lock; makes the folder (0700) when missing. -EWOULDBLOCK: another process has it. The
 * lock lasts until ct_resume_close().
 */
int ct_resume_open(
    const char *folder, const struct ct_resume_file *file, struct ct_resume_state **ret_state);

/* The upload's id on the server; -ENOENT: nothing was begun, or it can't be read. */
int ct_resume_load(const struct ct_resume_state *state, char ret_upload[CT_ID_CHARS + 1]);

/* Durable, mode 0600. */
int ct_resume_save(const struct ct_resume_state *state, const char *upload);

/* Removes the file; the lock stays until closed. A missing one is fine. */
int ct_resume_forget(const struct ct_resume_state *state);

/* The same, by name and without the lock: for an upload that was complete when it was closed. */
int ct_resume_forget_named(const char *folder, const char *name);

/* Gives the lock back, NULL is allowed. The lock file goes when nothing is left to lock. */
void ct_resume_close(struct ct_resume_state *state);

/* Removes what was left behind before `older_than_ms`, at most a few thousand at a time. */
int ct_resume_sweep(const char *folder, int64_t older_than_ms);

#endif
