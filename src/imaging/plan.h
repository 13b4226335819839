/*
 * What prints are made of an image. All sizes are in pixels of the upright image, as it is looked
 * at, after its EXIF orientation has been applied. Pure functions, any thread.
 *
 * A print keeps the proportions and is never wider than the image: every wanted width at or above
 * the image's own gives one print at the image's own width. So 500 pixels give prints of 320 and
 * 500, and 100 pixels give one print of 100. An image too tall for WebP at its own width counts as
 * one that is as wide as what fits.
 */
#ifndef CT_IMAGING_PLAN_H
#define CT_IMAGING_PLAN_H

#include <stddef.h>

#define CT_PLAN_MAX_PRINTS 8
#define CT_PLAN_MAX_SIDE 16383	     /* of a WebP: 14 bits */
#define CT_PLAN_MAX_IMAGE_SIDE 65535 /* of a JPEG; decoding goes line by line, so height costs */
#define CT_PLAN_MAX_DIMENSION (1 << 24)
#define CT_PLAN_OPERATIONS_CHARS 63
#define CT_PLAN_PRINT_TYPE "image/webp"

struct ct_plan_print {
	int width;
	int height;
};

struct ct_plan {
	size_t count;					 /* at least 1 */
	struct ct_plan_print prints[CT_PLAN_MAX_PRINTS]; /* by rising width */
};

/* What is made of every image: 320, 640 and 1280. */
extern const int ct_plan_widths[];
extern const size_t ct_plan_width_count;

/*
 * The prints of an image. `widths` are what is wanted, in any order. -EINVAL: a size or a width
 * below 1 or above CT_PLAN_MAX_DIMENSION, or a count that is 0 or above CT_PLAN_MAX_PRINTS.
 */
int ct_plan_prints(int image_width, int image_height, const int *widths, size_t width_count,
    struct ct_plan *ret_plan);

/*
 * The canonical operations of a print, "w=640&fm=webp": with the digest of the source, the key
 * under which it is kept.
 */
void ct_plan_operations(int print_width, char ret_operations[CT_PLAN_OPERATIONS_CHARS + 1]);

#endif
