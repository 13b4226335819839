/*
 * A line is built on the stack and written at once. Both a value and a line are bounded: a long
 * value is cut and ends in "...", and fields that don't fit any more are left out, which the line
 * says with truncated=1.
 */
#include "base/log_priv.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/slice.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_VALUE_BYTES 1024
#define MAX_ESCAPED_BYTES (6 * MAX_VALUE_BYTES)
#define TRUNCATED " truncated=1"

struct line {
	size_t length;
	bool full;
	char text[CT_LOG_MAX_LINE_BYTES];
};

static _Atomic int minimum_level = CT_LOG_INFO;

void ct_log_set_level(enum ct_log_level level)
{
	atomic_store(&minimum_level, (int)level);
}

static void put(struct line *line, const char *text, size_t length)
{
	size_t limit = sizeof(line->text) - (sizeof(TRUNCATED) - 1) - 1;
	if (line->full || length > limit - line->length) {
		line->full = true;
		return;
	}
	memcpy(line->text + line->length, text, length);
	line->length += length;
}

static void put_string(struct line *line, const char *text)
{
	put(line, text, strlen(text));
}

/* At most the maximum, not in the middle of a UTF-8 sequence. */
static struct ct_slice cut_value(const char *text)
{
	struct ct_slice value = { text, strnlen(text, MAX_VALUE_BYTES + 1) };
	if (value.length <= MAX_VALUE_BYTES)
		return value;
	value.length = MAX_VALUE_BYTES;
	for (int i = 0; i < 3 && ((unsigned char)text[value.length] & 0xc0) == 0x80; i++)
		value.length--;
	return value;
}

/* Control characters of a second set, which terminals obey, are C2 80 to C2 9F in UTF-8. */
static bool is_c1_control(struct ct_slice value, size_t at)
{
	return value.length - at >= 2 && (unsigned char)value.data[at] == 0xc2 &&
	       (unsigned char)value.data[at + 1] < 0xa0;
}

static bool is_plain(struct ct_slice value)
{
	bool is_ascii = true;
	for (size_t i = 0; i < value.length; i++) {
		unsigned char byte = (unsigned char)value.data[i];
		if (byte <= ' ' || byte == '"' || byte == '\\' || byte == '=' || byte == 0x7f)
			return false;
		if (byte < 0x80)
			continue;
		is_ascii = false;
		if (is_c1_control(value, i))
			return false;
	}
	return value.length > 0 && (is_ascii || ct_slice_is_utf8(value));
}

static void put_escaped(struct line *line, unsigned char byte)
{
	static const char letters[] = "b\bf\fn\nr\rt\t\"\"\\\\";
	char text[8];
	for (size_t i = 0; i + 1 < sizeof(letters); i += 2) {
		if ((unsigned char)letters[i + 1] == byte) {
			put(line, (const char[]){ '\\', letters[i] }, 2);
			return;
		}
	}
	int length = snprintf(text, sizeof(text), "\\u%04x", byte);
	CT_ASSERT(length == 6);
	put(line, text, (size_t)length);
}

/* As in JSON; a value that is not UTF-8 has its bytes above 0x7f escaped one by one. */
static void put_quoted(struct line *line, struct ct_slice value, bool cut)
{
	bool utf8 = ct_slice_is_utf8(value);
	put_string(line, "\"");
	for (size_t i = 0; i < value.length; i++) {
		unsigned char byte = (unsigned char)value.data[i];
		if (utf8 && is_c1_control(value, i))
			put_escaped(line, (unsigned char)value.data[++i]);
		else if (byte < ' ' || byte == '"' || byte == '\\' || byte == 0x7f ||
			 (byte > 0x7f && !utf8))
			put_escaped(line, byte);
		else
			put(line, value.data + i, 1);
	}
	put_string(line, cut ? "...\"" : "\"");
}

static void put_value(struct line *line, const char *text)
{
	struct ct_slice value = cut_value(text);
	bool cut = text[value.length] != '\0';
	if (!cut && is_plain(value))
		put(line, value.data, value.length);
	else
		put_quoted(line, value, cut);
}

/* By hand, as printf costs more than all the rest of a line. */
static void put_number(struct line *line, int64_t number)
{
	char digits[20]; /* of INT64_MIN, with its sign */
	size_t at = sizeof(digits);
	uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
	do {
		digits[--at] = (char)('0' + left % 10);
		left /= 10;
	} while (left > 0);
	if (number < 0)
		digits[--at] = '-';
	put(line, digits + at, sizeof(digits) - at);
}

/* Formatted once a second in each thread; the milliseconds are put in. */
static void put_time(struct line *line)
{
	static _Thread_local struct {
		int64_t second;
		char text[CT_TIME_RFC3339_CHARS + 1];
	} known;
	int64_t now_ms = ct_clock_wall_ms();
	int64_t second = now_ms / 1000;
	int ms = (int)(now_ms % 1000);
	if (now_ms < 0 || second != known.second || known.text[0] == '\0') {
		ct_time_format_rfc3339(now_ms, known.text);
		known.second = second;
	} else {
		char *at = known.text + CT_TIME_RFC3339_CHARS - 4;
		at[0] = (char)('0' + ms / 100);
		at[1] = (char)('0' + ms / 10 % 10);
		at[2] = (char)('0' + ms % 10);
	}
	put(line, known.text, CT_TIME_RFC3339_CHARS);
}

/* All of the field or nothing. */
static void put_field(struct line *line, const struct ct_log_field *field)
{
	size_t before = line->length;
	put_string(line, " ");
	put_string(line, field->key);
	put_string(line, "=");
	if (field->text != NULL)
		put_value(line, field->text);
	else
		put_number(line, field->number);
	if (line->full)
		line->length = before;
}

/* False: the level is not logged. */
static bool build(struct line *line, enum ct_log_level level, const char *event,
    const struct ct_log_field *fields)
{
	static const char *const level_names[] = { " debug ", " info ", " warning ", " error " };
	_Static_assert(CT_LOG_MAX_LINE_BYTES > MAX_ESCAPED_BYTES + 1024, "a longest value fits");

	CT_ASSERT((size_t)level < sizeof(level_names) / sizeof(level_names[0]));
	if ((int)level < atomic_load_explicit(&minimum_level, memory_order_relaxed))
		return false;
	line->length = 0;
	line->full = false;
	put_time(line);
	put_string(line, level_names[level]);
	put_string(line, event);
	for (; fields->key != NULL; fields++)
		put_field(line, fields);
	if (line->full) {
		memcpy(line->text + line->length, TRUNCATED, sizeof(TRUNCATED) - 1);
		line->length += sizeof(TRUNCATED) - 1;
	}
	line->text[line->length++] = '\n';
	return true;
}

static void write_line(const struct line *line)
{
	/* There is nowhere to tell that the log can't be written. */
	ssize_t written = write(STDERR_FILENO, line->text, line->length);
	(void)written;
}

void ct_log_fields(enum ct_log_level level, const char *event, const struct ct_log_field *fields)
{
	struct line line;
	if (build(&line, level, event, fields))
		write_line(&line);
}

void ct_log_fields_late(
    enum ct_log_level level, const char *event, const struct ct_log_field *fields)
{
	struct line line;
	if (build(&line, level, event, fields) && !ct_log_late_put(line.text, line.length))
		write_line(&line);
}
