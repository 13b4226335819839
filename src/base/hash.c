/*
 * EVP hides its state, so this uses the low-level calls, which OpenSSL 3 deprecates but keeps, and
 * which run the same assembly. The saved encoding is our own and does not depend on the layout of
 * SHA256_CTX: version, eight chaining words, length in bytes (all big-endian), then the bytes of
 * the last block that are not hashed yet.
 */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

#include "base/hash.h"
#include "base/assert.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

#define STATE_VERSION 1
#define WORDS 8
#define BLOCK_BYTES SHA256_CBLOCK
#define WORDS_AT 1
#define LENGTH_AT (WORDS_AT + WORDS * 4)
#define TAIL_AT (LENGTH_AT + 8)
/* FIPS 180-4 counts bits in 64 bits. */
#define MAX_LENGTH_BYTES (UINT64_MAX / 8)

_Static_assert(sizeof(SHA256_CTX) <= sizeof(struct ct_hash), "struct ct_hash is too small");
_Static_assert(_Alignof(SHA256_CTX) <= _Alignof(struct ct_hash), "struct ct_hash is misaligned");
_Static_assert(sizeof(SHA_LONG) == 4, "a chaining word has 32 bits");
_Static_assert(TAIL_AT + BLOCK_BYTES - 1 <= CT_HASH_STATE_BYTES, "the state does not fit");

static SHA256_CTX *context_of(struct ct_hash *hash)
{
	return (SHA256_CTX *)(void *)hash->opaque;
}

void ct_hash_init(struct ct_hash *hash)
{
	CT_ASSERT(SHA256_Init(context_of(hash)) == 1);
}

void ct_hash_update(struct ct_hash *hash, const void *data, size_t length)
{
	CT_ASSERT(SHA256_Update(context_of(hash), data, length) == 1);
}

void ct_hash_final(struct ct_hash *hash, struct ct_digest *ret_digest)
{
	CT_ASSERT(SHA256_Final(ret_digest->bytes, context_of(hash)) == 1);
}

static void put_u32(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 24);
	at[1] = (uint8_t)(value >> 16);
	at[2] = (uint8_t)(value >> 8);
	at[3] = (uint8_t)value;
}

static uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

void ct_hash_save(const struct ct_hash *hash, uint8_t ret_state[CT_HASH_STATE_BYTES])
{
	SHA256_CTX context;
	memcpy(&context, hash->opaque, sizeof(context));
	uint64_t length = ((uint64_t)context.Nh << 32 | context.Nl) / 8;
	CT_ASSERT(context.num == length % BLOCK_BYTES);

	memset(ret_state, 0, CT_HASH_STATE_BYTES);
	ret_state[0] = STATE_VERSION;
	for (size_t i = 0; i < WORDS; i++)
		put_u32(ret_state + WORDS_AT + 4 * i, context.h[i]);
	put_u32(ret_state + LENGTH_AT, (uint32_t)(length >> 32));
	put_u32(ret_state + LENGTH_AT + 4, (uint32_t)length);
	memcpy(ret_state + TAIL_AT, context.data, context.num);
}

static bool is_zero(const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (bytes[i] != 0)
			return false;
	}
	return true;
}

int ct_hash_restore(
    struct ct_hash *hash, const uint8_t state[CT_HASH_STATE_BYTES], uint64_t length_bytes)
{
	uint64_t length =
	    (uint64_t)get_u32(state + LENGTH_AT) << 32 | get_u32(state + LENGTH_AT + 4);
	size_t tail = length % BLOCK_BYTES;
	size_t padding_at = TAIL_AT + tail;
	if (state[0] != STATE_VERSION || length != length_bytes || length > MAX_LENGTH_BYTES)
		return -EINVAL;
	if (!is_zero(state + padding_at, CT_HASH_STATE_BYTES - padding_at))
		return -EINVAL;

	SHA256_CTX context;
	CT_ASSERT(SHA256_Init(&context) == 1);
	for (size_t i = 0; i < WORDS; i++)
		context.h[i] = get_u32(state + WORDS_AT + 4 * i);
	context.Nl = (SHA_LONG)(length * 8);
	context.Nh = (SHA_LONG)(length * 8 >> 32);
	context.num = (unsigned)tail;
	memcpy(context.data, state + TAIL_AT, tail);
	memcpy(hash->opaque, &context, sizeof(context));
	return 0;
}

void ct_hash_once(const void *data, size_t length, struct ct_digest *ret_digest)
{
	struct ct_hash hash;
	ct_hash_init(&hash);
	ct_hash_update(&hash, data, length);
	ct_hash_final(&hash, ret_digest);
}

bool ct_digest_equal_secret(const struct ct_digest *a, const struct ct_digest *b)
{
	return CRYPTO_memcmp(a->bytes, b->bytes, CT_DIGEST_BYTES) == 0;
}
