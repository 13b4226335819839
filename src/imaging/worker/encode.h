/*
 * A print as WebP, by libwebp itself: the saver of libvips keeps EXIF and position in stills
 * whatever it is told. This one writes pixels and nothing else.
 */
#ifndef CT_WORKER_ENCODE_H
#define CT_WORKER_ENCODE_H

#include "imaging/protocol.h"

struct _VipsImage;

/* An image in memory with 3 or 4 channels of 8 bits. A code of error.h or -errno;
 * -EFBIG: it is larger than a file may be, and `*ret_size_bytes` tells how large. */
int ct_encode_print(struct _VipsImage *image, int fd, uint64_t *ret_size_bytes,
    char ret_message[CT_WORKER_MESSAGE_BYTES]);

#endif
