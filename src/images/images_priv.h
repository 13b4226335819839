#ifndef CT_IMAGES_PRIV_H
#define CT_IMAGES_PRIV_H

#include "images/images.h"
#include "jobs/list.h"
#include "metadata/images.h"

/* All of it is set once. */
struct ct_images {
	struct ct_metadata *metadata;
	struct ct_blob_store *store;
	struct ct_thread_pool *readers;
	char *public_url; /* or NULL */
	void (*deleted)(
	    void *arg, const char *image_id, const struct ct_digest *digest, bool blob_hidden);
	void *deleted_arg;
	struct ct_http_route routes[3];
	struct ct_list list;
	const char *states[CT_IMAGE_STATE_COUNT];
};

#endif
