#include "base/key_text.h"

#include "base/hash.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define KEY "calo_reader00_0123456789-_CDEFGHIJKLMNOPQRSTUVWXYZabcdefg"

Test(key_text, parses_its_own)
{
	char first[CT_KEY_TEXT_CHARS + 1], second[CT_KEY_TEXT_CHARS + 1];
	char id[CT_KEY_ID_CHARS + 1];
	struct ct_digest digest, expected;
	cr_assert_eq(ct_key_text_generate(first), 0);
	cr_assert_eq(ct_key_text_generate(second), 0);
	cr_assert_eq(strlen(first), CT_KEY_TEXT_CHARS);
	cr_assert_str_neq(first, second);
	cr_assert_eq(ct_key_text_parse(ct_slice_from_string(first), id, &digest), 0);
	cr_assert_eq(strncmp(first + 5, id, CT_KEY_ID_CHARS), 0);
	cr_assert(ct_key_id_is_valid(ct_slice_from_string(id)));
	ct_hash_once(first, strlen(first), &expected);
	cr_assert(ct_digest_equal(&digest, &expected));
}

Test(key_text, refuses_what_is_no_key)
{
	char id[CT_KEY_ID_CHARS + 1];
	struct ct_digest digest;
	char text[CT_KEY_TEXT_CHARS + 1] = KEY;
	cr_assert_eq(ct_key_text_parse(CT_SLICE_OF(KEY), id, &digest), 0);
	cr_assert_str_eq(id, "reader00");
	for (size_t i = 0; i < CT_KEY_TEXT_CHARS; i++) {
		/* A byte that no place allows, a NUL among them. */
		static const char bad[] = { '\0', ' ', '=', '\xff' };
		for (size_t k = 0; k < sizeof(bad); k++) {
			text[i] = bad[k];
			cr_assert_eq(ct_key_text_parse(
					 (struct ct_slice){ text, CT_KEY_TEXT_CHARS }, id, &digest),
			    -EINVAL, "byte %zu", i);
		}
		text[i] = KEY[i];
	}
	cr_assert_eq(ct_key_text_parse(CT_SLICE_OF(KEY "a"), id, &digest), -EINVAL);
	cr_assert_eq(
	    ct_key_text_parse((struct ct_slice){ KEY, CT_KEY_TEXT_CHARS - 1 }, id, &digest),
	    -EINVAL);
	cr_assert_eq(ct_key_text_parse(CT_SLICE_ABSENT, id, &digest), -EINVAL);
	cr_assert_not(ct_key_id_is_valid(CT_SLICE_OF("reader0")));
	cr_assert_not(ct_key_id_is_valid(CT_SLICE_OF("-eader00")));
	cr_assert_not(ct_key_id_is_valid(CT_SLICE_ABSENT));
}
