/*
 * BlurHash (the algorithm that https://blurha.sh describes): a few cosine components of an image
 * as a short text, for a blurred place-holder. Pure.
 */
#ifndef CT_WORKER_BLURHASH_H
#define CT_WORKER_BLURHASH_H

#include <stddef.h>
#include <stdint.h>

#define CT_BLURHASH_COMPONENTS_X 4
#define CT_BLURHASH_COMPONENTS_Y 3
#define CT_BLURHASH_CHARS (6 + 2 * (CT_BLURHASH_COMPONENTS_X * CT_BLURHASH_COMPONENTS_Y - 1))
#define CT_BLURHASH_MAX_SIDE 64 /* a small picture says all there is to say */

/* `pixels` are rows of R, G, B bytes in sRGB without padding; both sides 1 to the maximum. */
void ct_blurhash_encode(
    const uint8_t *pixels, int width, int height, char ret_hash[CT_BLURHASH_CHARS + 1]);

#endif
