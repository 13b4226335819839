/*
 * The server: builds every part in layer order, runs until it is told to stop, stops in reverse.
 * One thread owns it.
 */
#ifndef CT_APP_H
#define CT_APP_H

#include "config/config.h"

/*
 * Serves until SIGTERM or SIGINT, which must be blocked in all threads; 0 after an orderly end.
 * Writes `listening on URL` to standard output once it answers. An error has been logged.
 */
int ct_app_run(const struct ct_config *config);

/* `calotyped key ...`: the exit status; speaks on standard output and error. */
int ct_key_command(int argument_count, char *const *arguments, char *const *environment);

/* `calotyped fsck ...` and `calotyped reindex ...`: the exit status; see offline.h. */
int ct_fsck_command(int argument_count, char *const *arguments, char *const *environment);
int ct_reindex_command(int argument_count, char *const *arguments, char *const *environment);

/* The database file of this configuration: malloc'd, or NULL. */
char *ct_app_database_path(const struct ct_config *config);

#endif
