/*
 * Small values of heads and options. The first byte chooses: Range, a list of entity tags, percent
 * escapes, Base64, a decimal number, JSON, an option's value, a file of options.
 */
#include "fuzz.h"

#include "base/buffer.h"
#include "base/json.h"
#include "base/text.h"
#include "cache/cache_priv.h"
#include "config/config_priv.h"
#include "config/image_types.h"
#include "http/request.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_BYTES (1u << 20)

/* A copy as a string; absent when there is a NUL in it. */
static char *copy_string(struct ct_slice text)
{
	char *copy = malloc(text.length + 1);

	FUZZ_CHECK(copy != NULL, "no memory");
	if (ct_slice_copy(text, copy, text.length + 1) == 0)
		return copy;
	free(copy);
	return NULL;
}

static void check_range(struct ct_slice text, uint64_t size)
{
	uint64_t first = 0, length = 0;

	if (ct_cache_parse_range(text, size, &first, &length) == CT_CACHE_RANGE_ONE)
		FUZZ_CHECK(first < size && length > 0 && length <= size - first,
		    "%llu + %llu of %llu", (unsigned long long)first, (unsigned long long)length,
		    (unsigned long long)size);
}

static void fuzz_range(struct fuzz_input *input)
{
	uint64_t first = 0, last = 0, got_first = 0, got_length = 0;
	char text[64];
	struct ct_slice field = { (const char *)input->data, input->length };

	check_range(field, 0);
	check_range(field, 1);
	check_range(field, 1000);
	check_range(field, INT64_MAX); /* no file is larger */
	for (int i = 0; i < 8; i++) {
		first = first << 8 | fuzz_byte(input);
		last = last << 8 | fuzz_byte(input);
	}
	first >>= fuzz_byte(input) % 64;
	last >>= fuzz_byte(input) % 64;
	if (first > last || last >= INT64_MAX)
		return;
	(void)snprintf(text, sizeof(text), "bytes=%llu-%llu", (unsigned long long)first,
	    (unsigned long long)last);
	enum ct_cache_range range =
	    ct_cache_parse_range(ct_slice_from_string(text), last + 1, &got_first, &got_length);
	FUZZ_CHECK(
	    range == CT_CACHE_RANGE_ONE && got_first == first && got_length == last - first + 1,
	    "%s", text);
	range = ct_cache_parse_range(ct_slice_from_string(text), first, &got_first, &got_length);
	FUZZ_CHECK(range == CT_CACHE_RANGE_OUTSIDE, "%s outside", text);
}

static void fuzz_etags(struct ct_slice list)
{
	static const char tag[] = "\"0123456789abcdef\"";
	bool weak = ct_http_etag_matches(list, tag, CT_HTTP_WEAK);
	bool strong = ct_http_etag_matches(list, tag, CT_HTTP_STRONG);
	struct ct_buffer more;

	FUZZ_CHECK(weak || !strong, "strong but not weak");
	if (weak && !ct_slice_equal(ct_slice_trim(list), "*"))
		FUZZ_CHECK(memmem(list.data, list.length, tag, sizeof(tag) - 1) != NULL,
		    "a tag that is not there");
	ct_buffer_init(&more, MAX_BYTES);
	ct_buffer_append(&more, list.data, list.length);
	ct_buffer_append_string(&more, ", W/");
	ct_buffer_append_string(&more, tag);
	FUZZ_CHECK(
	    ct_http_etag_matches((struct ct_slice){ more.data, more.length }, tag, CT_HTTP_WEAK),
	    "the last tag of %s", more.data);
	ct_buffer_done(&more);
}

static void fuzz_percent(struct ct_slice text)
{
	static char decoded[4096], encoded[3 * sizeof(decoded)], again[sizeof(decoded)];
	size_t length, again_length;

	for (int mode = CT_PERCENT_PATH; mode <= CT_PERCENT_QUERY; mode++) {
		if (ct_percent_decode(text, mode, decoded, sizeof(decoded), &length) < 0)
			continue;
		struct ct_slice plain = { decoded, length };
		FUZZ_CHECK(strlen(decoded) == length && ct_slice_is_utf8(plain), "%s", decoded);
		FUZZ_CHECK(ct_percent_encode(plain, encoded, sizeof(encoded)) == 0, "%s", decoded);
		FUZZ_CHECK(ct_percent_decode(ct_slice_from_string(encoded), CT_PERCENT_PATH, again,
			       sizeof(again), &again_length) == 0 &&
			       strcmp(again, decoded) == 0,
		    "%s, then %s", decoded, again);
	}
}

static void fuzz_base64(struct ct_slice text)
{
	static uint8_t bytes[4096], again[sizeof(bytes)];
	static char encoded[2 * sizeof(bytes)];
	size_t length, again_length;

	if (ct_base64_decode(text, bytes, sizeof(bytes), &length) < 0)
		return;
	FUZZ_CHECK(length <= text.length / 4 * 3, "%zu bytes of %zu", length, text.length);
	ct_base64_encode(bytes, length, encoded);
	FUZZ_CHECK(strlen(encoded) == text.length, "%s", encoded);
	FUZZ_CHECK(ct_base64_decode(
		       ct_slice_from_string(encoded), again, sizeof(again), &again_length) == 0 &&
		       again_length == length && memcmp(again, bytes, length) == 0,
	    "%s", encoded);
}

static void fuzz_number(struct ct_slice text)
{
	uint64_t value = 0;
	char printed[32];

	if (ct_slice_to_u64(text, UINT64_MAX, &value) < 0)
		return;
	int length = snprintf(printed, sizeof(printed), "%llu", (unsigned long long)value);
	while (text.length > (size_t)length && text.data[0] == '0') {
		text.data++;
		text.length--;
	}
	FUZZ_CHECK(ct_slice_equal(text, printed), "%s", printed);
}

static void fuzz_json(struct ct_slice text)
{
	struct ct_json *json = NULL, *again = NULL;

	if (ct_json_parse(text, &json) < 0)
		return;
	char *printed = ct_json_to_text(json);
	if (printed != NULL) { /* else: a number that has no JSON */
		FUZZ_CHECK(
		    ct_json_parse(ct_slice_from_string(printed), &again) == 0, "%s", printed);
		char *twice = ct_json_to_text(again);
		FUZZ_CHECK(
		    twice != NULL && strcmp(twice, printed) == 0, "%s, then %s", printed, twice);
		free(twice);
	}
	free(printed);
	ct_json_free(json);
	ct_json_free(again);
}

/* ---- options ---- */

static const struct ct_option_row rows[] = {
#define CT_ROW(field, kind, flag, otherwise, argument, help) \
	{ flag, CT_OPTION_##kind, otherwise, argument, help, offsetof(struct ct_config, field) },
#include "config/options.def"
#undef CT_ROW
};

/* Digits, and a letter for a power of 1024. */
static void check_size(const char *text, uint64_t number)
{
	unsigned __int128 value = 0;

	for (; *text >= '0' && *text <= '9'; text++) {
		value = value * 10 + (unsigned)(*text - '0');
		FUZZ_CHECK(value <= INT64_MAX, "too many digits");
	}
	const char *letter = *text != '\0' ? strchr("KkMmGgTt", *text) : NULL;
	if (letter != NULL)
		value <<= 10 * ((letter - "KkMmGgTt") / 2 + 1);
	FUZZ_CHECK(value == number, "another number");
}

static void fuzz_option(struct fuzz_input *input)
{
	const struct ct_option_row *row =
	    &rows[fuzz_byte(input) % (sizeof(rows) / sizeof(rows[0]))];
	char reason[CT_OPTION_REASON_BYTES] = "";
	char *value = NULL, *again = NULL;
	uint64_t number = 0, number_again = 0;
	char *text = copy_string((struct ct_slice){ (const char *)input->data, input->length });

	if (text == NULL)
		return;
	int r = ct_option_parse(row, text, &value, &number, reason);
	FUZZ_CHECK(r == 0 || (r == -EINVAL && reason[0] != '\0'), "%s: %d", row->flag, r);
	if (r == 0 && (row->kind == CT_OPTION_BYTES || row->kind == CT_OPTION_COUNT))
		check_size(text, number);
	/* What was taken is taken again, and means the same. */
	if (r == 0) {
		r = ct_option_parse(row, value, &again, &number_again, reason);
		FUZZ_CHECK(r == 0 && strcmp(again, value) == 0 && number_again == number,
		    "%s: %s, then %s", row->flag, value, r == 0 ? again : reason);
	}
	free(value);
	free(again);
	free(text);
}

static void fuzz_file(struct ct_slice text)
{
	char path[32];
	char *none[] = { NULL };
	char *arguments[] = { (char[]){ "--config" }, path, NULL };
	struct ct_config *config = NULL;
	char *message = NULL;

	int fd = memfd_create("options", MFD_CLOEXEC);
	FUZZ_CHECK(fd >= 0 && write(fd, text.data, text.length) == (ssize_t)text.length, "memfd");
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int r = ct_config_load(2, arguments, none, &config, &message);
	FUZZ_CHECK(r == 0 || r == -EINVAL, "%d", r);
	if (r < 0) {
		FUZZ_CHECK(message != NULL && strchr(message, '\n') == NULL, "%s", message);
		free(message);
	} else {
		ct_config_free(config);
	}
	(void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	uint8_t choice = fuzz_byte(&input);
	struct ct_slice text = { (const char *)input.data, input.length };

	switch (choice % 8) {
	case 0: fuzz_range(&input); break;
	case 1: fuzz_etags(text); break;
	case 2: fuzz_percent(text); break;
	case 3: fuzz_base64(text); break;
	case 4: fuzz_number(text); break;
	case 5: fuzz_json(text); break;
	case 6: fuzz_option(&input); break;
	default: fuzz_file(text); break;
	}
	return 0;
}
