#include "base/key_text.h"

#include "base/hash.h"
#include "base/text.h"

#include <errno.h>
#include <string.h>

#define PREFIX "calo_"
#define PREFIX_CHARS (sizeof(PREFIX) - 1)
#define SECRET_CHARS (CT_KEY_TEXT_CHARS - PREFIX_CHARS - CT_KEY_ID_CHARS - 1)

/* base64url; those before ID_ALPHABET are what the name of a key may hold, too. */
static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
#define ID_ALPHABET 62

static bool all_in(const char *text, size_t length, size_t alphabet_length)
{
	for (size_t i = 0; i < length; i++)
		if (memchr(alphabet, text[i], alphabet_length) == NULL)
			return false;
	return true;
}

bool ct_key_id_is_valid(struct ct_slice id)
{
	return id.data != NULL && id.length == CT_KEY_ID_CHARS &&
	       all_in(id.data, id.length, ID_ALPHABET);
}

int ct_key_text_parse(
    struct ct_slice text, char ret_id[CT_KEY_ID_CHARS + 1], struct ct_digest *ret_digest)
{
	if (text.length != CT_KEY_TEXT_CHARS || !ct_slice_starts_with(text, PREFIX))
		return -EINVAL;
	const char *id = text.data + PREFIX_CHARS;
	const char *secret = id + CT_KEY_ID_CHARS + 1;
	if (!all_in(id, CT_KEY_ID_CHARS, ID_ALPHABET) || id[CT_KEY_ID_CHARS] != '_' ||
	    !all_in(secret, SECRET_CHARS, sizeof(alphabet) - 1))
		return -EINVAL;
	memcpy(ret_id, id, CT_KEY_ID_CHARS);
	ret_id[CT_KEY_ID_CHARS] = '\0';
	ct_hash_once(text.data, text.length, ret_digest);
	return 0;
}

/* The name is of the first 32 characters, small ones and digits: easy to read out. */
int ct_key_text_generate(char ret_text[CT_KEY_TEXT_CHARS + 1])
{
	uint8_t random[CT_KEY_ID_CHARS + SECRET_CHARS];
	char *p = ret_text;
	int r = ct_random_bytes(random, sizeof(random));
	if (r < 0)
		return r;
	memcpy(p, PREFIX, PREFIX_CHARS);
	p += PREFIX_CHARS;
	for (size_t i = 0; i < CT_KEY_ID_CHARS; i++)
		*p++ = alphabet[random[i] % 32];
	*p++ = '_';
	for (size_t i = 0; i < SECRET_CHARS; i++)
		*p++ = alphabet[random[CT_KEY_ID_CHARS + i] % 64];
	*p = '\0';
	explicit_bzero(random, sizeof(random));
	return 0;
}
