#include "commands.h"

#include "retry.h"

/* Deletes one, over failures that pass. */
static enum ct_exit remove_one(struct ct_cli *cli, const char *id)
{
	struct ct_retry retry = { 0 };
	for (;;) {
		if (ct_server_delete_image(cli->server, id) == 0)
			return CT_EXIT_OK;
		const struct ct_failure *failure = ct_server_failure(cli->server);
		/* The try whose answer was lost has done it. */
		if (failure->verdict == CT_VERDICT_MISSING && retry.failures > 0)
			return CT_EXIT_OK;
		enum ct_exit code = ct_retry_wait(&retry, failure, &cli->screen, id);
		if (code != CT_EXIT_OK)
			return code;
	}
}

static void note_removed(struct ct_cli *cli, struct ct_json *removed, const char *id)
{
	struct ct_json *entry;
	ct_screen_plain(&cli->screen, "%s deleted", id);
	entry = ct_json_object();
	ct_json_set_text(entry, "id", id);
	ct_json_append(removed, entry);
}

static void note_failed(struct ct_cli *cli, struct ct_json *failed, const char *id)
{
	const struct ct_failure *failure = ct_server_failure(cli->server);
	struct ct_json *entry = ct_json_object();
	ct_json_set_text(entry, "id", id);
	ct_json_set(entry, "error", ct_cli_failure_to_json(failure));
	ct_json_append(failed, entry);
}

enum ct_exit ct_remove(struct ct_cli *cli)
{
	ct_cleanup(ct_cli_json_cleanup) struct ct_json *document = ct_json_object();
	struct ct_json *removed = ct_json_array();
	struct ct_json *failed = ct_json_array();
	enum ct_exit worst = CT_EXIT_OK;

	for (size_t i = 0; i < cli->options->argument_count; i++) {
		const char *id = cli->options->arguments[i];
		/* After a failure that the next would meet, too, the rest shares it. */
		enum ct_exit code = ct_exit_is_end(worst) ? worst : remove_one(cli, id);
		if (code == CT_EXIT_OK)
			note_removed(cli, removed, id);
		else
			note_failed(cli, failed, id);
		if (code != CT_EXIT_OK && !ct_exit_is_end(worst))
			ct_screen_complain(
			    &cli->screen, "%s: %s", id, ct_server_failure(cli->server)->detail);
		worst = ct_exit_worse(worst, code);
	}
	ct_json_set(document, "removed", removed);
	ct_json_set(document, "failed", failed);
	if (cli->options->json)
		worst = ct_exit_worse(worst, ct_cli_print_json(cli, document));
	return worst;
}
