/*
 * Originals: by the digest of their bytes, or by an image.
 */
#include "delivery/delivery_priv.h"

#include "calotype/error.h"
#include "metadata/blobs.h"
#include "metadata/images.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int get_visible(
    struct ct_delivery *delivery, const struct ct_digest *digest, struct ct_blob_row *ret_row)
{
	struct ct_metadata_view *view = NULL;
	bool visible = false;
	int r = ct_metadata_borrow(delivery->options.metadata, &view);
	if (r < 0)
		return r;
	r = ct_blob_is_visible(view, digest, &visible);
	if (r == 0)
		r = visible ? ct_blob_get(view, digest, ret_row) : CT_ERROR_NOT_FOUND;
	ct_metadata_give_back(delivery->options.metadata, view);
	return r;
}

static void describe(struct ct_cache_content *content, const char *type, const char *cache_control)
{
	char hex[CT_DIGEST_HEX_CHARS + 1];
	ct_digest_to_hex(&content->digest, hex);
	(void)snprintf(content->type, sizeof(content->type), "%s", type);
	(void)snprintf(content->etag, sizeof(content->etag), "\"%s\"", hex);
	(void)snprintf(content->cache_control, sizeof(content->cache_control), "%s", cache_control);
}

static int look_up(const struct ct_delivery_wanted *wanted, struct ct_blob_row *ret_row,
    char ret_detail[CT_CACHE_DETAIL_BYTES])
{
	int r = get_visible(wanted->delivery, &wanted->digest, ret_row);
	if (r == CT_ERROR_NOT_FOUND)
		(void)snprintf(
		    ret_detail, CT_CACHE_DETAIL_BYTES, "no image that is ready has these bytes");
	return r;
}

static int report_lost(char ret_detail[CT_CACHE_DETAIL_BYTES])
{
	(void)snprintf(ret_detail, CT_CACHE_DETAIL_BYTES,
	    "the stored original is missing or was damaged and put aside; uploading the same file "
	    "again heals this");
	return CT_ERROR_CONTENT_LOST;
}

static int fill_blob(
    void *arg, struct ct_cache_content *ret_content, char ret_detail[CT_CACHE_DETAIL_BYTES])
{
	const struct ct_delivery_wanted *wanted = arg;
	struct ct_delivery *delivery = wanted->delivery;
	struct ct_blob_row row;
	int r = look_up(wanted, &row, ret_detail);
	if (r < 0)
		return r;
	r = ct_delivery_read(delivery, CT_BLOB_ORIGINAL, &row.digest, ret_content);
	if (r == CT_ERROR_NOT_FOUND) { /* it may have been deleted meanwhile */
		r = look_up(wanted, &row, ret_detail);
		return r < 0 ? r : report_lost(ret_detail);
	}
	if (r < 0)
		return r;
	describe(ret_content, row.type,
	    delivery->options.blobs_public ? "public, max-age=31536000, immutable"
					   : "private, max-age=31536000, immutable");
	ct_delivery_disposition(
	    row.type, "", ret_content->disposition, sizeof(ret_content->disposition));
	return 0;
}

static enum ct_http_next on_blob(struct ct_http_request *request, void *context)
{
	struct ct_delivery_wanted wanted = { .delivery = context };
	const char *hex = ct_http_parameter(request, "sha256");
	char key[CT_CACHE_KEY_MAX + 1];
	if (ct_digest_from_hex(hex, strlen(hex), &wanted.digest) < 0)
		return ct_http_answer(
		    request, ct_http_problem(request, CT_ERROR_NOT_FOUND,
				 "a blob is named by the 64 lower-case hex digits of its SHA-256"));
	(void)snprintf(key, sizeof(key), "b/%s", hex); /* of known length */
	return ct_delivery_answer(request, key, hex, &wanted, fill_blob);
}

static int fill_original(
    void *arg, struct ct_cache_content *ret_content, char ret_detail[CT_CACHE_DETAIL_BYTES])
{
	const struct ct_delivery_wanted *wanted = arg;
	struct ct_delivery *delivery = wanted->delivery;
	struct ct_image_row row;
	int r = ct_delivery_get_ready(delivery, wanted->image_id, &row, ret_detail);
	if (r < 0)
		return r;
	r = ct_delivery_read(delivery, CT_BLOB_ORIGINAL, &row.digest, ret_content);
	if (r == CT_ERROR_NOT_FOUND) { /* it may have been deleted meanwhile */
		r = ct_delivery_get_ready(delivery, wanted->image_id, &row, ret_detail);
		return r < 0 ? r : report_lost(ret_detail);
	}
	if (r < 0)
		return r;
	describe(ret_content, row.type,
	    delivery->options.originals_public ? "public, max-age=3600" : "private, no-cache");
	ct_delivery_disposition(
	    row.type, row.filename, ret_content->disposition, sizeof(ret_content->disposition));
	return 0;
}

static enum ct_http_next on_original(struct ct_http_request *request, void *context)
{
	struct ct_delivery_wanted wanted = { .delivery = context };
	const char *id = ct_http_parameter(request, "id");
	char key[CT_CACHE_KEY_MAX + 1];
	if (!ct_id_is_valid(ct_slice_from_string(id)))
		return ct_http_answer(request,
		    ct_http_problem(request, CT_ERROR_NOT_FOUND, "there is no such image"));
	(void)snprintf(wanted.image_id, sizeof(wanted.image_id), "%s", id);
	(void)snprintf(key, sizeof(key), "o/%s", id);
	return ct_delivery_answer(request, key, id, &wanted, fill_original);
}

const struct ct_http_handler ct_delivery_blob_handler = { .head = on_blob };
const struct ct_http_handler ct_delivery_original_handler = { .head = on_original };
