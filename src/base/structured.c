/*
 * The algorithms of RFC 9651 section 4.2, each on a rest that shrinks from the front. A walk runs
 * the same functions over text that has been checked, so it cannot fail.
 */
#include "base/structured.h"
#include "base/assert.h"

#include <errno.h>
#include <string.h>

#define INTEGER_DIGITS 15
#define DECIMAL_DIGITS 12 /* before the point */
#define FRACTION_DIGITS 3

static bool is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

static bool is_lower(char byte)
{
	return byte >= 'a' && byte <= 'z';
}

static bool is_alpha(char byte)
{
	return is_lower(byte) || (byte >= 'A' && byte <= 'Z');
}

static bool is_among(char byte, const char *set)
{
	return byte != '\0' && strchr(set, byte) != NULL;
}

static bool is_visible(char byte)
{
	return byte >= ' ' && byte <= '~';
}

static bool is_key_byte(char byte)
{
	return is_lower(byte) || is_digit(byte) || is_among(byte, "_-.*");
}

static bool is_token_byte(char byte)
{
	return is_alpha(byte) || is_digit(byte) || is_among(byte, "!#$%&'*+-.^_`|~:/");
}

/* ---- a rest ---- */

static char first_of(const struct ct_slice *rest)
{
	return rest->length > 0 ? rest->data[0] : '\0'; /* NUL bytes stand nowhere in the grammar */
}

static void drop(struct ct_slice *rest, size_t length)
{
	rest->data += length;
	rest->length -= length;
}

static bool take(struct ct_slice *rest, char byte)
{
	if (first_of(rest) != byte || rest->length == 0)
		return false;
	drop(rest, 1);
	return true;
}

static void skip(struct ct_slice *rest, const char *set)
{
	while (is_among(first_of(rest), set))
		drop(rest, 1);
}

static struct ct_slice take_while(struct ct_slice *rest, bool (*is_one)(char byte))
{
	struct ct_slice taken = { rest->data, 0 };

	while (taken.length < rest->length && is_one(rest->data[taken.length]))
		taken.length++;
	drop(rest, taken.length);
	return taken;
}

bool ct_structured_is_key(struct ct_slice text)
{
	if (!is_lower(first_of(&text)) && first_of(&text) != '*')
		return false;
	(void)take_while(&text, is_key_byte);
	return text.length == 0;
}

bool ct_structured_is_token(struct ct_slice text)
{
	if (!is_alpha(first_of(&text)) && first_of(&text) != '*')
		return false;
	(void)take_while(&text, is_token_byte);
	return text.length == 0;
}

/* ---- bare items ---- */

static int64_t number_of(struct ct_slice digits)
{
	int64_t number = 0;

	for (size_t i = 0; i < digits.length; i++)
		number = number * 10 + (digits.data[i] - '0'); /* 15 at most */
	return number;
}

/* Behind the point: 1 to 3 digits. */
static int parse_fraction(
    struct ct_slice *rest, struct ct_slice whole, struct ct_structured_value *ret_value)
{
	struct ct_slice fraction = take_while(rest, is_digit);
	int64_t thousandths = number_of((struct ct_slice){
	    fraction.data, fraction.length > FRACTION_DIGITS ? 0 : fraction.length });

	if (whole.length > DECIMAL_DIGITS || fraction.length == 0 ||
	    fraction.length > FRACTION_DIGITS)
		return -EINVAL;
	for (size_t i = fraction.length; i < FRACTION_DIGITS; i++)
		thousandths *= 10;
	ret_value->type = CT_STRUCTURED_DECIMAL;
	ret_value->number = number_of(whole) * 1000 + thousandths;
	return 0;
}

static int parse_number(struct ct_slice *rest, struct ct_structured_value *ret_value)
{
	bool is_negative = take(rest, '-');
	struct ct_slice whole = take_while(rest, is_digit);
	int r = 0;

	if (whole.length == 0 || whole.length > INTEGER_DIGITS)
		return -EINVAL;
	ret_value->type = CT_STRUCTURED_INTEGER;
	ret_value->number = number_of(whole);
	if (take(rest, '.'))
		r = parse_fraction(rest, whole, ret_value);
	if (is_negative)
		ret_value->number = -ret_value->number;
	return r;
}

static int parse_date(struct ct_slice *rest, struct ct_structured_value *ret_value)
{
	drop(rest, 1);
	int r = parse_number(rest, ret_value);
	if (r < 0 || ret_value->type != CT_STRUCTURED_INTEGER)
		return -EINVAL;
	ret_value->type = CT_STRUCTURED_DATE;
	return 0;
}

static int parse_string(struct ct_slice *rest, struct ct_structured_value *ret_value)
{
	drop(rest, 1);
	ret_value->type = CT_STRUCTURED_STRING;
	ret_value->raw = (struct ct_slice){ rest->data, 0 };
	while (rest->length > 0 && is_visible(rest->data[0])) {
		if (take(rest, '"')) {
			ret_value->raw.length = (size_t)(rest->data - ret_value->raw.data) - 1;
			return 0;
		}
		if (take(rest, '\\') && !is_among(first_of(rest), "\"\\"))
			return -EINVAL;
		drop(rest, 1);
	}
	return -EINVAL;
}

static int parse_token(struct ct_slice *rest, struct ct_structured_value *ret_value)
{
	ret_value->type = CT_STRUCTURED_TOKEN;
	ret_value->raw = take_while(rest, is_token_byte);
	return 0;
}

/* 0 to 63; -1: not of the alphabet. */
static int sextet(char byte)
{
	if (byte >= 'A' && byte <= 'Z')
		return byte - 'A';
	if (is_lower(byte))
		return byte - 'a' + 26;
	if (is_digit(byte))
		return byte - '0' + 52;
	return byte == '+' ? 62 : byte == '/' ? 63 : -1;
}

static bool is_base64_byte(char byte)
{
	return sextet(byte) >= 0;
}

static bool is_padding(char byte)
{
	return byte == '=';
}

/* Padding may be missing, but what is there must fit; the last bits may be anything. */
static int parse_bytes(struct ct_slice *rest, struct ct_structured_value *ret_value)
{
	drop(rest, 1);
	struct ct_slice digits = take_while(rest, is_base64_byte);
	struct ct_slice padding = take_while(rest, is_padding);

	if (digits.length % 4 == 1 || !take(rest, ':'))
		return -EINVAL;
	if (padding.length > 0 && padding.length != (4 - digits.length % 4) % 4)
		return -EINVAL;
	ret_value->type = CT_STRUCTURED_BYTES;
	ret_value->raw = digits;
	return 0;
}

static int parse_boolean(struct ct_slice *rest, struct ct_structured_value *ret_value)
{
	drop(rest, 1);
	if (!is_among(first_of(rest), "01"))
		return -EINVAL;
	ret_value->type = CT_STRUCTURED_BOOLEAN;
	ret_value->number = first_of(rest) - '0';
	drop(rest, 1);
	return 0;
}

/* ---- display strings: percent-encoded UTF-8 in ASCII ---- */

struct utf8 {
	unsigned left; /* bytes of this character that are still to come */
	uint8_t low, high;
};

/* RFC 3629 section 4, a byte at a time. */
static bool utf8_take(struct utf8 *state, uint8_t byte)
{
	if (state->left > 0) {
		bool fits = byte >= state->low && byte <= state->high;

		*state = (struct utf8){ state->left - 1, 0x80, 0xbf };
		return fits;
	}
	*state = (struct utf8){ 0, 0x80, 0xbf };
	if (byte < 0x80)
		return true;
	if (byte < 0xc2 || byte > 0xf4)
		return false;
	state->left = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
	if (byte == 0xe0 || byte == 0xf0)
		state->low = byte == 0xe0 ? 0xa0 : 0x90;
	if (byte == 0xed || byte == 0xf4)
		state->high = byte == 0xed ? 0x9f : 0x8f;
	return true;
}

/* Upper case is none here. */
static int hex_digit(char byte)
{
	if (is_digit(byte))
		return byte - '0';
	return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* One byte of the text, decoded; or -1. */
static int take_display_byte(struct ct_slice *rest)
{
	if (rest->length == 0 || !is_visible(rest->data[0]))
		return -1;
	int byte = rest->data[0];
	drop(rest, 1);
	if (byte != '%')
		return byte;
	if (rest->length < 2 || hex_digit(rest->data[0]) < 0 || hex_digit(rest->data[1]) < 0)
		return -1;
	byte = hex_digit(rest->data[0]) * 16 + hex_digit(rest->data[1]);
	drop(rest, 2);
	return byte;
}

static int parse_display(struct ct_slice *rest, struct ct_structured_value *ret_value)
{
	struct utf8 state = { 0 };

	drop(rest, 1);
	if (!take(rest, '"'))
		return -EINVAL;
	ret_value->type = CT_STRUCTURED_DISPLAY;
	ret_value->raw = (struct ct_slice){ rest->data, 0 };
	while (!take(rest, '"')) {
		int byte = take_display_byte(rest);

		if (byte < 0 || !utf8_take(&state, (uint8_t)byte))
			return -EINVAL;
	}
	ret_value->raw.length = (size_t)(rest->data - ret_value->raw.data) - 1;
	return state.left == 0 ? 0 : -EINVAL;
}

static int parse_bare(struct ct_slice *rest, struct ct_structured_value *ret_value)
{
	char byte = first_of(rest);

	*ret_value = (struct ct_structured_value){ .raw = CT_SLICE_ABSENT };
	switch (byte) {
	case '"': return parse_string(rest, ret_value);
	case ':': return parse_bytes(rest, ret_value);
	case '?': return parse_boolean(rest, ret_value);
	case '@': return parse_date(rest, ret_value);
	case '%': return parse_display(rest, ret_value);
	default: break;
	}
	if (is_digit(byte) || byte == '-')
		return parse_number(rest, ret_value);
	return is_alpha(byte) || byte == '*' ? parse_token(rest, ret_value) : -EINVAL;
}

/* ---- what is made of them ---- */

static int parse_key(struct ct_slice *rest, struct ct_slice *ret_key)
{
	if (!is_lower(first_of(rest)) && first_of(rest) != '*')
		return -EINVAL;
	*ret_key = take_while(rest, is_key_byte);
	return 0;
}

static const struct ct_structured_value yes = { .type = CT_STRUCTURED_BOOLEAN, .number = 1 };

/* 1: one, 0: none is left. */
static int parse_parameter(struct ct_slice *rest, struct ct_structured_member *ret_parameter)
{
	if (!take(rest, ';'))
		return 0;
	skip(rest, " ");
	*ret_parameter = (struct ct_structured_member){ .value = yes };
	int r = parse_key(rest, &ret_parameter->key);
	if (r == 0 && take(rest, '='))
		r = parse_bare(rest, &ret_parameter->value);
	return r < 0 ? r : 1;
}

static int parse_parameters(struct ct_slice *rest, struct ct_slice *ret_text)
{
	struct ct_structured_member parameter;
	const char *begin = rest->data;
	int r;

	do
		r = parse_parameter(rest, &parameter);
	while (r > 0);
	*ret_text = (struct ct_slice){ begin, (size_t)(rest->data - begin) };
	return r;
}

static int parse_item(struct ct_slice *rest, struct ct_structured_member *ret_item)
{
	int r = parse_bare(rest, &ret_item->value);

	return r < 0 ? r : parse_parameters(rest, &ret_item->parameters);
}

static int parse_inner(struct ct_slice *rest, struct ct_structured_member *ret_member)
{
	struct ct_structured_member item;

	drop(rest, 1);
	const char *begin = rest->data;
	for (;;) {
		skip(rest, " ");
		const char *end = rest->data;
		if (take(rest, ')')) {
			ret_member->value = (struct ct_structured_value){
				.type = CT_STRUCTURED_INNER,
				.raw = { begin, (size_t)(end - begin) },
			};
			return parse_parameters(rest, &ret_member->parameters);
		}
		int r = parse_item(rest, &item);
		if (r < 0 || !is_among(first_of(rest), " )"))
			return -EINVAL;
	}
}

static int parse_item_or_inner(struct ct_slice *rest, struct ct_structured_member *ret_member)
{
	return first_of(rest) == '(' ? parse_inner(rest, ret_member) : parse_item(rest, ret_member);
}

static int parse_pair(struct ct_slice *rest, struct ct_structured_member *ret_member)
{
	int r = parse_key(rest, &ret_member->key);

	if (r < 0)
		return r;
	if (take(rest, '='))
		return parse_item_or_inner(rest, ret_member);
	ret_member->value = yes;
	return parse_parameters(rest, &ret_member->parameters);
}

/* The comma, and that something follows it. */
static int parse_separator(struct ct_slice *rest)
{
	skip(rest, " \t");
	if (rest->length == 0)
		return 0;
	if (!take(rest, ','))
		return -EINVAL;
	skip(rest, " \t");
	return rest->length == 0 ? -EINVAL : 0;
}

/* 1: a member; 0: the end. */
static int step(struct ct_structured *walk, struct ct_structured_member *ret_member)
{
	struct ct_slice *rest = &walk->rest;

	*ret_member = (struct ct_structured_member){ .key = CT_SLICE_ABSENT };
	if (walk->kind == CT_STRUCTURED_IN_PARAMETERS)
		return parse_parameter(rest, ret_member);
	if (walk->kind == CT_STRUCTURED_IN_INNER)
		skip(rest, " ");
	if (rest->length == 0)
		return 0;
	if (walk->kind == CT_STRUCTURED_IN_INNER)
		return parse_item(rest, ret_member) < 0 ? -EINVAL : 1;
	int r = walk->kind == CT_STRUCTURED_IN_DICTIONARY ? parse_pair(rest, ret_member)
							  : parse_item_or_inner(rest, ret_member);
	if (r == 0)
		r = parse_separator(rest);
	return r < 0 ? r : 1;
}

static int begin(struct ct_slice field, struct ct_structured *walk)
{
	struct ct_structured_member member;

	if (field.data == NULL || field.length > CT_STRUCTURED_MAX_BYTES)
		return -EINVAL;
	skip(&field, " ");
	walk->rest = field;
	struct ct_structured check = *walk;
	int r;
	do
		r = step(&check, &member);
	while (r > 0);
	return r;
}

int ct_structured_item(struct ct_slice field, struct ct_structured_member *ret_item)
{
	struct ct_structured_member item = { .key = CT_SLICE_ABSENT };

	if (field.data == NULL || field.length > CT_STRUCTURED_MAX_BYTES)
		return -EINVAL;
	skip(&field, " ");
	int r = parse_item(&field, &item);
	if (r < 0)
		return r;
	skip(&field, " ");
	if (field.length > 0)
		return -EINVAL;
	*ret_item = item;
	return 0;
}

int ct_structured_list(struct ct_slice field, struct ct_structured *ret_list)
{
	struct ct_structured walk = { .kind = CT_STRUCTURED_IN_LIST };
	int r = begin(field, &walk);

	if (r == 0)
		*ret_list = walk;
	return r;
}

int ct_structured_dictionary(struct ct_slice field, struct ct_structured *ret_dictionary)
{
	struct ct_structured walk = { .kind = CT_STRUCTURED_IN_DICTIONARY };
	int r = begin(field, &walk);

	if (r == 0)
		*ret_dictionary = walk;
	return r;
}

void ct_structured_inner(const struct ct_structured_member *member, struct ct_structured *ret_inner)
{
	CT_ASSERT(member->value.type == CT_STRUCTURED_INNER);
	*ret_inner =
	    (struct ct_structured){ .kind = CT_STRUCTURED_IN_INNER, .rest = member->value.raw };
}

void ct_structured_parameters(
    const struct ct_structured_member *member, struct ct_structured *ret_parameters)
{
	*ret_parameters = (struct ct_structured){ .kind = CT_STRUCTURED_IN_PARAMETERS,
		.rest = member->parameters };
}

bool ct_structured_next(struct ct_structured *walk, struct ct_structured_member *ret_member)
{
	int r = step(walk, ret_member);

	CT_ASSERT(r >= 0); /* it was checked */
	return r > 0;
}

bool ct_structured_find(
    const struct ct_structured *walk, const char *key, struct ct_structured_member *ret_member)
{
	struct ct_structured rest = *walk;
	struct ct_structured_member member;
	bool is_found = false;

	while (ct_structured_next(&rest, &member)) {
		if (!ct_slice_equal(member.key, key))
			continue;
		*ret_member = member;
		is_found = true;
	}
	return is_found;
}

/* ---- values ---- */

int ct_structured_text(
    const struct ct_structured_value *value, char *ret_text, size_t capacity, size_t *ret_length)
{
	struct ct_slice rest = value->raw;
	size_t length = 0;

	if (value->type != CT_STRUCTURED_STRING && value->type != CT_STRUCTURED_TOKEN &&
	    value->type != CT_STRUCTURED_DISPLAY)
		return -EINVAL;
	while (rest.length > 0) {
		int byte = rest.data[0];

		if (value->type == CT_STRUCTURED_DISPLAY) {
			byte = take_display_byte(&rest);
		} else {
			if (value->type == CT_STRUCTURED_STRING && byte == '\\')
				byte = rest.data[1];
			drop(&rest,
			    value->type == CT_STRUCTURED_STRING && rest.data[0] == '\\' ? 2 : 1);
		}
		if (length + 1 >= capacity)
			return -ENAMETOOLONG;
		ret_text[length++] = (char)byte;
	}
	if (capacity == 0)
		return -ENAMETOOLONG;
	ret_text[length] = '\0';
	*ret_length = length;
	return 0;
}

int ct_structured_bytes(
    const struct ct_structured_value *value, void *ret_data, size_t capacity, size_t *ret_length)
{
	struct ct_slice digits = value->raw;
	uint8_t *data = ret_data;
	uint32_t bits = 0;

	if (value->type != CT_STRUCTURED_BYTES)
		return -EINVAL;
	if (digits.length * 3 / 4 > capacity)
		return -ENAMETOOLONG;
	for (size_t i = 0; i < digits.length; i++) {
		bits = bits << 6 | (uint32_t)sextet(digits.data[i]);
		if (i % 4 != 0)
			*data++ = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	*ret_length = digits.length * 3 / 4;
	return 0;
}

bool ct_structured_integer(struct ct_slice field, int64_t *ret_number)
{
	struct ct_structured_member item;

	if (ct_structured_item(field, &item) < 0 || item.value.type != CT_STRUCTURED_INTEGER)
		return false;
	*ret_number = item.value.number;
	return true;
}

bool ct_structured_boolean(struct ct_slice field, bool *ret_value)
{
	struct ct_structured_member item;

	if (ct_structured_item(field, &item) < 0 || item.value.type != CT_STRUCTURED_BOOLEAN)
		return false;
	*ret_value = item.value.number != 0;
	return true;
}
