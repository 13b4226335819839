/*
 * The commands. Each prints what it has to say and returns how the program ends.
 */
#ifndef CT_CLI_COMMANDS_H
#define CT_CLI_COMMANDS_H

#include "base/cleanup.h"
#include "base/json.h"
#include "exit.h"
#include "options.h"
#include "screen.h"
#include "server.h"

struct ct_cli {
	const struct ct_options *options;
	struct ct_server *server;
	struct ct_screen screen;
};

enum ct_exit ct_put(struct ct_cli *cli);
enum ct_exit ct_status(struct ct_cli *cli);
enum ct_exit ct_get(struct ct_cli *cli);
enum ct_exit ct_list(struct ct_cli *cli);
enum ct_exit ct_remove(struct ct_cli *cli);

/* ---- shared by them ---- */

CT_DEFINE_CLEANUP(ct_cli_json_cleanup, struct ct_json *, ct_json_free)

/* "interrupted" or "unreachable": how to continue. */
void ct_cli_tell_how_to_continue(struct ct_cli *cli, enum ct_exit code);

/* One line of JSON; CT_EXIT_FAILED when it can't be made or written, with a message. */
enum ct_exit ct_cli_print_json(struct ct_cli *cli, const struct ct_json *json);

/* One line from a buffer that may have latched an error. */
enum ct_exit ct_cli_print_text(struct ct_cli *cli, const struct ct_buffer *text);

/* The problem as it was received; without one {"code","detail"}. */
struct ct_json *ct_cli_failure_to_json(const struct ct_failure *failure);

/* With --json, prints `document` (taken over) with the failure as its "error"; else nothing. */
enum ct_exit ct_cli_print_failure(
    struct ct_cli *cli, struct ct_json *document, const struct ct_failure *failure);

/* A malloc'd escaped copy; NULL without memory. */
char *ct_cli_escape(const char *text);

#endif
