/*
 * Upload-Checksum of tus 1.0.0 (extensions checksum and checksum-trailer): what the bytes of one
 * chunk must hash to. The value comes in the head, or behind the body where the head announces it
 * with `Trailer: Upload-Checksum`; then both algorithms run along, as the one to come isn't known.
 * A checksum belongs to one thread at a time.
 */
#ifndef CT_UPLOADS_TUS_CHECKSUM_H
#define CT_UPLOADS_TUS_CHECKSUM_H

#include "base/checksum.h"

#define CT_TUS_CHECKSUM_ALGORITHMS "sha1,sha256"

struct ct_tus_checksum;

struct ct_tus_checksum_value {
	enum ct_checksum_algorithm algorithm;
	uint8_t bytes[CT_CHECKSUM_MAX_BYTES];
};

/*
 * `sha1 <Base64>`, one blank between. -EINVAL: malformed, or of another length than its algorithm
 * has; -EOPNOTSUPP: an algorithm that is none of ours.
 */
int ct_tus_checksum_parse(struct ct_slice field, struct ct_tus_checksum_value *ret_value);
/* Does a Trailer field (RFC 9110 section 6.6.2) name Upload-Checksum? */
bool ct_tus_checksum_is_announced(struct ct_slice trailer);

/* `expected` is copied; NULL: it comes later. -ENOMEM. */
int ct_tus_checksum_new(
    const struct ct_tus_checksum_value *expected, struct ct_tus_checksum **ret_checksum);
void ct_tus_checksum_free(struct ct_tus_checksum *checksum);	     /* NULL is allowed */
bool ct_tus_checksum_awaits(const struct ct_tus_checksum *checksum); /* the value, still */
void ct_tus_checksum_expect(
    struct ct_tus_checksum *checksum, const struct ct_tus_checksum_value *value);
void ct_tus_checksum_update(struct ct_tus_checksum *checksum, const void *data, size_t length);
/* Once, when all bytes and the value are there. */
bool ct_tus_checksum_matches(struct ct_tus_checksum *checksum);

#endif
