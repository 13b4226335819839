/*
 * The SHA-256 of some bytes (FIPS 180-4), which is their name in the store. A plain value.
 */
#ifndef CALOTYPE_DIGEST_H
#define CALOTYPE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CT_DIGEST_BYTES 32
#define CT_DIGEST_HEX_CHARS 64

struct ct_digest {
	uint8_t bytes[CT_DIGEST_BYTES];
};

bool ct_digest_equal(const struct ct_digest *a, const struct ct_digest *b);

/* 64 lower-case hex digits and a NUL. */
void ct_digest_to_hex(const struct ct_digest *digest, char ret_hex[CT_DIGEST_HEX_CHARS + 1]);

/* Exactly 64 lower-case hex digits, else -EINVAL. */
int ct_digest_from_hex(const char *hex, size_t length, struct ct_digest *ret_digest);

#define CT_DIGEST_FIELD_CHARS 54
/* "sha-256=:<base64>:", a member of the fields of RFC 9530, and a NUL. */
void ct_digest_to_field(const struct ct_digest *digest, char ret_text[CT_DIGEST_FIELD_CHARS + 1]);

#endif
