#include "base/hash.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define LENGTH 1000

static void fill(unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = (unsigned char)(i * 7 + i / 256);
}

/* What sha256sum says of those bytes. */
static struct ct_digest expected_digest(void)
{
	static const char hex[] =
	    "c85a431e0fe575b2609289d3a4042414715f400612575a125d2ce5573d608732";
	struct ct_digest digest;
	cr_assert_eq(ct_digest_from_hex(hex, sizeof(hex) - 1, &digest), 0);
	return digest;
}

static void assert_hex(const struct ct_digest *digest, const char *expected)
{
	char hex[CT_DIGEST_HEX_CHARS + 1];
	ct_digest_to_hex(digest, hex);
	cr_assert_str_eq(hex, expected);
}

Test(hash, vectors)
{
	struct ct_digest digest;
	ct_hash_once("", 0, &digest);
	assert_hex(&digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	ct_hash_once("abc", 3, &digest);
	assert_hex(&digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

Test(hash, saved_and_restored_at_every_split)
{
	unsigned char bytes[LENGTH];
	struct ct_digest expected = expected_digest();
	fill(bytes, sizeof(bytes));

	for (size_t split = 0; split <= LENGTH; split++) {
		struct ct_hash hash;
		struct ct_hash other;
		uint8_t state[CT_HASH_STATE_BYTES];
		struct ct_digest digest;
		ct_hash_init(&hash);
		ct_hash_update(&hash, bytes, split);
		ct_hash_save(&hash, state);
		memset(&hash, 0xee, sizeof(hash));
		memset(&other, 0xdd, sizeof(other));
		cr_assert_eq(ct_hash_restore(&other, state, split), 0, "split %zu", split);
		ct_hash_update(&other, bytes + split, LENGTH - split);
		ct_hash_final(&other, &digest);
		cr_assert(ct_digest_equal(&digest, &expected), "split %zu", split);
	}
}

Test(hash, saved_many_times_on_the_way)
{
	unsigned char bytes[LENGTH];
	struct ct_digest expected = expected_digest();
	struct ct_digest digest;
	struct ct_hash hash;
	size_t at = 0;
	fill(bytes, sizeof(bytes));
	ct_hash_init(&hash);
	for (size_t step = 1; at < LENGTH; step++) {
		uint8_t state[CT_HASH_STATE_BYTES];
		size_t piece = step < LENGTH - at ? step : LENGTH - at;
		ct_hash_update(&hash, bytes + at, piece);
		at += piece;
		ct_hash_save(&hash, state);
		cr_assert_eq(ct_hash_restore(&hash, state, at), 0);
	}
	ct_hash_final(&hash, &digest);
	cr_assert(ct_digest_equal(&digest, &expected));
}

/* The encoding lives in databases: it may not change. After 65 bytes 'a'. */
Test(hash, state_has_its_encoding)
{
	struct ct_hash hash;
	uint8_t state[CT_HASH_STATE_BYTES];
	char block[65];
	memset(block, 'a', sizeof(block));
	ct_hash_init(&hash);
	ct_hash_save(&hash, state);
	cr_assert_eq(memcmp(state, "\x01\x6a\x09\xe6\x67\xbb\x67\xae\x85", 9), 0);
	ct_hash_update(&hash, block, sizeof(block));
	ct_hash_save(&hash, state);
	cr_assert_eq(state[0], 1);
	cr_assert_eq(memcmp(state + 33, "\0\0\0\0\0\0\0\x41", 8), 0);
	cr_assert_eq(state[41], 'a');
	for (size_t i = 42; i < sizeof(state); i++)
		cr_assert_eq(state[i], 0);
}

/* Beyond 512 MiB the count of bits leaves its lower word. */
Test(hash, long_length_survives)
{
	const uint64_t length = (UINT64_C(5) << 30) + 3;
	struct ct_hash hash;
	uint8_t state[CT_HASH_STATE_BYTES];
	uint8_t again[CT_HASH_STATE_BYTES];
	ct_hash_init(&hash);
	ct_hash_update(&hash, "abc", 3);
	ct_hash_save(&hash, state);
	state[33 + 3] = 1;
	state[33 + 4] = 0x40;
	cr_assert_eq(ct_hash_restore(&hash, state, length), 0);
	ct_hash_save(&hash, again);
	cr_assert_eq(memcmp(state, again, sizeof(state)), 0);
	ct_hash_update(&hash, "d", 1);
	ct_hash_save(&hash, again);
	cr_assert_eq(ct_hash_restore(&hash, again, length + 1), 0);
}

Test(hash, refuses_what_is_no_state)
{
	struct ct_hash hash;
	uint8_t state[CT_HASH_STATE_BYTES];
	uint8_t bad[CT_HASH_STATE_BYTES];
	ct_hash_init(&hash);
	ct_hash_update(&hash, "abc", 3);
	ct_hash_save(&hash, state);

	cr_assert_eq(ct_hash_restore(&hash, state, 2), -EINVAL);
	cr_assert_eq(ct_hash_restore(&hash, state, 67), -EINVAL);
	for (size_t i = 0; i < sizeof(state); i++) {
		bool padding = i >= 41 + 3;
		bool length = i >= 33 && i < 41;
		memcpy(bad, state, sizeof(bad));
		bad[i] ^= 0x10;
		if (i == 0 || length || padding)
			cr_assert_eq(ct_hash_restore(&hash, bad, 3), -EINVAL, "byte %zu", i);
	}
	memset(bad, 0, sizeof(bad));
	cr_assert_eq(ct_hash_restore(&hash, bad, 0), -EINVAL);
	memcpy(bad, state, sizeof(bad));
	bad[33] = 0x20; /* more bytes than FIPS 180-4 can count bits of */
	cr_assert_eq(ct_hash_restore(&hash, bad, (UINT64_C(0x20) << 56) + 3), -EINVAL);
}

Test(digest, hex_there_and_back)
{
	struct ct_digest digest;
	struct ct_digest back;
	char hex[CT_DIGEST_HEX_CHARS + 1];
	ct_hash_once("abc", 3, &digest);
	ct_digest_to_hex(&digest, hex);
	cr_assert_eq(ct_digest_from_hex(hex, 64, &back), 0);
	cr_assert(ct_digest_equal(&digest, &back));
	cr_assert(ct_digest_equal_secret(&digest, &back));
	back.bytes[31] ^= 1;
	cr_assert_not(ct_digest_equal(&digest, &back));
	cr_assert_not(ct_digest_equal_secret(&digest, &back));
	cr_assert_eq(ct_digest_from_hex(hex, 63, &back), -EINVAL);
	cr_assert_eq(ct_digest_from_hex(hex, 65, &back), -EINVAL);
	hex[10] = 'A';
	cr_assert_eq(ct_digest_from_hex(hex, 64, &back), -EINVAL);
}
