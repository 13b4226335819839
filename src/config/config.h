/*
 * The configuration: defaults, then an INI file, then the environment, then flags, into one struct
 * that nobody changes afterwards. options.def is the table of all options. One thread.
 */
#ifndef CT_CONFIG_H
#define CT_CONFIG_H

#include "base/buffer.h"
#include <stdbool.h>
#include <stdint.h>

#define CT_CONFIG_MAX_WORKERS 64

/* One member an option. */
struct ct_config_value {
	char *text; /* as it was given; an address of a server without the slashes at its end */
	uint64_t number; /* of BYTES, COUNT, SECONDS and BOOL */
	char *source;	 /* for messages: "--data", "CALOTYPE_DATA", "data in FILE, line 3" */
};

struct ct_config {
#define CT_ROW(field, kind, flag, otherwise, argument, help) struct ct_config_value field;
#include "config/options.def"
#undef CT_ROW
};

/*
 * Reads all four sources. `arguments` are those after the program's (and command's) name; only
 * flags, "--data DIR" or "--data=DIR"; BOOL flags take no argument ("--insecure", "--no-insecure").
 * The file is --config FILE or CALOTYPE_CONFIG. `environment` is as environ; a CALOTYPE_ variable
 * that is no option is ignored: the client has its own.
 * Values are checked as far as that is possible without touching the system; the limits of numbers
 * are in limits.def. -EINVAL: `*ret_message` (malloc'd) says in one line which source, which
 * option, what was wrong and what would be right.
 */
int ct_config_load(int argument_count, char *const *arguments, char *const *environment,
    struct ct_config **ret_config, char **ret_message);
void ct_config_free(struct ct_config *config);

/* The table of options for --help. */
void ct_config_help(struct ct_buffer *buffer);

#endif
