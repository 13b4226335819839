/*
 * The image resource: a name for a blob. Rows are made by an upload's last transaction and filled
 * by its job; here they are shown, listed and deleted.
 */
#ifndef CT_IMAGES_H
#define CT_IMAGES_H

#include "base/json.h"
#include "calotype/blob.h"
#include "metadata/images.h"
#include "metadata/metadata.h"
#include "metadata/prints.h"

struct ct_images;
struct ct_http_server;
struct ct_thread_pool;

#define CT_IMAGE_PRINTS_MAX 32 /* shown of one image */

struct ct_images_options {
	struct ct_metadata *metadata;
	struct ct_blob_store *store; /* prints that lost their last image are removed from it */
	struct ct_thread_pool
	    *readers;		/* lists and deletes; outlives the server. NULL: no routes */
	const char *public_url; /* NULL: addresses in answers are relative */
	/*
	 * In a thread of `readers`, after the commit and before the client is answered: nothing of
	 * this image may be served any more, nor of its blob if `blob_hidden`. Must not block. May
	 * be NULL.
	 */
	void (*deleted)(
	    void *arg, const char *image_id, const struct ct_digest *digest, bool blob_hidden);
	void *deleted_arg;
};

int ct_images_new(const struct ct_images_options *options, struct ct_images **ret_images);
void ct_images_free(struct ct_images *images);

/* GET /images, GET /images/{id}, DELETE /images/{id}. Once; `images` outlives the server. */
int ct_images_add_routes(struct ct_images *images, struct ct_http_server *server);

/*
 * Deletes the image, its event written, and the prints that no image has any more. The blob stays
 * for the sweeper. BLOCKING. CT_ERROR_NOT_FOUND.
 */
int ct_images_delete(struct ct_images *images, const char *id);

/*
 * The image as decisions has it, with its prints, read through `view`; NULL when out of memory
 * or the database failed. `public_url` may be NULL. It has addresses only while it is ready.
 */
struct ct_json *ct_image_to_json(
    struct ct_metadata_view *view, const struct ct_image_row *row, const char *public_url);

/*
 * Removes the bytes of prints whose rows are gone, unless another row names them; BLOCKING. Bytes
 * that become wanted at the same moment are made again by whoever misses them.
 */
int ct_images_remove_prints(struct ct_metadata *metadata, struct ct_blob_store *store,
    const struct ct_print_row *rows, size_t count);

#endif
