/*
 * What keeps a server from starting: options that only show to be wrong when they are used, and
 * being open to the world. Each is told in one line of the log that names the option, where it came
 * from, what is wrong and what would be right. The main thread.
 */
#ifndef CT_START_H
#define CT_START_H

#include "config/config.h"

struct ct_metadata;

/* Returned by those below: why the start fails has been logged. */
#define CT_START_TOLD (-ECANCELED)

/*
 * Logs `event` for the option and returns CT_START_TOLD. `detail` NULL: the text of `error`. The
 * value is not repeated for secrets: `value->text` may then be NULL.
 */
int ct_start_refuse(
    const struct ct_config_value *value, int error, const char *event, const char *detail);

/* Explain a failure of the part that the option belongs to; 0 and more are passed on. */
int ct_start_explain_data(const struct ct_config *config, int error);
int ct_start_explain_database(const struct ct_config *config, int error);
int ct_start_explain_listen(const struct ct_config *config, int error);
int ct_start_explain_accept(const struct ct_config *config, int error);

/* Is --worker-path a program? Without one in the usual places there is a warning. */
int ct_start_check_worker(const struct ct_config *config);

/* Adds the configured key; refuses to be open to the world. Other errors than told ones: -errno. */
int ct_start_check_access(const struct ct_config *config, struct ct_metadata *metadata);

#endif
