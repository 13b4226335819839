/*
 * The command line. Options may stand anywhere; "--" ends them.
 */
#ifndef CT_CLI_OPTIONS_H
#define CT_CLI_OPTIONS_H

#include "urls.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CT_OPTIONS_DEFAULT_URL "http://127.0.0.1:8080"
#define CT_OPTIONS_ERROR_CHARS 255

enum ct_command {
	CT_COMMAND_NONE,
	CT_COMMAND_PUT,
	CT_COMMAND_STATUS,
	CT_COMMAND_GET,
	CT_COMMAND_LIST,
	CT_COMMAND_REMOVE,
	CT_COMMAND_COUNT
};

struct ct_options {
	enum ct_command command;
	bool help;
	bool version;
	bool json;
	bool no_wait;
	char url[CT_URL_MAX]; /* normalized */
	uint64_t limit_rate;  /* bytes a second; 0: none */
	uint64_t chunk_size;  /* 0: one request for the rest */
	uint64_t limit;	      /* 0: all */
	const char *state;    /* NULL: the server's default */
	const char *output;
	const char **arguments; /* points into argv */
	size_t argument_count;
};

/*
 * `environment_url` is CALOTYPE_URL or NULL. -EINVAL: a usage error, told in `ret_error`, which is
 * escaped; -ENOMEM. With help or version nothing else is checked. End with ct_options_done() in
 * any case.
 */
int ct_options_parse(int argc, char **argv, const char *environment_url,
    struct ct_options *ret_options, char ret_error[CT_OPTIONS_ERROR_CHARS + 1]);
void ct_options_done(struct ct_options *options);

#endif
