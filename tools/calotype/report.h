/*
 * What `put` says of one file: a line for people, or a line of JSON.
 */
#ifndef CT_CLI_REPORT_H
#define CT_CLI_REPORT_H

#include "commands.h"

/* What has become of a file; what is NULL isn't known. Borrowed. */
struct ct_report {
	const char *path;  /* as it was given */
	const char *state; /* "ready", "uploaded", "failed", "refused", ... */
	const char *job;
	const struct ct_json *image; /* with absolute addresses */
	const struct ct_failure *failure;
	bool was_begun; /* then how much of it was sent: */
	uint64_t sent_bytes, size_bytes;
};

enum ct_exit ct_report_file(struct ct_cli *cli, const struct ct_report *report);

/* "photo.jpg ready 4000x3000 image=<id> <url>": appends it; `name` is escaped. Pure. */
void ct_report_format_ready(
    const char *name, const char *state, const struct ct_json *image, struct ct_buffer *text);

#endif
