/*
 * Rows of `image`: names for blobs.
 * Thread rule and errors: metadata.h.
 */
#ifndef CT_METADATA_IMAGES_H
#define CT_METADATA_IMAGES_H

#include "metadata/metadata.h"

enum ct_image_state { CT_IMAGE_PENDING, CT_IMAGE_READY, CT_IMAGE_FAILED, CT_IMAGE_STATE_COUNT };
const char *ct_image_state_name(enum ct_image_state state);

struct ct_image_row {
	char id[CT_ID_CHARS + 1];
	enum ct_image_state state;
	struct ct_digest digest;
	uint64_t size_bytes;	    /* joined from blob */
	char type[CT_TYPE_MAX + 1]; /* joined from blob */
	char filename[CT_FILENAME_MAX + 1];
	int width, height, frames, orientation; /* 0: not known, or not an image */
	char blurhash[CT_BLURHASH_MAX + 1];
	char exif[CT_EXIF_MAX + 1]; /* JSON object without private fields, or empty */
	char job_id[CT_ID_CHARS + 1];
	char key_id[16];
	int64_t created_at;
};

/* Its blob must have been referenced before. */
int ct_image_insert(struct ct_metadata_view *view, const struct ct_image_row *row);
int ct_image_get(struct ct_metadata_view *view, const char *id, struct ct_image_row *ret_row);
/* Writes state, width, height, frames, orientation, blurhash, exif. NOT_FOUND if deleted. */
int ct_image_update(struct ct_metadata_view *view, const struct ct_image_row *row);
int ct_image_delete(struct ct_metadata_view *view, const char *id);
/* Newest first; after the row (before_at, before_id) when before_id is not empty; count. */
int ct_image_list(struct ct_metadata_view *view, enum ct_image_state state, int64_t before_at,
    const char *before_id, struct ct_image_row *ret_rows, int capacity);
/* One of the blob's ready images. */
int ct_image_find_ready(
    struct ct_metadata_view *view, const struct ct_digest *digest, struct ct_image_row *ret_row);
/* Images of a blob, up to `capacity`; count. */
int ct_image_list_of_blob(struct ct_metadata_view *view, const struct ct_digest *digest,
    struct ct_image_row *ret_rows, int capacity);

#endif
