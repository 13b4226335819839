/*
 * Pages are printed as they come: a list of any length needs no more memory than one page.
 */
#include "commands.h"

#include "calotype/error.h"
#include "format.h"
#include "retry.h"
#include <stdio.h>
#include <string.h>

#define PAGE_ITEMS 200
#define MAX_ROW_BYTES 16384
#define MAX_ITEM_BYTES (1u << 20)

struct list {
	struct ct_cli *cli;
	uint64_t printed;
};

static void append_cell(struct ct_buffer *row, const char *text, size_t columns)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer cell;
	ct_buffer_init(&cell, MAX_ROW_BYTES);
	struct ct_slice value = ct_slice_from_string(text != NULL ? text : "-");
	ct_escape_append(&cell, value);
	struct ct_slice escaped = { cell.data != NULL ? cell.data : "", cell.length };
	ct_buffer_append(row, escaped.data, escaped.length);
	for (size_t i = ct_text_columns(escaped); i < columns; i++)
		ct_buffer_append(row, " ", 1);
	ct_buffer_append(row, "  ", 2);
}

static void format_pixels(const struct ct_json *image, char *ret_text, size_t capacity)
{
	int64_t width = ct_json_get_number(image, "width", 0);
	int64_t height = ct_json_get_number(image, "height", 0);
	if (width <= 0 || height <= 0)
		(void)snprintf(ret_text, capacity, "-");
	else
		(void)snprintf(ret_text, capacity, "%lldx%lld", (long long)width,
		    (long long)height); /* cut if it were absurd */
}

static void format_row(const struct ct_json *image, struct ct_buffer *row)
{
	char pixels[48];
	char size[CT_FORMAT_BYTES_CHARS + 1];
	const char *name = ct_json_get_text(image, "filename");
	int64_t bytes = ct_json_get_number(image, "size", 0);

	format_pixels(image, pixels, sizeof(pixels));
	ct_format_bytes(bytes > 0 ? (uint64_t)bytes : 0, size);
	append_cell(row, ct_json_get_text(image, "id"), CT_ID_CHARS);
	append_cell(row, ct_json_get_text(image, "state"), 7);
	append_cell(row, pixels, 11);
	append_cell(row, size, 10);
	append_cell(row, ct_json_get_text(image, "type"), 10);
	append_cell(row, ct_json_get_text(image, "created_at"), 24);
	ct_escape_append(row, ct_slice_from_string(name != NULL ? name : ""));
}

/* The comma and the document's start come before an item, so that it can end after any of them. */
static void format_item(const struct list *list, const struct ct_json *image, struct ct_buffer *row)
{
	ct_buffer_append_string(row, list->printed == 0 ? "{\"items\":[" : ",");
	int r = ct_json_print(image, row);
	if (r < 0 && ct_buffer_error(row) == 0)
		row->error = r;
}

static enum ct_exit print_item(struct list *list, struct ct_json *image)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer row;
	bool json = list->cli->options->json;
	ct_buffer_init(&row, json ? MAX_ITEM_BYTES : MAX_ROW_BYTES);
	ct_image_make_absolute(image, ct_server_url(list->cli->server));
	if (json)
		format_item(list, image, &row);
	else
		format_row(image, &row);
	list->printed++;
	return ct_cli_print_text(list->cli, &row);
}

static bool is_full(const struct list *list)
{
	uint64_t limit = list->cli->options->limit;
	return limit > 0 && list->printed >= limit;
}

static enum ct_exit print_page(struct list *list, const struct ct_json *page)
{
	ct_cleanup(ct_cli_json_cleanup) struct ct_json *items = ct_json_get(page, "items");
	enum ct_exit code = CT_EXIT_OK;
	for (size_t i = 0; i < ct_json_length(items) && code == CT_EXIT_OK; i++) {
		ct_cleanup(ct_cli_json_cleanup) struct ct_json *image = ct_json_at(items, i);
		if (is_full(list))
			break;
		code = print_item(list, image);
	}
	return code;
}

static enum ct_exit fetch_page(struct ct_cli *cli, const char *query, struct ct_json **ret_page,
    char ret_next[CT_SERVER_NEXT_MAX + 1])
{
	struct ct_retry retry = { 0 };
	for (;;) {
		if (ct_server_list_images(cli->server, query, ret_page, ret_next) == 0)
			return CT_EXIT_OK;
		const struct ct_failure *failure = ct_server_failure(cli->server);
		enum ct_exit code = ct_retry_wait(&retry, failure, &cli->screen, "ls");
		if (code != CT_EXIT_OK) {
			ct_screen_complain(&cli->screen, "%s", failure->detail);
			return code;
		}
	}
}

static void first_query(const struct ct_options *options, char ret_query[CT_SERVER_NEXT_MAX + 1])
{
	uint64_t items = PAGE_ITEMS;
	if (options->limit > 0 && options->limit < items)
		items = options->limit;
	/* Both parts are short. */
	(void)snprintf(ret_query, CT_SERVER_NEXT_MAX + 1, "?limit=%u%s%s", (unsigned)items,
	    options->state != NULL ? "&state=" : "", options->state != NULL ? options->state : "");
}

static enum ct_exit print_pages(struct list *list)
{
	char query[CT_SERVER_NEXT_MAX + 1];
	char next[CT_SERVER_NEXT_MAX + 1];
	first_query(list->cli->options, query);
	for (;;) {
		ct_cleanup(ct_cli_json_cleanup) struct ct_json *page = NULL;
		enum ct_exit code = fetch_page(list->cli, query, &page, next);
		if (code == CT_EXIT_OK)
			code = print_page(list, page);
		if (code != CT_EXIT_OK || next[0] == '\0' || is_full(list))
			return code;
		/* A server that sends the same page for ever would keep us so. */
		if (strcmp(query, next) == 0) {
			ct_screen_complain(&list->cli->screen, "the list has no end");
			(void)ct_server_fail(list->cli->server, CT_VERDICT_REFUSED,
			    CT_ERROR_PEER_PROTOCOL, "the list has no end"); /* is told below */
			return CT_EXIT_FAILED;
		}
		memcpy(query, next, sizeof(query));
	}
}

/* Closes the document, also after a failure: what was printed stays good JSON. */
static enum ct_exit end_document(struct list *list, enum ct_exit code)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer text;
	ct_cleanup(ct_cli_json_cleanup) struct ct_json *error = NULL;
	ct_buffer_init(&text, MAX_ITEM_BYTES);
	ct_buffer_append_string(&text, list->printed == 0 ? "{\"items\":[]" : "]");
	if (code != CT_EXIT_OK) {
		error = ct_cli_failure_to_json(ct_server_failure(list->cli->server));
		ct_buffer_append_string(&text, ",\"error\":");
		int r = ct_json_print(error, &text);
		if (r < 0 && ct_buffer_error(&text) == 0)
			text.error = r;
	}
	ct_buffer_append_string(&text, "}");
	return ct_exit_worse(code, ct_cli_print_text(list->cli, &text));
}

enum ct_exit ct_list(struct ct_cli *cli)
{
	struct list list = { .cli = cli };
	enum ct_exit code = print_pages(&list);
	return cli->options->json ? end_document(&list, code) : code;
}
