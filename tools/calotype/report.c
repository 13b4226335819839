#include "report.h"

#include "base/slice.h"
#include "format.h"
#include <errno.h>
#include <string.h>

#define MAX_LINE_BYTES 32768
#define PREFERRED_WIDTH 640 /* of the print whose address is shown */

static const char *find_url(const struct ct_json *image, const struct ct_json *prints)
{
	for (size_t i = 0; i < ct_json_length(prints); i++) {
		ct_cleanup(ct_cli_json_cleanup) struct ct_json *print = ct_json_at(prints, i);
		/* The text belongs to the tree, which `prints` keeps. */
		const char *url = ct_json_get_text(print, "url");
		if (ct_json_get_number(print, "w", 0) == PREFERRED_WIDTH && url != NULL)
			return url;
	}
	return ct_json_get_text(image, "url");
}

static void append_escaped(struct ct_buffer *text, const char *before, const char *value)
{
	if (value == NULL)
		return;
	ct_buffer_append_string(text, before);
	ct_escape_append(text, (struct ct_slice){ value, strlen(value) });
}

void ct_report_format_ready(
    const char *name, const char *state, const struct ct_json *image, struct ct_buffer *text)
{
	ct_cleanup(ct_cli_json_cleanup) struct ct_json *prints =
	    image != NULL ? ct_json_get(image, "prints") : NULL;
	int64_t width = ct_json_get_number(image, "width", 0);
	int64_t height = ct_json_get_number(image, "height", 0);

	ct_buffer_printf(text, "%s %s", name, state);
	if (width > 0 && height > 0)
		ct_buffer_printf(text, " %lldx%lld", (long long)width, (long long)height);
	append_escaped(text, " image=", ct_json_get_text(image, "id"));
	append_escaped(text, " ", find_url(image, prints));
}

static enum ct_exit print_for_people(struct ct_cli *cli, const struct ct_report *report)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer text;
	ct_cleanup(ct_free_pointer) char *name = ct_cli_escape(report->path);
	ct_buffer_init(&text, MAX_LINE_BYTES);
	if (name == NULL)
		return CT_EXIT_FAILED;
	if (report->failure != NULL) {
		ct_screen_complain(
		    &cli->screen, "%s: %s: %s", name, report->state, report->failure->detail);
		return CT_EXIT_OK;
	}
	ct_report_format_ready(name, report->state, report->image, &text);
	if (report->image == NULL && report->job != NULL)
		ct_buffer_printf(&text, " job=%s", report->job);
	return ct_cli_print_text(cli, &text);
}

static void copy_number(struct ct_json *object, const struct ct_json *image, const char *key)
{
	int64_t number = ct_json_get_number(image, key, -1);
	if (number >= 0)
		ct_json_set_number(object, key, number);
}

static void copy_text(
    struct ct_json *object, const char *key, const struct ct_json *image, const char *from)
{
	const char *text = ct_json_get_text(image, from);
	if (text != NULL)
		ct_json_set_text(object, key, text);
}

static enum ct_exit print_for_programs(struct ct_cli *cli, const struct ct_report *report)
{
	ct_cleanup(ct_cli_json_cleanup) struct ct_json *line = ct_json_object();
	ct_cleanup(ct_free_pointer) char *name = ct_cli_escape(report->path);
	bool utf8 = ct_slice_is_utf8(ct_slice_from_string(report->path));

	/* JSON has no way to say bytes that aren't UTF-8. */
	ct_json_set_text(line, "file", utf8 ? report->path : name);
	ct_json_set_text(line, "state", report->state);
	if (report->job != NULL)
		ct_json_set_text(line, "job", report->job);
	if (report->image != NULL) {
		copy_text(line, "image", report->image, "id");
		copy_text(line, "sha256", report->image, "sha256");
		copy_text(line, "type", report->image, "type");
		copy_number(line, report->image, "width");
		copy_number(line, report->image, "height");
		copy_number(line, report->image, "size");
		copy_text(line, "url", report->image, "url");
	}
	if (report->was_begun) {
		ct_json_set_number(line, "sent", (int64_t)report->sent_bytes);
		ct_json_set_number(line, "size", (int64_t)report->size_bytes);
	}
	if (report->failure != NULL)
		ct_json_set(line, "error", ct_cli_failure_to_json(report->failure));
	return ct_cli_print_json(cli, line);
}

enum ct_exit ct_report_file(struct ct_cli *cli, const struct ct_report *report)
{
	return cli->options->json ? print_for_programs(cli, report) : print_for_people(cli, report);
}
