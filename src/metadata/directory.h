/*
 * The row of `data_directory`: the id of the data directory whose blobs this database describes.
 * Thread rule and errors: metadata.h.
 */
#ifndef CT_METADATA_DIRECTORY_H
#define CT_METADATA_DIRECTORY_H

#include "metadata/metadata.h"

/* CT_ERROR_NOT_FOUND: it belongs to none yet. */
int ct_directory_get(struct ct_metadata_view *view, char ret_id[CT_ID_CHARS + 1]);
/* -EEXIST: it belongs to one. */
int ct_directory_put(struct ct_metadata_view *view, const char *id);

#endif
