/*
 * Rows of `print`: keyed on (source, operations), shared by the images of one blob.
 * Thread rule and errors: metadata.h.
 */
#ifndef CT_METADATA_PRINTS_H
#define CT_METADATA_PRINTS_H

#include "metadata/metadata.h"

struct ct_print_row {
	struct ct_digest source;
	char operations[CT_OPERATIONS_MAX + 1]; /* canonical, imaging/plan.h */
	struct ct_digest digest;		/* of the print's bytes: its name in the store */
	uint64_t size_bytes;
	int width, height;
	char type[CT_TYPE_MAX + 1];
	int64_t created_at;
};

int ct_print_put(struct ct_metadata_view *view, const struct ct_print_row *row); /* or replace */
int ct_print_get(struct ct_metadata_view *view, const struct ct_digest *source,
    const char *operations, struct ct_print_row *ret_row);
/* Of one source, by rising width; count. */
int ct_print_list(struct ct_metadata_view *view, const struct ct_digest *source,
    struct ct_print_row *ret_rows, int capacity);
/* Deletes the rows of a source that no image has any more; lists what was deleted; count. */
int ct_print_delete_orphans(struct ct_metadata_view *view, const struct ct_digest *source,
    struct ct_print_row *ret_rows, int capacity);
/* Does any print row name these bytes? */
int ct_print_is_used(struct ct_metadata_view *view, const struct ct_digest *digest, bool *ret_used);

#endif
