/*
 * libvips as it is used here: few loaders, no cache, one thread, errors that count.
 * Functions return 0, or -1 with the reason left in libvips (ct_failure_take).
 */
#ifndef CT_WORKER_DECODE_H
#define CT_WORKER_DECODE_H

#include "imaging/plan.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct _VipsImage;

/* Starts libvips and loads what there is to load. Starts no thread. */
int ct_decode_load(void);

/* Runs each codec once, so that nothing is opened later and threads are there. */
int ct_decode_warm_up(void);

/*
 * Which type is it, by its first bytes alone? "image/heif" for all that are in such a container;
 * NULL for none of ours; static. Libvips is not asked: it has every loader look, also those that
 * are blocked, and that for TIFF parses a directory for its answer.
 */
const char *ct_decode_find(const void *data, size_t length);

/* The head of the file: size, type, metadata; no pixel is read. */
int ct_decode_open(const void *data, size_t length, struct _VipsImage **ret_head);

/* What is in a HEIF container: image/heic or image/avif; static; "" for something else. */
const char *ct_decode_heif_type(struct _VipsImage *head);

/* Frames or pages, at least 1. */
int ct_decode_frames(struct _VipsImage *head);

/*
 * The memory taken by an image whose format makes the decoder hold it whole, an interlaced PNG or a
 * progressive JPEG. 0: it is decoded in strips.
 */
uint64_t ct_decode_whole_bytes(struct _VipsImage *head, const char *type);

/* Are its colours described by a profile, or inks, so that they must be converted? */
bool ct_decode_needs_conversion(struct _VipsImage *head);

/*
 * Decodes the file at exactly that size, upright, in sRGB with 8 bits, alpha kept, in memory. No
 * head of it should be open: one of a WebP holds memory for a whole decoded picture.
 */
int ct_decode_print(const void *data, size_t length, bool convert, struct ct_plan_print size,
    struct _VipsImage **ret_image);

/* From a larger print to the next. */
int ct_decode_shrink(
    struct _VipsImage *image, struct ct_plan_print size, struct _VipsImage **ret_image);

/* `side` * `side` * 3 bytes of R, G, B over white, whatever the proportions; freed with g_free. */
int ct_decode_square(struct _VipsImage *image, int side, uint8_t **ret_pixels);

void ct_decode_free(struct _VipsImage *image); /* NULL is allowed */
void ct_decode_free_pixels(uint8_t *pixels);   /* NULL is allowed */

#endif
