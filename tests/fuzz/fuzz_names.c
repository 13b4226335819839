/*
 * File names, and the fields that carry them. The first byte chooses what the rest is: a name, a
 * Content-Disposition of a request or of a form's part, a tus Upload-Metadata, a Content-Type; or a
 * name that is packed as clients do, and must come out again as if it had come plain.
 */
#include "fuzz.h"

#include "base/buffer.h"
#include "base/text.h"
#include "uploads/filename.h"
#include "uploads/multipart.h"
#include "uploads/parameters.h"
#include "uploads/tus_metadata.h"

#include <string.h>

static bool ends_in_blank(const char *name)
{
	size_t length = strlen(name);

	return length > 0 && (name[0] == ' ' || name[length - 1] == ' ');
}

/* Whatever came, this is what is stored. */
static void check_clean(const char *name)
{
	char again[CT_FILENAME_MAX + 1];
	struct ct_slice slice = ct_slice_from_string(name);

	FUZZ_CHECK(slice.length <= CT_FILENAME_MAX && ct_slice_is_utf8(slice), "%s", name);
	FUZZ_CHECK(strcmp(name, ".") != 0 && strcmp(name, "..") != 0, "%s", name);
	FUZZ_CHECK(!ends_in_blank(name), "'%s'", name);
	for (const char *p = name; *p != '\0'; p++)
		FUZZ_CHECK(
		    (unsigned char)*p >= ' ' && *p != 0x7f && *p != '/' && *p != '\\', "%s", name);
	FUZZ_CHECK(ct_filename_clean(slice, again) == 0 && strcmp(again, name) == 0, "%s, then %s",
	    name, again);
}

static void fuzz_clean(struct ct_slice text)
{
	char name[CT_FILENAME_MAX + 1];

	if (ct_filename_clean(text, name) == 0)
		check_clean(name);
}

static void fuzz_disposition(struct ct_slice text)
{
	char name[CT_FILENAME_MAX + 1];
	bool is_file = false;

	if (ct_filename_from_disposition(text, name) == 0)
		check_clean(name);
	if (ct_filename_from_form(text, name, &is_file) == 0) {
		check_clean(name);
		FUZZ_CHECK(is_file || name[0] == '\0', "%s", name);
	}
}

static void fuzz_metadata(struct ct_slice text)
{
	struct ct_tus_metadata metadata;

	if (ct_tus_metadata_parse(text, &metadata) < 0)
		return;
	check_clean(metadata.filename);
	for (const char *p = metadata.filetype; *p != '\0'; p++)
		FUZZ_CHECK(*p >= ' ' && *p <= '~', "%s", metadata.filetype);
}

static void fuzz_content_type(struct ct_slice text)
{
	char boundary[CT_MULTIPART_MAX_BOUNDARY + 1];
	struct ct_multipart *multipart;

	if (ct_multipart_boundary(text, boundary) != 1)
		return;
	/* It asserts that it can be one. */
	FUZZ_CHECK(ct_multipart_new(boundary, &multipart) == 0, "no memory");
	ct_multipart_free(multipart);
}

static void fuzz_parameters(struct ct_slice text)
{
	struct ct_parameters parameters;
	struct ct_parameter parameter;
	char value[64];

	ct_parameters_begin(&parameters, text);
	while (ct_parameters_next(&parameters, &parameter) > 0) {
		FUZZ_CHECK(
		    parameter.name.data >= text.data &&
			parameter.name.data + parameter.name.length <= text.data + text.length,
		    "a name from elsewhere");
		if (parameter.value.data == NULL)
			continue;
		FUZZ_CHECK(
		    parameter.value.data >= text.data &&
			parameter.value.data + parameter.value.length <= text.data + text.length,
		    "a value from elsewhere");
		for (int quoting = CT_QUOTING_HTTP; quoting <= CT_QUOTING_FORM; quoting++) {
			if (ct_parameter_text(&parameter, quoting, value, sizeof(value)) == 0)
				FUZZ_CHECK(strlen(value) <= parameter.value.length, "%s", value);
		}
	}
}

/* ---- packed names ---- */

/* As browsers do it in a form. */
static void pack_for_form(struct ct_slice name, struct ct_buffer *text)
{
	ct_buffer_append_string(text, "form-data; name=\"f\"; filename=\"");
	for (size_t i = 0; i < name.length; i++) {
		if (name.data[i] == '"')
			ct_buffer_append_string(text, "%22");
		else if (name.data[i] == '\r' || name.data[i] == '\n')
			ct_buffer_append_string(text, name.data[i] == '\r' ? "%0D" : "%0A");
		else
			ct_buffer_append(text, name.data + i, 1);
	}
	ct_buffer_append_string(text, "\"");
}

/* RFC 9110 section 5.6.4 */
static void pack_quoted(struct ct_slice name, struct ct_buffer *text)
{
	ct_buffer_append_string(text, "attachment; filename=\"");
	for (size_t i = 0; i < name.length; i++) {
		if (name.data[i] == '"' || name.data[i] == '\\')
			ct_buffer_append_string(text, "\\");
		ct_buffer_append(text, name.data + i, 1);
	}
	ct_buffer_append_string(text, "\"; size=1");
}

static void expect_name(int r, const char *name, const char *plain, const char *packed)
{
	FUZZ_CHECK(r == 0, "%s: %d", packed, r);
	FUZZ_CHECK(strcmp(name, plain) == 0, "%s gave %s, not %s", packed, name, plain);
}

/* Names that are written as clients do come out as if they had come plain. */
static void fuzz_packed(struct ct_slice text)
{
	char plain[CT_FILENAME_MAX + 1], name[CT_FILENAME_MAX + 1], packed[2048];
	struct ct_buffer buffer;
	struct ct_tus_metadata metadata;
	bool is_file;

	if (text.length > 300 || memchr(text.data, '\0', text.length) != NULL ||
	    ct_filename_clean(text, plain) < 0)
		return;
	ct_buffer_init(&buffer, 4096);
	pack_quoted(text, &buffer);
	struct ct_slice field = { buffer.data, buffer.length };
	expect_name(ct_filename_from_disposition(field, name), name, plain, buffer.data);
	ct_buffer_done(&buffer);

	int length = snprintf(packed, sizeof(packed), "form-data; filename*=UTF-8''");
	if (ct_percent_encode(text, packed + length, sizeof(packed) - (size_t)length) == 0)
		expect_name(ct_filename_from_form(ct_slice_from_string(packed), name, &is_file),
		    name, plain, packed);
	length = snprintf(packed, sizeof(packed), "a YQ==,filename ");
	ct_base64_encode(text.data, text.length, packed + length);
	expect_name(ct_tus_metadata_parse(ct_slice_from_string(packed), &metadata),
	    metadata.filename, plain, packed);

	/* A % or a backslash in a form may mean two things. */
	if (memchr(text.data, '%', text.length) != NULL ||
	    memchr(text.data, '\\', text.length) != NULL)
		return;
	ct_buffer_init(&buffer, 4096);
	pack_for_form(text, &buffer);
	field = (struct ct_slice){ buffer.data, buffer.length };
	expect_name(ct_filename_from_form(field, name, &is_file), name, plain, buffer.data);
	ct_buffer_done(&buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	uint8_t choice = fuzz_byte(&input);
	struct ct_slice text = { (const char *)input.data, input.length };

	switch (choice % 6) {
	case 0: fuzz_clean(text); break;
	case 1: fuzz_disposition(text); break;
	case 2: fuzz_metadata(text); break;
	case 3: fuzz_content_type(text); break;
	case 4: fuzz_parameters(text); break;
	default: fuzz_packed(text); break;
	}
	return 0;
}
