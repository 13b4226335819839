#include "calotype/digest.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

bool ct_digest_equal(const struct ct_digest *a, const struct ct_digest *b)
{
	return memcmp(a->bytes, b->bytes, CT_DIGEST_BYTES) == 0;
}

void ct_digest_to_hex(const struct ct_digest *digest, char ret_hex[CT_DIGEST_HEX_CHARS + 1])
{
	ct_hex_encode(digest->bytes, CT_DIGEST_BYTES, ret_hex);
}

int ct_digest_from_hex(const char *hex, size_t length, struct ct_digest *ret_digest)
{
	return ct_hex_decode((struct ct_slice){ hex, length }, ret_digest->bytes, CT_DIGEST_BYTES);
}

void ct_digest_to_field(const struct ct_digest *digest, char ret_text[CT_DIGEST_FIELD_CHARS + 1])
{
	char base64[4 * ((CT_DIGEST_BYTES + 2) / 3) + 1];

	ct_base64_encode(digest->bytes, CT_DIGEST_BYTES, base64);
	(void)snprintf(ret_text, CT_DIGEST_FIELD_CHARS + 1, "sha-256=:%s:", base64); /* it fits */
}
