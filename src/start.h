/*
 * What keeps a server from starting: options that only show to be wrong when they are used, and
 * being open to the world. Each is told in one line of the log that names the option, where it came
 * from, what is wrong and what would be right. The main thread.
 */
#ifndef CT_START_H
#define CT_START_H

#include "config/config.h"
#include "imaging/pool.h"

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
/* `why`: as of pairing.h, or NULL. */
int ct_start_explain_database(const struct ct_config *config, int error, const char *why);
int ct_start_explain_listen(const struct ct_config *config, int error);
int ct_start_explain_accept(const struct ct_config *config, int error);
/* What the uploads cannot do without: -ENOENT is that libmagic's database is missing. */
int ct_start_explain_uploads(const struct ct_config *config, int error);

/* Is --worker-path a program? Without one in the usual places there is a warning. */
int ct_start_check_worker(const struct ct_config *config);

/* What the configuration says about workers; its texts are borrowed. */
struct ct_imaging_options ct_start_imaging_options(const struct ct_config *config);

/*
 * Starts a worker to see which layers of its sandbox hold, logs them, and refuses when one lacks
 * that must be there, unless --sandbox=available. A worker that does not start is a warning: then
 * jobs wait, and nothing is decoded outside of a sandbox.
 */
int ct_start_check_sandbox(const struct ct_config *config);

/* `calotyped --check-sandbox`: a line a layer on standard output; the exit status. */
int ct_start_show_sandbox(const struct ct_config *config);

/* Adds the configured key; refuses to be open to the world. Other errors than told ones: -errno. */
int ct_start_check_access(const struct ct_config *config, struct ct_metadata *metadata);

#endif
