/*
 * Fields of tus that name something: Upload-Checksum, the Trailer that announces it, Upload-Concat.
 * The first byte chooses the field, the rest is its value. What was taken is written again, and
 * must be read as the same.
 */
#include "fuzz.h"

#include "base/text.h"
#include "uploads/parts.h"
#include "uploads/tus_checksum.h"

#include <string.h>

#define BASE64_MAX (4 * ((CT_CHECKSUM_MAX_BYTES + 2) / 3) + 1)

static void fuzz_checksum(struct ct_slice text)
{
	struct ct_tus_checksum_value value, second;
	char base64[BASE64_MAX], again[BASE64_MAX + 16];

	if (ct_tus_checksum_parse(text, &value) < 0)
		return;
	ct_base64_encode(value.bytes, ct_checksum_size(value.algorithm), base64);
	(void)snprintf(again, sizeof(again), "%s %s", ct_checksum_name(value.algorithm), base64);
	FUZZ_CHECK(ct_tus_checksum_parse(ct_slice_from_string(again), &second) == 0 &&
		       second.algorithm == value.algorithm &&
		       memcmp(second.bytes, value.bytes, sizeof(value.bytes)) == 0,
	    "%.*s", (int)text.length, text.data);
}

/* A field among others announces it, wherever it stands. */
static void fuzz_trailer(struct ct_slice text)
{
	char list[512];

	(void)ct_tus_checksum_is_announced(text);
	if (text.length > 256)
		return;
	int length =
	    snprintf(list, sizeof(list), "%.*s, upload-checksum", (int)text.length, text.data);
	if (memchr(text.data, '\0', text.length) == NULL)
		FUZZ_CHECK(ct_tus_checksum_is_announced((struct ct_slice){ list, (size_t)length }),
		    "%s", list);
}

static void fuzz_concat(struct ct_slice text)
{
	static struct ct_parts parts, again;
	static char plain[CT_UPLOAD_CONCAT_MAX + 1];
	size_t length = 0;

	if (ct_parts_parse(text, &parts) < 0)
		return;
	FUZZ_CHECK(
	    parts.count <= CT_PARTS_MAX && text.length <= CT_UPLOAD_CONCAT_MAX, "%u", parts.count);
	FUZZ_CHECK(memchr(text.data, '\0', text.length) == NULL, "a NUL was taken");
	FUZZ_CHECK((parts.kind == CT_UPLOAD_FINAL) == (parts.count > 0), "%u", parts.count);
	if (parts.kind != CT_UPLOAD_FINAL)
		return;
	for (unsigned i = 0; i < parts.count; i++) {
		FUZZ_CHECK(ct_id_is_valid(ct_slice_from_string(parts.ids[i])), "%s", parts.ids[i]);
		length += (size_t)snprintf(plain + length, sizeof(plain) - length, "%s/uploads/%s",
		    i == 0 ? "final;" : " ", parts.ids[i]);
	}
	FUZZ_CHECK(ct_parts_parse((struct ct_slice){ plain, length }, &again) == 0 &&
		       again.count == parts.count &&
		       memcmp(again.ids, parts.ids, parts.count * sizeof(parts.ids[0])) == 0,
	    "%s", plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	uint8_t choice = fuzz_byte(&input);
	struct ct_slice text = { (const char *)input.data, input.length };

	switch (choice % 3) {
	case 0: fuzz_checksum(text); break;
	case 1: fuzz_trailer(text); break;
	default: fuzz_concat(text); break;
	}
	return 0;
}
