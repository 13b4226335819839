/*
 * Reads from an EXIF block (CIPA DC-008: a TIFF structure) what may be told about a photograph,
 * and whether it tells the place. Everything private is not even looked at. Pure; the bytes are
 * hostile: whatever makes no sense is left out.
 */
#ifndef CT_WORKER_EXIF_H
#define CT_WORKER_EXIF_H

#include "imaging/protocol.h"
#include <stdbool.h>
#include <stddef.h>

/* With or without "Exif\0\0" in front. Fills all of *ret_exif. */
void ct_exif_read(const void *data, size_t length, struct ct_worker_exif *ret_exif);

/*
 * Would it take all too long to walk the directories of EXIF in this file, of whatever format?
 * libexif goes into one as often as it is named, even by itself: 60 KB keep it busy for 17 s.
 */
bool ct_exif_is_endless(const void *data, size_t length);

#endif
