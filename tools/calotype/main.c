/*
 * calotype: the client's command. See calotype(1).
 */
#include "base/cleanup.h"
#include "commands.h"
#include "help.h"
#include "interrupt.h"
#include "options.h"
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

CT_DEFINE_CLEANUP(server_cleanup, struct ct_server *, ct_server_close)

static enum ct_exit run_command(struct ct_cli *cli)
{
	switch (cli->options->command) {
	case CT_COMMAND_PUT: return ct_put(cli);
	case CT_COMMAND_STATUS: return ct_status(cli);
	case CT_COMMAND_GET: return ct_get(cli);
	case CT_COMMAND_LIST: return ct_list(cli);
	case CT_COMMAND_REMOVE: return ct_remove(cli);
	case CT_COMMAND_NONE:
	case CT_COMMAND_COUNT: break;
	}
	return CT_EXIT_USAGE;
}

static bool wants_json;

/* With --json, standard output gets an object also when nothing could be begun. */
static void print_error(enum ct_exit code, const char *what, const char *why)
{
	ct_cleanup(ct_cli_json_cleanup) struct ct_json *document = ct_json_object();
	struct ct_json *error = ct_json_object();
	char detail[CT_SERVER_DETAIL_MAX + 1];
	(void)snprintf(detail, sizeof(detail), "%s%s%s", what, why != NULL ? ": " : "",
	    why != NULL ? why : ""); /* or cut */
	ct_json_set_text(error, "code", code == CT_EXIT_USAGE ? "usage" : "local");
	ct_json_set_text(error, "detail", detail);
	ct_json_set(document, "error", error);
	ct_cleanup(ct_free_pointer) char *text = ct_json_to_text(document);
	if (text != NULL)
		(void)puts(text); /* see main() */
}

/* There is nowhere but standard error to complain to. */
static enum ct_exit fail(enum ct_exit code, const char *what, const char *why)
{
	if (wants_json)
		print_error(code, what, why);
	(void)fprintf(
	    stderr, "calotype: %s%s%s\n", what, why != NULL ? ": " : "", why != NULL ? why : "");
	return code;
}

static enum ct_exit run(const struct ct_options *options)
{
	ct_cleanup(ct_free_pointer) char *key = NULL;
	ct_cleanup(server_cleanup) struct ct_server *server = NULL;
	struct ct_cli cli = { .options = options };

	int r = ct_server_key_from_environment(&key);
	if (r < 0)
		return fail(CT_EXIT_USAGE, "cannot read CALOTYPE_API_KEY_FILE", strerror(-r));
	r = ct_server_open(options->url, key, &server);
	if (r < 0)
		return fail(CT_EXIT_USAGE,
		    r == -EINVAL ? "the API key holds line breaks" : "cannot start",
		    r == -EINVAL ? NULL : strerror(-r));
	r = ct_interrupt_setup();
	if (r < 0)
		return fail(CT_EXIT_FAILED, "cannot catch signals", strerror(-r));
	cli.server = server;
	ct_screen_init(&cli.screen, options->json);
	return run_command(&cli);
}

static enum ct_exit run_or_help(const struct ct_options *options)
{
	if (options->help)
		(void)fputs(ct_help_text(options->command), stdout); /* see main() */
	else if (options->version)
		(void)puts("calotype " CALOTYPE_VERSION);
	else
		return run(options);
	return CT_EXIT_OK;
}

int main(int argc, char **argv)
{
	ct_cleanup(ct_options_done) struct ct_options options = { .arguments = NULL };
	char error[CT_OPTIONS_ERROR_CHARS + 1];

	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		wants_json =
		    wants_json || strcmp(argv[i], "--json") == 0 || strcmp(argv[i], "-j") == 0;
	/* Only the width of characters is asked of the locale; without it each counts as one. */
	(void)setlocale(LC_CTYPE, "C.UTF-8");
	int r = ct_options_parse(argc, argv, getenv("CALOTYPE_URL"), &options, error);
	if (r == -ENOMEM)
		return fail(CT_EXIT_FAILED, strerror(ENOMEM), NULL);
	if (r < 0)
		return fail(CT_EXIT_USAGE, error, NULL);
	enum ct_exit code = run_or_help(&options);
	/* Output that was lost is a failure, also for a write that nobody looked at. */
	if (fflush(stdout) != 0 || ferror(stdout))
		return ct_exit_worse(code, CT_EXIT_FAILED);
	return code;
}
