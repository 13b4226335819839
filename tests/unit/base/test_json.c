#include "base/cleanup.h"
#include "base/json.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <string.h>

CT_DEFINE_CLEANUP(json_cleanup, struct ct_json *, ct_json_free)

static void assert_prints(const struct ct_json *json, const char *expected)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer buffer;
	ct_buffer_init(&buffer, 4096);
	cr_assert_eq(ct_json_print(json, &buffer), 0);
	cr_assert_str_eq(buffer.data, expected);
	ct_cleanup(ct_free_pointer) char *text = ct_json_to_text(json);
	cr_assert_str_eq(text, expected);
}

static void assert_failed(const struct ct_json *json)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer buffer;
	ct_buffer_init(&buffer, 4096);
	cr_assert_eq(ct_json_print(json, &buffer), -ENOMEM);
	cr_assert_eq(buffer.length, 0);
	cr_assert_null(ct_json_to_text(json));
}

Test(json, builds_in_order)
{
	ct_cleanup(json_cleanup) struct ct_json *object = ct_json_object();
	struct ct_json *array = ct_json_array();
	struct ct_json *item = ct_json_object();
	ct_json_set_text(object, "text", "a\"\n\xc3\xbc");
	ct_json_set_text(object, "none", NULL);
	ct_json_set_number(object, "number", INT64_C(9007199254740993));
	ct_json_set_number(object, "least", INT64_MIN);
	ct_json_set_real(object, "real", 0.1);
	ct_json_set_bool(object, "yes", true);
	ct_json_set_bool(object, "no", false);
	ct_json_set_null(object, "null");
	ct_json_set_time(object, "never", 0);
	ct_json_set_time(object, "then", 1);
	ct_json_set_number(item, "w", 320);
	ct_json_append(array, item);
	ct_json_set(object, "array", array);
	ct_json_set_parsed(object, "parsed", "{\"a\":[1,2]}");
	ct_json_set_parsed(object, "scalar", "17");
	ct_json_set_parsed(object, "bad", "{");
	ct_json_set_parsed(object, "missing", NULL);
	assert_prints(object,
	    "{\"text\":\"a\\\"\\n\xc3\xbc\",\"none\":null,\"number\":9007199254740993,"
	    "\"least\":-9223372036854775808,\"real\":0.1,\"yes\":true,\"no\":false,\"null\":null,"
	    "\"never\":null,\"then\":\"1970-01-01T00:00:00.001Z\",\"array\":[{\"w\":320}],"
	    "\"parsed\":{\"a\":[1,2]},\"scalar\":17,\"bad\":null,\"missing\":null}");
}

Test(json, setting_again_replaces)
{
	ct_cleanup(json_cleanup) struct ct_json *object = ct_json_object();
	ct_json_set_number(object, "a", 1);
	ct_json_set_number(object, "a", 2);
	assert_prints(object, "{\"a\":2}");
}

Test(json, large_integers_survive)
{
	struct ct_json *json = NULL;
	cr_assert_eq(ct_json_parse(CT_SLICE_OF("{\"n\":9007199254740993}"), &json), 0);
	cr_assert_eq(ct_json_get_number(json, "n", 0), INT64_C(9007199254740993));
	assert_prints(json, "{\"n\":9007199254740993}");
	ct_json_free(json);
}

Test(json, failed_step_latches_up_to_the_root)
{
	ct_cleanup(json_cleanup) struct ct_json *root = ct_json_object();
	struct ct_json *array = ct_json_array();
	struct ct_json *item = ct_json_object();
	ct_json_set_text(item, "broken", "\xff");
	assert_failed(item);
	ct_json_set_number(item, "fine", 1);
	ct_json_append(array, item);
	assert_failed(array);
	ct_json_set(root, "array", array);
	ct_json_set_number(root, "fine", 1);
	assert_failed(root);
}

Test(json, no_memory_latches)
{
	ct_cleanup(json_cleanup) struct ct_json *object = ct_json_object();
	ct_cleanup(json_cleanup) struct ct_json *array = ct_json_array();
	ct_json_set(object, "child", NULL);
	assert_failed(object);
	ct_json_append(array, NULL);
	assert_failed(array);
	assert_failed(NULL);
	ct_json_set_text(NULL, "a", "b");
	ct_json_set(NULL, "a", ct_json_object());
	ct_json_append(NULL, ct_json_object());
}

Test(json, what_json_cannot_say_latches)
{
	ct_cleanup(json_cleanup) struct ct_json *object = ct_json_object();
	ct_json_set_real(object, "nan", NAN);
	assert_failed(object);
}

Test(json, print_keeps_to_the_maximum)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer buffer;
	ct_cleanup(json_cleanup) struct ct_json *object = ct_json_object();
	ct_buffer_init(&buffer, 6);
	ct_json_set_number(object, "a", 12);
	cr_assert_eq(ct_json_print(object, &buffer), -EMSGSIZE);
}

Test(json, reads)
{
	static const char text[] =
	    "{\"t\":\"x\",\"n\":-5,\"r\":2.5,\"b\":true,\"z\":null,\"a\":[{\"k\":1},\"s\"]}";
	struct ct_json *json = NULL;
	cr_assert_eq(ct_json_parse(ct_slice_from_string(text), &json), 0);
	cr_assert_str_eq(ct_json_get_text(json, "t"), "x");
	cr_assert_null(ct_json_get_text(json, "n"));
	cr_assert_null(ct_json_get_text(json, "none"));
	cr_assert_eq(ct_json_get_number(json, "n", 1), -5);
	cr_assert_eq(ct_json_get_number(json, "r", 1), 1);
	cr_assert_eq(ct_json_get_number(json, "t", 1), 1);
	cr_assert_float_eq(ct_json_get_real(json, "r", 0), 2.5, 1e-9);
	cr_assert_float_eq(ct_json_get_real(json, "n", 0), -5, 1e-9);
	cr_assert(ct_json_get_bool(json, "b", false));
	cr_assert(ct_json_get_bool(json, "z", true));
	cr_assert_null(ct_json_get(json, "none"));
	cr_assert_null(ct_json_get_text(NULL, "t"));

	struct ct_json *array = ct_json_get(json, "a");
	ct_json_free(json); /* a child keeps what it shares */
	cr_assert_eq(ct_json_length(array), 2);
	struct ct_json *item = ct_json_at(array, 0);
	cr_assert_eq(ct_json_get_number(item, "k", 0), 1);
	cr_assert_null(ct_json_at(array, 2));
	cr_assert_eq(ct_json_length(item), 0);
	cr_assert_eq(ct_json_length(NULL), 0);
	cr_assert_null(ct_json_at(NULL, 0));
	ct_json_free(item);
	ct_json_free(array);
}

static int parse_length(const char *text, size_t length)
{
	struct ct_json *json = NULL;
	int r = ct_json_parse((struct ct_slice){ text, length }, &json);
	cr_assert_eq(r == 0, json != NULL);
	ct_json_free(json);
	return r;
}

Test(json, refuses)
{
	static const char *const bad[] = { "", " ", "{", "{}x", "{} {}", "1", "\"a\"", "null",
		"{\"a\":1,\"a\":2}", "{\"a\":\"\xff\"}", "{\"a\":\"\xed\xa0\x80\"}",
		"{\"a\":\"\\u0000\"}", "{\"a\":\"\\ud800\"}", "{\"a\":9223372036854775808}",
		"{\"a\":01}", "{\"a\":1e999}", "[1,]", "{'a':1}", "[NaN]", "// x\n{}" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(parse_length(bad[i], strlen(bad[i])), -EINVAL, "%s", bad[i]);
	cr_assert_eq(parse_length("{}\0", 3), -EINVAL);
	cr_assert_eq(parse_length(NULL, 0), -EINVAL);
}

static int parse_nested(size_t depth)
{
	char text[4096];
	memset(text, '[', depth);
	memset(text + depth, ']', depth);
	return parse_length(text, 2 * depth);
}

Test(json, depth_is_bounded)
{
	cr_assert_eq(parse_nested(64), 0);
	cr_assert_eq(parse_nested(65), -EINVAL);
	cr_assert_eq(parse_nested(2000), -EINVAL);
	/* Brackets inside of strings don't count, nor do those side by side. */
	char text[512] = "[\"\\\"";
	memset(text + 4, '[', 200);
	memcpy(text + 204, "\"]", 3);
	cr_assert_eq(parse_length(text, strlen(text)), 0);
	memcpy(text, "[[]", 4);
	for (size_t at = 3; at < 300; at += 3)
		memcpy(text + at, ",[]", 4);
	memcpy(text + 300, "]", 2);
	cr_assert_eq(parse_length(text, strlen(text)), 0);
}
