/*
 * Checksums that clients send beside their bytes: only compared, never stored. What names a blob
 * is in hash.h. A checksum belongs to one thread at a time.
 */
#ifndef CT_BASE_CHECKSUM_H
#define CT_BASE_CHECKSUM_H

#include "base/slice.h"
#include <stdint.h>

enum ct_checksum_algorithm { CT_CHECKSUM_SHA1, CT_CHECKSUM_SHA256, CT_CHECKSUM_COUNT };

#define CT_CHECKSUM_MAX_BYTES 32

struct ct_checksum;

/* "sha1", "sha256": lower case, as tus names them; false: none of these. */
bool ct_checksum_by_name(struct ct_slice name, enum ct_checksum_algorithm *ret_algorithm);
const char *ct_checksum_name(enum ct_checksum_algorithm algorithm);
size_t ct_checksum_size(enum ct_checksum_algorithm algorithm); /* bytes */

/* -ENOMEM. */
int ct_checksum_new(enum ct_checksum_algorithm algorithm, struct ct_checksum **ret_checksum);
void ct_checksum_free(struct ct_checksum *checksum); /* NULL is allowed */
void ct_checksum_update(struct ct_checksum *checksum, const void *data, size_t length);
/* Once, and last; fills the first ct_checksum_size() bytes. */
void ct_checksum_final(struct ct_checksum *checksum, uint8_t ret_bytes[CT_CHECKSUM_MAX_BYTES]);

#endif
