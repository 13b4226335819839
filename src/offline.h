/*
 * What `calotyped fsck` and `calotyped reindex` share: their arguments, and a data directory that
 * is theirs alone while no server runs.
 */
#ifndef CT_OFFLINE_H
#define CT_OFFLINE_H

#include "base/json.h"
#include "config/config.h"
#include <stdint.h>

struct ct_blob_store;

#define CT_OFFLINE_EXIT_FINDINGS 1
#define CT_OFFLINE_EXIT_USAGE 2
#define CT_OFFLINE_EXIT_FAILED 3 /* nothing, or not all, could be done */

struct ct_offline {
	const char *command;
	const char *usage; /* its --help */
	bool has_checks;   /* it takes --deep and --repair */

	/* from the arguments */
	bool deep, repair, json, help;
	bool is_terminal; /* progress is shown on standard error */
	struct ct_config *config;

	struct ct_blob_store *store;
};

/*
 * Reads the arguments and takes the data directory, which must be one. -1: go on; else the exit
 * status, after a message. ct_offline_done() in any case.
 */
int ct_offline_begin(struct ct_offline *offline, int argument_count, char *const *arguments,
    char *const *environment);
void ct_offline_done(struct ct_offline *offline);

/* On standard error, after the name of the command. Returns CT_OFFLINE_EXIT_FAILED. */
int ct_offline_fail(const struct ct_offline *offline, const char *what, int error);

/* "directory 12 of 256", over itself, when somebody looks. `total` 0 wipes it. */
void ct_offline_progress(
    const struct ct_offline *offline, const char *what, unsigned done, unsigned total);

/* Takes `json` over, prints it as a line; -ENOMEM, -EIO. */
int ct_offline_print(struct ct_json *json);

#endif
