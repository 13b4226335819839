/*
 * The text of an API key, "calo_<8>_<43>": eight letters or digits that name it, then 43 characters
 * of base64url (RFC 4648 section 5), its secret. The only place that knows this form; what is kept
 * of a key is its name and the SHA-256 of the whole text. Any thread.
 */
#ifndef CT_BASE_KEY_TEXT_H
#define CT_BASE_KEY_TEXT_H

#include "base/slice.h"
#include "calotype/digest.h"

#define CT_KEY_ID_CHARS 8
#define CT_KEY_TEXT_CHARS (5 + CT_KEY_ID_CHARS + 1 + 43)

/* What such a text looks like, for messages to people. */
#define CT_KEY_TEXT_FORM "calo_<8 characters>_<43 characters>"

/* -EINVAL: not a key. The digest is of the whole text. */
int ct_key_text_parse(
    struct ct_slice text, char ret_id[CT_KEY_ID_CHARS + 1], struct ct_digest *ret_digest);

/* May it be the name of a key? */
bool ct_key_id_is_valid(struct ct_slice id);

/* A new one; the caller wipes it after use. -errno if there is no entropy. */
int ct_key_text_generate(char ret_text[CT_KEY_TEXT_CHARS + 1]);

#endif
