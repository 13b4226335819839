/*
 * Prints: public once their image is ready. A print that is missing in the store, or whose bytes
 * are not those of its row, is made again from its original: prints are not synced to the disk.
 */
#include "delivery/delivery_priv.h"

#include "base/log.h"
#include "calotype/error.h"
#include "imaging/plan.h"
#include "imaging/process.h"
#include "metadata/images.h"
#include "metadata/prints.h"

#include <errno.h>
#include <stdio.h>

#define WIDTHS                                                                                \
	"w may be 320, 640 or 1280, or any number from the image's own width up; without it " \
	"comes "                                                                              \
	"the widest print"
#define PRINT_CACHE_CONTROL "public, max-age=3600, stale-while-revalidate=86400"

int ct_delivery_choose(
    const struct ct_print_row *rows, int count, int width, struct ct_print_row *ret_row)
{
	if (count <= 0)
		return CT_ERROR_NOT_FOUND;
	int chosen = count - 1;
	for (int i = count - 1; width > 0 && i >= 0 && rows[i].width >= width; i--)
		chosen = i;
	*ret_row = rows[chosen];
	return 0;
}

static bool is_made(int width)
{
	for (size_t i = 0; i < ct_plan_width_count; i++)
		if (width == ct_plan_widths[i])
			return true;
	return width == 0;
}

/* More than is ever made: right for an image that is not wider, and then its widest print. */
static bool is_beyond(int width)
{
	return width > ct_plan_widths[ct_plan_width_count - 1];
}

static int find_print(struct ct_delivery *delivery, const struct ct_digest *source, int width,
    struct ct_print_row *ret_row)
{
	struct ct_print_row rows[CT_PLAN_MAX_PRINTS];
	struct ct_metadata_view *view = NULL;
	int r = ct_metadata_borrow(delivery->options.metadata, &view);
	if (r < 0)
		return r;
	r = ct_print_list(view, source, rows, CT_PLAN_MAX_PRINTS);
	ct_metadata_give_back(delivery->options.metadata, view);
	if (r >= 0)
		r = ct_delivery_choose(rows, r, width, ret_row);
	return r == 0 && !is_made(width) && ret_row->width > width ? CT_ERROR_INVALID_PARAMETER : r;
}

static int find_and_read(struct ct_delivery *delivery, const struct ct_digest *source, int width,
    struct ct_print_row *ret_row, struct ct_cache_content *content)
{
	int r = find_print(delivery, source, width, ret_row);
	return r < 0 ? r : ct_delivery_read(delivery, CT_BLOB_PRINT, &ret_row->digest, content);
}

static bool is_lost(int error)
{
	return error == CT_ERROR_NOT_FOUND || error == CT_ERROR_DIGEST_MISMATCH || error == -EIO ||
	       error == -ENODATA;
}

/*
 * Makes the prints again and reads the wanted one. What fails now is a fault of the server's,
 * whatever the decoder says of the image: it has been decoded before.
 */
static int remake(const struct ct_delivery_wanted *wanted, const struct ct_digest *source,
    struct ct_print_row *ret_row, struct ct_cache_content *content,
    char ret_detail[CT_CACHE_DETAIL_BYTES])
{
	struct ct_delivery *delivery = wanted->delivery;
	int r = ct_process_remake_prints(delivery->options.process, source);
	if (r == 0)
		r = find_and_read(delivery, source, wanted->width, ret_row, content);
	if (r == 0 || r == CT_ERROR_INVALID_PARAMETER)
		return r;
	(void)snprintf(ret_detail, CT_CACHE_DETAIL_BYTES,
	    "the print is lost and could not be made again: %s", ct_error_text(r));
	return ct_error_http_status(r) < 500 ? CT_ERROR_INTERNAL : r;
}

/* A deletion takes the prints away too: that is no loss. */
static int recover(const struct ct_delivery_wanted *wanted, int error, struct ct_print_row *ret_row,
    struct ct_cache_content *content, char ret_detail[CT_CACHE_DETAIL_BYTES])
{
	struct ct_image_row image;
	int r = ct_delivery_get_ready(wanted->delivery, wanted->image_id, &image, ret_detail);
	if (r < 0)
		return r;
	ct_log(CT_LOG_WARNING, "print.lost", CT_LOG_TEXT("image", image.id),
	    CT_LOG_NUMBER("width", wanted->width), CT_LOG_CODE(error));
	int failure = remake(wanted, &image.digest, ret_row, content, ret_detail);
	if (failure == 0)
		return 0;
	r = ct_delivery_get_ready(wanted->delivery, wanted->image_id, &image, ret_detail);
	return r == CT_ERROR_NOT_FOUND ? r : failure;
}

static int fill_print(
    void *arg, struct ct_cache_content *ret_content, char ret_detail[CT_CACHE_DETAIL_BYTES])
{
	const struct ct_delivery_wanted *wanted = arg;
	struct ct_delivery *delivery = wanted->delivery;
	struct ct_image_row image;
	struct ct_print_row print;
	int r = ct_delivery_get_ready(delivery, wanted->image_id, &image, ret_detail);
	if (r < 0)
		return r;
	if (!ct_process_is_decodable(image.type)) {
		(void)snprintf(ret_detail, CT_CACHE_DETAIL_BYTES, "a file of type %s has no prints",
		    image.type);
		return CT_ERROR_NOT_FOUND;
	}
	if (is_beyond(wanted->width) && wanted->width < image.width)
		r = CT_ERROR_INVALID_PARAMETER;
	else
		r = find_and_read(delivery, &image.digest, wanted->width, &print, ret_content);
	if (is_lost(r))
		r = recover(wanted, r, &print, ret_content, ret_detail);
	if (r == CT_ERROR_INVALID_PARAMETER)
		(void)snprintf(ret_detail, CT_CACHE_DETAIL_BYTES, "%s", WIDTHS);
	if (r < 0)
		return r;
	ret_content->no_store = is_beyond(wanted->width); /* endless names for one print */
	char hex[CT_DIGEST_HEX_CHARS + 1];
	ct_digest_to_hex(&print.digest, hex);
	(void)snprintf(ret_content->type, sizeof(ret_content->type), "%s", print.type);
	(void)snprintf(ret_content->etag, sizeof(ret_content->etag), "\"%s\"", hex);
	(void)snprintf(ret_content->cache_control, sizeof(ret_content->cache_control), "%s",
	    PRINT_CACHE_CONTROL);
	return 0;
}

/* 0 for the widest; -1: no print is as wide. */
static int parse_width(const char *text)
{
	uint64_t number = 0;
	if (!text)
		return 0;
	int r = ct_slice_to_u64(ct_slice_from_string(text), CT_PLAN_MAX_DIMENSION, &number);
	return r < 0 || number == 0 ? -1 : (int)number;
}

static enum ct_http_next on_print(struct ct_http_request *request, void *context)
{
	struct ct_delivery_wanted wanted = { .delivery = context };
	const char *id = ct_http_parameter(request, "id");
	const char *width = ct_http_query(request, "w");
	char key[CT_CACHE_KEY_MAX + 1];
	if (!ct_id_is_valid(ct_slice_from_string(id)))
		return ct_http_answer(request,
		    ct_http_problem(request, CT_ERROR_NOT_FOUND, "there is no such image"));
	wanted.width = parse_width(width);
	if (wanted.width < 0)
		return ct_http_answer(
		    request, ct_http_problem(request, CT_ERROR_INVALID_PARAMETER, "%s", WIDTHS));
	(void)snprintf(wanted.image_id, sizeof(wanted.image_id), "%s", id);
	(void)snprintf(key, sizeof(key), "i/%s/%d", id, wanted.width);
	return ct_delivery_answer(request, key, id, &wanted, fill_print);
}

const struct ct_http_handler ct_delivery_print_handler = { .head = on_print };
