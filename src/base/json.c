/*
 * A node is a reference to a value of jansson and a flag: a failed step sets it, and putting a
 * failed node into another passes it on, so that the root knows when it is printed.
 */
#include "base/json.h"
#include "base/assert.h"
#include "base/clock.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* jansson recurses up to 2048 levels, too many for our stacks. */
#define MAX_DEPTH 64
/* 15 digits are what a double keeps of any decimal number: 0.1 prints as 0.1. */
#define PRINT_FLAGS (JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15))

struct ct_json {
	json_t *value;
	bool failed;
};

/* Takes over `value`; NULL if it is NULL or without memory. */
static struct ct_json *wrap(json_t *value)
{
	if (value == NULL)
		return NULL;
	struct ct_json *json = calloc(1, sizeof(*json));
	if (json == NULL) {
		json_decref(value);
		return NULL;
	}
	json->value = value;
	return json;
}

struct ct_json *ct_json_object(void)
{
	return wrap(json_object());
}

struct ct_json *ct_json_array(void)
{
	return wrap(json_array());
}

void ct_json_free(struct ct_json *json)
{
	if (json == NULL)
		return;
	json_decref(json->value);
	free(json);
}

/* Takes over `value`, which is NULL when making it has failed. */
static void set_value(struct ct_json *object, const char *key, json_t *value)
{
	if (object == NULL) {
		json_decref(value);
		return;
	}
	CT_ASSERT(json_is_object(object->value));
	if (json_object_set_new(object->value, key, value) < 0)
		object->failed = true;
}

void ct_json_set_text(struct ct_json *object, const char *key, const char *text)
{
	set_value(object, key, text != NULL ? json_string(text) : json_null());
}

void ct_json_set_number(struct ct_json *object, const char *key, int64_t number)
{
	set_value(object, key, json_integer(number));
}

void ct_json_set_real(struct ct_json *object, const char *key, double number)
{
	set_value(object, key, json_real(number));
}

void ct_json_set_bool(struct ct_json *object, const char *key, bool value)
{
	set_value(object, key, json_boolean(value));
}

void ct_json_set_null(struct ct_json *object, const char *key)
{
	set_value(object, key, json_null());
}

void ct_json_set_time(struct ct_json *object, const char *key, int64_t wall_ms)
{
	char text[CT_TIME_RFC3339_CHARS + 1];
	if (wall_ms == 0) {
		ct_json_set_null(object, key);
		return;
	}
	ct_time_format_rfc3339(wall_ms, text);
	ct_json_set_text(object, key, text);
}

/* Ends the node and returns what it held; NULL also when something in it has failed. */
static json_t *unwrap(struct ct_json *json)
{
	if (json == NULL)
		return NULL;
	json_t *value = json->failed ? NULL : json_incref(json->value);
	ct_json_free(json);
	return value;
}

void ct_json_set(struct ct_json *object, const char *key, struct ct_json *child)
{
	set_value(object, key, unwrap(child));
}

static void append_value(struct ct_json *array, json_t *value)
{
	if (array == NULL) {
		json_decref(value);
		return;
	}
	CT_ASSERT(json_is_array(array->value));
	if (json_array_append_new(array->value, value) < 0)
		array->failed = true;
}

void ct_json_append(struct ct_json *array, struct ct_json *child)
{
	append_value(array, unwrap(child));
}

void ct_json_append_text(struct ct_json *array, const char *text)
{
	append_value(array, json_string(text));
}

static bool is_too_deep(struct ct_slice text)
{
	size_t depth = 0;
	bool in_string = false;
	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		if (c == '"')
			in_string = !in_string;
		else if (in_string && c == '\\')
			i++;
		else if (!in_string && (c == '[' || c == '{') && ++depth > MAX_DEPTH)
			return true;
		else if (!in_string && (c == ']' || c == '}') && depth > 0)
			depth--;
	}
	return false;
}

static int parse(struct ct_slice text, size_t flags, json_t **ret_value)
{
	json_error_t error;
	if (text.data == NULL || is_too_deep(text))
		return -EINVAL;
	json_t *value = json_loadb(text.data, text.length, flags | JSON_REJECT_DUPLICATES, &error);
	if (value == NULL)
		return json_error_code(&error) == json_error_out_of_memory ? -ENOMEM : -EINVAL;
	*ret_value = value;
	return 0;
}

void ct_json_set_parsed(struct ct_json *object, const char *key, const char *text)
{
	json_t *value = NULL;
	int r = parse(ct_slice_from_string(text), JSON_DECODE_ANY, &value);
	if (r == -EINVAL)
		value = json_null();
	set_value(object, key, value); /* NULL after -ENOMEM, which latches */
}

int ct_json_parse(struct ct_slice text, struct ct_json **ret_json)
{
	json_t *value;
	int r = parse(text, 0, &value);
	if (r < 0)
		return r;
	struct ct_json *json = wrap(value);
	if (json == NULL)
		return -ENOMEM;
	*ret_json = json;
	return 0;
}

static int append_piece(const char *data, size_t length, void *arg)
{
	struct ct_buffer *buffer = arg;
	ct_buffer_append(buffer, data, length);
	return ct_buffer_error(buffer) < 0 ? -1 : 0;
}

int ct_json_print(const struct ct_json *json, struct ct_buffer *buffer)
{
	if (json == NULL || json->failed)
		return -ENOMEM;
	int r = json_dump_callback(json->value, append_piece, buffer, PRINT_FLAGS);
	if (ct_buffer_error(buffer) < 0)
		return ct_buffer_error(buffer);
	return r < 0 ? -ENOMEM : 0;
}

char *ct_json_to_text(const struct ct_json *json)
{
	if (json == NULL || json->failed)
		return NULL;
	return json_dumps(json->value, PRINT_FLAGS);
}

static json_t *find(const struct ct_json *object, const char *key)
{
	return object != NULL ? json_object_get(object->value, key) : NULL;
}

const char *ct_json_get_text(const struct ct_json *object, const char *key)
{
	return json_string_value(find(object, key));
}

int64_t ct_json_get_number(const struct ct_json *object, const char *key, int64_t otherwise)
{
	const json_t *value = find(object, key);
	return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

double ct_json_get_real(const struct ct_json *object, const char *key, double otherwise)
{
	const json_t *value = find(object, key);
	return json_is_number(value) ? json_number_value(value) : otherwise;
}

bool ct_json_get_bool(const struct ct_json *object, const char *key, bool otherwise)
{
	const json_t *value = find(object, key);
	return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

struct ct_json *ct_json_get(const struct ct_json *object, const char *key)
{
	return wrap(json_incref(find(object, key)));
}

size_t ct_json_length(const struct ct_json *array)
{
	return array != NULL ? json_array_size(array->value) : 0;
}

struct ct_json *ct_json_at(const struct ct_json *array, size_t index)
{
	if (array == NULL)
		return NULL;
	return wrap(json_incref(json_array_get(array->value, index)));
}
