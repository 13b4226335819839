/*
 * Structured fields. The first byte chooses item, list or dictionary. What is read and written
 * again is read again, and then writes itself; what points into the text lies in it.
 */
#include "fuzz.h"

#include "base/cleanup.h"
#include "structured_print.h"

#include <string.h>

#define TEXT_MAX (8 * CT_STRUCTURED_MAX_BYTES)

static void expect_inside(struct ct_slice all, struct ct_slice piece)
{
	if (piece.data == NULL)
		return;
	FUZZ_CHECK(piece.data >= all.data && piece.length <= all.length &&
		       piece.data + piece.length <= all.data + all.length,
	    "a piece from elsewhere");
}

static void check_places(struct ct_slice field, enum structured_kind kind)
{
	struct ct_structured walk;
	struct ct_structured_member member;
	int r = kind == STRUCTURED_LIST ? ct_structured_list(field, &walk)
					: ct_structured_dictionary(field, &walk);

	while (r == 0 && ct_structured_next(&walk, &member)) {
		FUZZ_CHECK((member.key.data != NULL) == (kind == STRUCTURED_DICTIONARY), "key");
		expect_inside(field, member.key);
		expect_inside(field, member.value.raw);
		expect_inside(field, member.parameters);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	enum structured_kind kind = (enum structured_kind)(fuzz_byte(&input) % 3);
	struct ct_slice field = { (const char *)input.data, input.length };
	ct_cleanup(ct_buffer_done) struct ct_buffer once, twice;

	ct_buffer_init(&once, TEXT_MAX);
	ct_buffer_init(&twice, TEXT_MAX);
	if (kind != STRUCTURED_ITEM)
		check_places(field, kind);
	if (field.length > CT_STRUCTURED_MAX_BYTES / 4)
		return 0; /* written anew it may be longer than is read */
	if (structured_print(kind, field, &once) < 0)
		return 0;
	struct ct_slice again = { once.data != NULL ? once.data : "", once.length };
	FUZZ_CHECK(structured_print(kind, again, &twice) == 0, "%s", again.data);
	FUZZ_CHECK(once.length == twice.length &&
		       (once.length == 0 || memcmp(once.data, twice.data, once.length) == 0),
	    "%s, then %s", once.data, twice.data);
	return 0;
}
