/*
 * SHA-256 (FIPS 180-4) over bytes as they come, with a state that can be saved in the middle and
 * restored in another process: a resumed upload never hashes its prefix again. The only home of
 * OpenSSL's low-level calls. A hash belongs to one thread at a time.
 */
#ifndef CT_BASE_HASH_H
#define CT_BASE_HASH_H

#include "calotype/blob.h"
#include "calotype/digest.h"
#include <stddef.h>
#include <stdint.h>

struct ct_hash {
	uint64_t opaque[16]; /* OpenSSL's SHA256_CTX, checked in hash.c */
};

void ct_hash_init(struct ct_hash *hash);
void ct_hash_update(struct ct_hash *hash, const void *data, size_t length);

/* The hash must be initialised or restored before it is used again. */
void ct_hash_final(struct ct_hash *hash, struct ct_digest *ret_digest);

/* Version, chaining words, length and tail; zero-padded. */
void ct_hash_save(const struct ct_hash *hash, uint8_t ret_state[CT_HASH_STATE_BYTES]);

/* -EINVAL: not a state, or not one of exactly `length_bytes` hashed bytes. */
int ct_hash_restore(
    struct ct_hash *hash, const uint8_t state[CT_HASH_STATE_BYTES], uint64_t length_bytes);

void ct_hash_once(const void *data, size_t length, struct ct_digest *ret_digest);

/* Equal in constant time: for secrets. */
bool ct_digest_equal_secret(const struct ct_digest *a, const struct ct_digest *b);

#endif
