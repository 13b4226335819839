/*
 * One file to the server by tus 1.0.0: begun, or continued where an earlier process, connection
 * or server stopped, until the server has all of it and names the job.
 */
#ifndef CT_CLI_UPLOAD_H
#define CT_CLI_UPLOAD_H

#include "calotype/digest.h"
#include "commands.h"
#include "progress.h"
#include <stdbool.h>

struct ct_upload_options {
	const char *path;
	const char *name;	  /* escaped, for messages */
	const char *state_folder; /* NULL: cannot be continued by another process */
	/* Asked to draw when it is time. */
	void (*draw)(void *arg, const struct ct_progress *progress);
	void *arg;
};

struct ct_upload_outcome {
	char job[CT_ID_CHARS + 1];
	/* Of the state that is kept until the job has ended; "" when there is none. */
	char state_name[CT_DIGEST_HEX_CHARS + 1];
	bool was_complete; /* all was there before this process began */
	bool was_begun;	   /* then how far it came: */
	uint64_t sent_bytes, size_bytes;
	struct ct_failure failure;
};

/*
 * CT_EXIT_OK: `job` is set. Else why not, with `failure`: the state is kept when it makes sense to
 * continue, and gone when the server has refused the file.
 */
enum ct_exit ct_upload_file(struct ct_cli *cli, const struct ct_upload_options *options,
    struct ct_upload_outcome *ret_outcome);

/* Forgets what an earlier process did with this file, so that the next call begins anew. */
void ct_upload_forget(const char *state_folder, const struct ct_upload_outcome *outcome);

#endif
