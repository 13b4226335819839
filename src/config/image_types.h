/*
 * The image types that are known here, in one table: what is taken by default, what a browser
 * shows in place, and (all of them) what prints are made of. Which loader decodes a type is the
 * worker's own knowledge (imaging/worker/decode.c). Any thread.
 */
#ifndef CT_CONFIG_IMAGE_TYPES_H
#define CT_CONFIG_IMAGE_TYPES_H

#include <stdbool.h>
#include <stddef.h>

/* ROW(media type, taken by default: YES or NO, shown in place by browsers) */
#define CT_IMAGE_TYPES(ROW)          \
	ROW("image/jpeg", YES, true) \
	ROW("image/png", YES, true)  \
	ROW("image/webp", YES, true) \
	ROW("image/gif", YES, true)  \
	ROW("image/avif", YES, true) \
	ROW("image/heic", YES, true) \
	ROW("image/heif", YES, true) \
	ROW("image/tiff", NO, false)

/* Those taken by default, comma between: the default of the option `accept`. */
#define CT_IMAGE_TYPE_IF_YES(name) "," name
#define CT_IMAGE_TYPE_IF_NO(name)
#define CT_IMAGE_TYPE_ACCEPTED(name, accepted, shown) CT_IMAGE_TYPE_IF_##accepted(name)
#define CT_IMAGE_TYPES_ACCEPTED (&("" CT_IMAGE_TYPES(CT_IMAGE_TYPE_ACCEPTED))[1])

struct ct_image_type {
	const char *name;
	bool is_shown; /* inline; any other is a download */
};

/* In the order of the table, static; NULL from its end on. */
const struct ct_image_type *ct_image_type_at(size_t index);

/* By its name, in lower case; NULL: no prints are made of such a file. */
const struct ct_image_type *ct_image_type_find(const char *name);

#endif
