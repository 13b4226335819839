#include "commands.h"

#include "format.h"
#include "retry.h"
#include <string.h>

#define MAX_TEXT_BYTES 65536

static void append_row(struct ct_buffer *text, const char *name, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	ct_buffer_printf(text, "%s%-10s", text->length > 0 ? "\n" : "", name);
	ct_escape_append(text, (struct ct_slice){ value, strlen(value) });
}

static void append_image(struct ct_buffer *text, const struct ct_json *image)
{
	int64_t width = ct_json_get_number(image, "width", 0);
	int64_t height = ct_json_get_number(image, "height", 0);
	append_row(text, "sha256", ct_json_get_text(image, "sha256"));
	append_row(text, "type", ct_json_get_text(image, "type"));
	if (width > 0 && height > 0)
		ct_buffer_printf(
		    text, "\n%-10s%lldx%lld", "pixels", (long long)width, (long long)height);
	append_row(text, "url", ct_json_get_text(image, "url"));
	append_row(text, "original", ct_json_get_text(image, "original"));
}

static enum ct_exit print_job(struct ct_cli *cli, const struct ct_json *job)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer text;
	ct_cleanup(ct_cli_json_cleanup) struct ct_json *response = ct_json_get(job, "response");
	ct_cleanup(ct_cli_json_cleanup) struct ct_json *image = ct_json_get(response, "image");
	ct_cleanup(ct_cli_json_cleanup) struct ct_json *error = ct_json_get(job, "error");
	ct_buffer_init(&text, MAX_TEXT_BYTES);

	append_row(&text, "job", ct_json_get_text(job, "id"));
	append_row(&text, "state", ct_json_get_text(job, "state"));
	if (!ct_json_get_bool(job, "done", false))
		ct_buffer_printf(
		    &text, "\n%-10s%.0f%%", "progress", 100 * ct_json_get_real(job, "progress", 0));
	ct_buffer_printf(&text, "\n%-10s%lld of %lld", "attempts",
	    (long long)ct_json_get_number(job, "attempts", 0),
	    (long long)ct_json_get_number(job, "max_attempts", 0));
	append_row(&text, "created", ct_json_get_text(job, "created_at"));
	append_row(&text, "finished", ct_json_get_text(job, "finished_at"));
	append_row(&text, "image", ct_json_get_text(job, "image"));
	if (image != NULL)
		append_image(&text, image);
	append_row(&text, "error", ct_json_get_text(error, "code"));
	append_row(&text, "detail", ct_json_get_text(error, "detail"));
	return ct_cli_print_text(cli, &text);
}

static enum ct_exit show(struct ct_cli *cli, const struct ct_json *job)
{
	ct_cleanup(ct_cli_json_cleanup) struct ct_json *response = ct_json_get(job, "response");
	ct_cleanup(ct_cli_json_cleanup) struct ct_json *image = ct_json_get(response, "image");
	const char *state = ct_json_get_text(job, "state");
	ct_image_make_absolute(image, ct_server_url(cli->server));

	enum ct_exit code = cli->options->json ? ct_cli_print_json(cli, job) : print_job(cli, job);
	bool failed =
	    state != NULL && (strcmp(state, "failed") == 0 || strcmp(state, "canceled") == 0);
	return failed ? CT_EXIT_FAILED : code;
}

enum ct_exit ct_status(struct ct_cli *cli)
{
	struct ct_retry retry = { 0 };
	const char *id = cli->options->arguments[0];
	for (;;) {
		struct ct_job_poll poll = { .job = NULL };
		if (ct_server_get_job(cli->server, id, &poll) == 0) {
			ct_cleanup(ct_cli_json_cleanup) struct ct_json *job = poll.job;
			return show(cli, job);
		}
		const struct ct_failure *failure = ct_server_failure(cli->server);
		enum ct_exit code = ct_retry_wait(&retry, failure, &cli->screen, id);
		if (code != CT_EXIT_OK) {
			struct ct_json *document = ct_json_object();
			ct_json_set_text(document, "id", id);
			ct_screen_complain(&cli->screen, "%s: %s", id, failure->detail);
			return ct_exit_worse(code, ct_cli_print_failure(cli, document, failure));
		}
	}
}
