/*
 * What all three routes share. Keys: "b/<digest>", "i/<image>/<width>", "o/<image>"; tags: the
 * digest, or the image. A fill looks everything up anew, so one that begins after a deletion finds
 * nothing, and one that began before it is doomed by its tag.
 */
#include "delivery/delivery_priv.h"

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/text.h"
#include "calotype/error.h"
#include "config/image_types.h"
#include "metadata/api_keys.h"
#include "metadata/images.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 80 /* of a file name in a header, before it is escaped */

CT_DEFINE_CLEANUP(cleanup_reader, struct ct_blob_reader *, ct_blob_reader_close)

static int read_bytes(struct ct_blob_reader *reader, struct ct_cache_content *content)
{
	struct ct_digest digest;
	ct_cleanup(ct_free_pointer) char *data = malloc(content->size_bytes + 1); /* never NULL */
	if (data == NULL)
		return -ENOMEM;
	int r = ct_blob_reader_read(reader, 0, data, content->size_bytes);
	if (r < 0)
		return r;
	ct_hash_once(data, content->size_bytes, &digest);
	if (!ct_digest_equal(&digest, &content->digest))
		return CT_ERROR_DIGEST_MISMATCH;
	content->data = ct_steal(data);
	return 0;
}

int ct_delivery_read(struct ct_delivery *delivery, enum ct_blob_class class,
    const struct ct_digest *digest, struct ct_cache_content *content)
{
	ct_cleanup(cleanup_reader) struct ct_blob_reader *reader = NULL;
	int r = ct_blob_reader_open(delivery->options.store, class, digest, &reader);
	if (r < 0)
		return r;
	content->digest = *digest;
	content->size_bytes = ct_blob_reader_size(reader);
	if (content->size_bytes > CT_CACHE_MEMORY_MAX)
		return ct_blob_reader_dup_fd(reader, &content->fd);
	content->is_verified = true;
	return read_bytes(reader, content);
}

bool ct_delivery_is_inline(const char *type)
{
	const struct ct_image_type *known = ct_image_type_find(type);
	return known != NULL && known->is_shown;
}

int ct_delivery_get_ready(struct ct_delivery *delivery, const char *image_id,
    struct ct_image_row *ret_row, char ret_detail[CT_CACHE_DETAIL_BYTES])
{
	struct ct_metadata_view *view = NULL;
	int r = ct_metadata_borrow(delivery->options.metadata, &view);
	if (r < 0)
		return r;
	r = ct_image_get(view, image_id, ret_row);
	ct_metadata_give_back(delivery->options.metadata, view);
	if (r == 0 && ret_row->state != CT_IMAGE_READY)
		r = CT_ERROR_NOT_FOUND;
	if (r == CT_ERROR_NOT_FOUND)
		(void)snprintf(ret_detail, CT_CACHE_DETAIL_BYTES,
		    "there is no image %s, or it is not ready", image_id);
	return r;
}

/* Cut between characters; the end is kept, since it has the suffix. */
static struct ct_slice shorten(struct ct_slice name)
{
	if (name.length <= NAME_MAX_BYTES)
		return name;
	name.data += name.length - NAME_MAX_BYTES;
	name.length = NAME_MAX_BYTES;
	while (name.length > 0 && ((unsigned char)name.data[0] & 0xc0) == 0x80) {
		name.data++;
		name.length--;
	}
	return name;
}

void ct_delivery_disposition(
    const char *type, const char *filename, char *ret_text, size_t capacity)
{
	const char *kind = ct_delivery_is_inline(type) ? "inline" : "attachment";
	char escaped[NAME_MAX_BYTES * 3 + 1];
	struct ct_slice name = shorten(ct_slice_from_string(filename));
	if (name.length == 0 || ct_percent_encode(name, escaped, sizeof(escaped)) < 0)
		(void)snprintf(ret_text, capacity, "%s", kind);
	else
		(void)snprintf(ret_text, capacity, "%s; filename*=UTF-8''%s", kind, escaped);
}

enum ct_http_next ct_delivery_answer(struct ct_http_request *request, const char *key,
    const char *tag, const struct ct_delivery_wanted *wanted, ct_delivery_fill_fn fill)
{
	const char *tags[CT_CACHE_TAG_MAX] = { tag };
	struct ct_delivery_wanted *copy = malloc(sizeof(*copy));
	if (copy == NULL)
		return ct_http_answer(request, NULL); /* out of memory */
	*copy = *wanted;
	return ct_cache_answer(wanted->delivery->options.cache, request, key, tags,
	    &(struct ct_cache_fill){ .fill = fill, .free = free, .arg = copy });
}

void ct_delivery_forget(struct ct_delivery *delivery, const char *image_id,
    const struct ct_digest *digest, bool blob_hidden)
{
	char hex[CT_DIGEST_HEX_CHARS + 1];
	ct_cache_purge_tag(delivery->options.cache, image_id);
	if (!blob_hidden)
		return;
	ct_digest_to_hex(digest, hex);
	ct_cache_purge_tag(delivery->options.cache, hex);
}

int ct_delivery_new(const struct ct_delivery_options *options, struct ct_delivery **ret_delivery)
{
	struct ct_delivery *delivery = calloc(1, sizeof(*delivery));
	if (delivery == NULL)
		return -ENOMEM;
	delivery->options = *options;
	*ret_delivery = delivery;
	return 0;
}

void ct_delivery_free(struct ct_delivery *delivery)
{
	free(delivery);
}

int ct_delivery_add_routes(struct ct_delivery *delivery, struct ct_http_server *server)
{
	unsigned blob_scope = delivery->options.blobs_public ? 0 : CT_SCOPE_READ;
	unsigned original_scope = delivery->options.originals_public ? 0 : CT_SCOPE_READ;
	const struct ct_http_route routes[] = {
		{ CT_HTTP_GET, "/blobs/{sha256}", blob_scope, &ct_delivery_blob_handler, delivery },
		{ CT_HTTP_GET, "/i/{id}", 0, &ct_delivery_print_handler, delivery },
		{ CT_HTTP_GET, "/i/{id}/original", original_scope, &ct_delivery_original_handler,
		    delivery },
	};
	return ct_http_server_add(server, routes, sizeof(routes) / sizeof(routes[0]));
}
