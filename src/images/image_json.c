#include "images/images.h"
#include "base/cleanup.h"
#include "base/url.h"
#include "metadata/images.h"
#include "metadata/prints.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *or_null(const char *text)
{
	return text[0] != '\0' ? text : NULL;
}

static void set_positive(struct ct_json *json, const char *key, int number)
{
	if (number > 0)
		ct_json_set_number(json, key, number);
	else
		ct_json_set_null(json, key);
}

static void set_digest(struct ct_json *json, const char *key, const struct ct_digest *digest)
{
	char hex[CT_DIGEST_HEX_CHARS + 1];
	ct_digest_to_hex(digest, hex);
	ct_json_set_text(json, key, hex);
}

/* "<public_url>/i/<id><rest>"; false when it is too long. */
static bool set_address(
    struct ct_json *json, const char *key, const char *public_url, const char *id, const char *rest)
{
	char text[CT_URL_MAX];
	if (ct_url_under(text, sizeof(text), public_url, "/i/%s%s", id, rest) < 0)
		return false;
	ct_json_set_text(json, key, text);
	return true;
}

static bool append_print(struct ct_json *prints, const struct ct_print_row *print,
    const struct ct_image_row *row, const char *public_url)
{
	char query[32];
	struct ct_json *json = ct_json_object();
	ct_json_set_number(json, "w", print->width);
	ct_json_set_number(json, "h", print->height);
	ct_json_set_text(json, "type", print->type);
	ct_json_set_number(json, "size", (int64_t)print->size_bytes);
	(void)snprintf(query, sizeof(query), "?w=%d", print->width);
	bool ok = set_address(json, "url", public_url, row->id, query);
	ct_json_append(prints, json);
	return ok;
}

/* A failed or pending image has no address, and its blob's prints are not its own. */
static bool set_addresses(struct ct_metadata_view *view, struct ct_json *json,
    const struct ct_image_row *row, const char *public_url)
{
	int count = 0;
	bool ok = true;
	struct ct_json *prints = ct_json_array();
	ct_cleanup(ct_free_pointer) struct ct_print_row *rows = NULL;
	if (row->state == CT_IMAGE_READY) {
		rows = calloc(CT_IMAGE_PRINTS_MAX, sizeof(*rows));
		ok = rows != NULL;
		if (ok)
			count = ct_print_list(view, &row->digest, rows, CT_IMAGE_PRINTS_MAX);
		ok = ok && count >= 0;
	}
	ct_json_set_null(json, "url");
	ct_json_set_null(json, "original");
	if (ok && count > 0)
		ok = set_address(json, "url", public_url, row->id, "");
	if (ok && row->state == CT_IMAGE_READY)
		ok = set_address(json, "original", public_url, row->id, "/original");
	for (int i = 0; i < count && ok; i++)
		ok = append_print(prints, &rows[i], row, public_url);
	ct_json_set(json, "prints", prints);
	return ok;
}

struct ct_json *ct_image_to_json(
    struct ct_metadata_view *view, const struct ct_image_row *row, const char *public_url)
{
	struct ct_json *json = ct_json_object();
	ct_json_set_text(json, "id", row->id);
	ct_json_set_text(json, "state", ct_image_state_name(row->state));
	set_digest(json, "sha256", &row->digest);
	ct_json_set_number(json, "size", (int64_t)row->size_bytes);
	ct_json_set_text(json, "type", or_null(row->type));
	ct_json_set_text(json, "filename", or_null(row->filename));
	set_positive(json, "width", row->width);
	set_positive(json, "height", row->height);
	set_positive(json, "frames", row->frames);
	set_positive(json, "orientation", row->orientation);
	ct_json_set_text(json, "blurhash", or_null(row->blurhash));
	ct_json_set_time(json, "created_at", row->created_at);
	bool ok = set_addresses(view, json, row, public_url);
	ct_json_set_parsed(json, "exif", or_null(row->exif));
	if (ok)
		return json;
	ct_json_free(json);
	return NULL;
}
