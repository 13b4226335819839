/*
 * For tests of the pool: the worker of this build, pictures made by make-test-images, and prints
 * decoded by libwebp.
 */
#ifndef TEST_IMAGING_SUPPORT_H
#define TEST_IMAGING_SUPPORT_H

#include "imaging/pool.h"
#include <stdint.h>

/* With the worker of this build unless options->worker_path names another. Asserts success. */
struct ct_imaging_pool *pool_of(struct ct_imaging_options options);

/* A descriptor of a picture, owned by the caller. */
int open_picture(const char *name);

/* Develops a picture at the three usual widths. */
int develop_failing(struct ct_imaging_pool *pool, const char *name, const char *type,
    struct ct_developed *ret_developed, struct ct_imaging_failure *ret_failure);
int develop(struct ct_imaging_pool *pool, const char *name, const char *type,
    struct ct_developed *ret_developed, char ret_message[CT_IMAGING_MESSAGE_BYTES]);

/* All bytes of a print, from malloc. */
uint8_t *read_print(const struct ct_developed_print *print);

/* R, G, B, A of one pixel, at parts of a hundred of width and height. */
struct colour {
	uint8_t r, g, b, a;
};
struct colour print_colour(const struct ct_developed_print *print, int percent_x, int percent_y);

int64_t now_ms(void);

#endif
