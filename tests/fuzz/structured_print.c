#include "structured_print.h"

#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX CT_STRUCTURED_MAX_BYTES

static void print_encoded(
    struct ct_structured_writer *writer, const struct ct_structured_value *value)
{
	ct_cleanup(ct_free_pointer) char *data = malloc(TEXT_MAX + 1);
	struct ct_slice text = { data, 0 };
	int r = data == NULL ? -1
		: value->type == CT_STRUCTURED_BYTES
		    ? ct_structured_bytes(value, data, TEXT_MAX, &text.length)
		    : ct_structured_text(value, data, TEXT_MAX + 1, &text.length);

	if (r < 0)
		abort(); /* nothing decodes to more than it came in */
	if (value->type == CT_STRUCTURED_BYTES)
		ct_structured_write_bytes(writer, data, text.length);
	else if (value->type == CT_STRUCTURED_STRING)
		ct_structured_write_string(writer, text);
	else if (value->type == CT_STRUCTURED_TOKEN)
		ct_structured_write_token(writer, text);
	else
		ct_structured_write_display(writer, text);
}

static void print_value(
    struct ct_structured_writer *writer, const struct ct_structured_value *value)
{
	switch (value->type) {
	case CT_STRUCTURED_INTEGER: ct_structured_write_integer(writer, value->number); break;
	case CT_STRUCTURED_DECIMAL: ct_structured_write_decimal(writer, value->number); break;
	case CT_STRUCTURED_DATE: ct_structured_write_date(writer, value->number); break;
	case CT_STRUCTURED_BOOLEAN: ct_structured_write_boolean(writer, value->number != 0); break;
	default: print_encoded(writer, value); break;
	}
}

/* A NUL-terminated copy of a key; the caller's. */
static char *copy_key(struct ct_slice key)
{
	char *copy = key.data != NULL ? strndup(key.data, key.length) : NULL;

	if (key.data != NULL && copy == NULL)
		abort();
	return copy;
}

static void print_parameters(
    struct ct_structured_writer *writer, const struct ct_structured_member *member)
{
	struct ct_structured parameters;
	struct ct_structured_member parameter;

	ct_structured_parameters(member, &parameters);
	while (ct_structured_next(&parameters, &parameter)) {
		ct_cleanup(ct_free_pointer) char *key = copy_key(parameter.key);
		ct_structured_write_parameter(writer, key);
		print_value(writer, &parameter.value);
	}
}

static void print_member(
    struct ct_structured_writer *writer, const struct ct_structured_member *member)
{
	ct_cleanup(ct_free_pointer) char *key = copy_key(member->key);

	ct_structured_write_member(writer, key);
	if (member->value.type == CT_STRUCTURED_INNER) {
		struct ct_structured inner;
		struct ct_structured_member item;

		ct_structured_inner(member, &inner);
		ct_structured_write_inner_begin(writer);
		while (ct_structured_next(&inner, &item)) {
			ct_structured_write_member(writer, NULL);
			print_value(writer, &item.value);
			print_parameters(writer, &item);
		}
		ct_structured_write_inner_end(writer);
	} else {
		print_value(writer, &member->value);
	}
	print_parameters(writer, member);
}

int structured_print(enum structured_kind kind, struct ct_slice field, struct ct_buffer *text)
{
	struct ct_structured_writer writer = { .buffer = text };
	struct ct_structured walk;
	struct ct_structured_member member;
	int r;

	if (kind == STRUCTURED_ITEM) {
		r = ct_structured_item(field, &member);
		if (r == 0)
			print_member(&writer, &member);
	} else {
		r = kind == STRUCTURED_LIST ? ct_structured_list(field, &walk)
					    : ct_structured_dictionary(field, &walk);
		while (r == 0 && ct_structured_next(&walk, &member))
			print_member(&writer, &member);
	}
	return r < 0 ? r : ct_structured_writer_error(&writer);
}
