/*
 * Shared by blobs.c, prints.c and delivery.c.
 */
#ifndef CT_DELIVERY_PRIV_H
#define CT_DELIVERY_PRIV_H

#include "cache/cache.h"
#include "calotype/blob.h"
#include "delivery/delivery.h"
#include "http/http.h"
#include "metadata/images.h"
#include "metadata/metadata.h"
#include "metadata/prints.h"

struct ct_delivery {
	/* set once */
	struct ct_delivery_options options;
};

/* What a fill must know; owned by the fill. */
struct ct_delivery_wanted {
	struct ct_delivery *delivery;
	char image_id[CT_ID_CHARS + 1];
	struct ct_digest digest; /* of a blob */
	int width;		 /* of a print; 0: the widest */
};

extern const struct ct_http_handler ct_delivery_blob_handler;
extern const struct ct_http_handler ct_delivery_print_handler;
extern const struct ct_http_handler ct_delivery_original_handler;

/* As in ct_cache_fill; `arg` is a struct ct_delivery_wanted. */
typedef int (*ct_delivery_fill_fn)(
    void *arg, struct ct_cache_content *ret_content, char ret_detail[CT_CACHE_DETAIL_BYTES]);

/* Asks the cache; copies `wanted` for a fill. */
enum ct_http_next ct_delivery_answer(struct ct_http_request *request, const char *key,
    const char *tag, const struct ct_delivery_wanted *wanted, ct_delivery_fill_fn fill);

/*
 * Reads a blob into the content: bytes up to CT_CACHE_MEMORY_MAX, compared with the digest
 * (CT_ERROR_DIGEST_MISMATCH), else a descriptor, which the cache compares. CT_ERROR_NOT_FOUND: the
 * store lacks it.
 */
int ct_delivery_read(struct ct_delivery *delivery, enum ct_blob_class class,
    const struct ct_digest *digest, struct ct_cache_content *content);

/* May a browser show it in place? Everything else is an attachment (stored XSS). */
bool ct_delivery_is_inline(const char *type);

/* The image if it is ready, else CT_ERROR_NOT_FOUND with the detail. */
int ct_delivery_get_ready(struct ct_delivery *delivery, const char *image_id,
    struct ct_image_row *ret_row, char ret_detail[CT_CACHE_DETAIL_BYTES]);

/*
 * Of `count` prints by rising width, the narrowest that is wide enough, else the widest (also for
 * `width` 0): CT_ERROR_NOT_FOUND without any.
 */
int ct_delivery_choose(
    const struct ct_print_row *rows, int count, int width, struct ct_print_row *ret_row);

/* RFC 6266 with RFC 8187: inline or attachment, the name as filename*. */
void ct_delivery_disposition(
    const char *type, const char *filename, char *ret_text, size_t capacity);

#endif
