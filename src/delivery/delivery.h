/*
 * What goes out through the cache: blobs by digest, prints and originals by image.
 *
 *     GET, HEAD /blobs/{sha256}          immutable; read scope unless blobs_public
 *     GET, HEAD /i/{id}?w=320|640|1280   a print, public once its image is ready; a w from the
 *                                        image's own width up gives its widest
 *     GET, HEAD /i/{id}/original         read scope unless originals_public
 *
 * A hit asks neither database nor disk, so whoever takes something away must say so here before
 * he answers (ct_delivery_forget). What enters the cache was compared with its digest.
 */
#ifndef CT_DELIVERY_H
#define CT_DELIVERY_H

#include "calotype/digest.h"
#include <stdbool.h>

struct ct_blob_store;
struct ct_cache;
struct ct_delivery;
struct ct_http_server;
struct ct_metadata;
struct ct_process;

struct ct_delivery_options {
	struct ct_metadata *metadata;
	struct ct_blob_store *store;
	struct ct_cache *cache;
	struct ct_process *process; /* makes lost prints again */
	bool originals_public;
	bool blobs_public;
};

int ct_delivery_new(const struct ct_delivery_options *options, struct ct_delivery **ret_delivery);
/* After the server and the fills have ended. NULL is allowed. */
void ct_delivery_free(struct ct_delivery *delivery);
int ct_delivery_add_routes(struct ct_delivery *delivery, struct ct_http_server *server);

/* The image is gone, and its blob too if `blob_hidden`: nothing cached of it is served after this
 * returns. Any thread, never blocks. */
void ct_delivery_forget(struct ct_delivery *delivery, const char *image_id,
    const struct ct_digest *digest, bool blob_hidden);

#endif
