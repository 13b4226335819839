#include "commands.h"

#include "format.h"
#include <errno.h>
#include <string.h>

#define MAX_ESCAPED_BYTES 65536
#define MAX_JSON_LINE_BYTES (8u << 20)

void ct_cli_tell_how_to_continue(struct ct_cli *cli, enum ct_exit code)
{
	if (code == CT_EXIT_INTERRUPTED)
		ct_screen_complain(
		    &cli->screen, "interrupted; the same command continues where this one stopped");
	else if (code == CT_EXIT_UNREACHABLE)
		ct_screen_complain(&cli->screen,
		    "gave up on %s for now; the same command continues where this one stopped",
		    ct_server_url(cli->server));
}

enum ct_exit ct_cli_print_text(struct ct_cli *cli, const struct ct_buffer *text)
{
	if (ct_buffer_error(text) < 0) {
		ct_screen_complain(
		    &cli->screen, "cannot print: %s", strerror(-ct_buffer_error(text)));
		return CT_EXIT_FAILED;
	}
	if (ct_screen_print(&cli->screen, text->data != NULL ? text->data : ""))
		return CT_EXIT_OK;
	if (!cli->screen.broken)
		ct_screen_complain(&cli->screen, "cannot write: %s", strerror(errno));
	cli->screen.broken = true;
	return CT_EXIT_FAILED;
}

enum ct_exit ct_cli_print_json(struct ct_cli *cli, const struct ct_json *json)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer text;
	ct_buffer_init(&text, MAX_JSON_LINE_BYTES);
	int r = ct_json_print(json, &text);
	if (r < 0) {
		ct_screen_complain(&cli->screen, "cannot make JSON: %s", strerror(-r));
		return CT_EXIT_FAILED;
	}
	return ct_cli_print_text(cli, &text);
}

struct ct_json *ct_cli_failure_to_json(const struct ct_failure *failure)
{
	struct ct_json *json = NULL;
	if (failure->problem[0] != '\0' &&
	    ct_json_parse(ct_slice_from_string(failure->problem), &json) == 0)
		return json;
	json = ct_json_object();
	ct_json_set_text(json, "code", failure->code);
	ct_json_set_text(json, "detail", failure->detail);
	return json;
}

enum ct_exit ct_cli_print_failure(
    struct ct_cli *cli, struct ct_json *document, const struct ct_failure *failure)
{
	ct_cleanup(ct_cli_json_cleanup) struct ct_json *owned = document;
	if (!cli->options->json)
		return CT_EXIT_OK;
	ct_json_set(owned, "error", ct_cli_failure_to_json(failure));
	return ct_cli_print_json(cli, owned);
}

char *ct_cli_escape(const char *text)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer escaped;
	ct_buffer_init(&escaped, MAX_ESCAPED_BYTES);
	ct_escape_append(&escaped, (struct ct_slice){ text, strlen(text) });
	return ct_buffer_steal(&escaped, NULL);
}
