/*
 * Rows of `blob`: the originals in the store. A row never points at bytes that are not durable.
 * Thread rule and errors: metadata.h.
 */
#ifndef CT_METADATA_BLOBS_H
#define CT_METADATA_BLOBS_H

#include "metadata/metadata.h"

struct ct_blob_row {
	struct ct_digest digest;
	uint64_t size_bytes;
	char type[CT_TYPE_MAX + 1];
	bool deleting; /* the sweeper has begun; an upload of the same bytes revives it */
	int64_t created_at, last_ref_at;
};

/*
 * Inserts, or for a known digest sets last_ref_at and clears `deleting`. Who finds `deleting` set
 * (ct_blob_get before, in the same transaction) cannot know whether the bytes are still there.
 */
int ct_blob_reference(struct ct_metadata_view *view, const struct ct_blob_row *row);
int ct_blob_get(
    struct ct_metadata_view *view, const struct ct_digest *digest, struct ct_blob_row *ret_row);
/* Sets last_ref_at: from now on it is kept for the grace period of the sweep. */
int ct_blob_touch(struct ct_metadata_view *view, const struct ct_digest *digest, int64_t at);
/* By rising digest, after `after` (NULL: from the first); count. */
int ct_blob_list(struct ct_metadata_view *view, const struct ct_digest *after,
    struct ct_blob_row *ret_rows, int capacity);
/* Is there an image in state ready on it? */
int ct_blob_is_visible(
    struct ct_metadata_view *view, const struct ct_digest *digest, bool *ret_visible);
/*
 * Marks blobs without images and last_ref_at < before as deleting, and lists them, also those
 * that an interrupted sweep had marked; count. By index: costs what it finds.
 */
int ct_blob_begin_sweep(
    struct ct_metadata_view *view, int64_t before, struct ct_blob_row *ret_rows, int capacity);
/* Deletes the row if it is still `deleting` and unreferenced; CT_ERROR_NOT_FOUND if revived. */
int ct_blob_end_sweep(struct ct_metadata_view *view, const struct ct_digest *digest);

#endif
