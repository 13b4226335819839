/*
 * A line is built on the stack and written at once. Both a value and a line are bounded: a long
 * value is cut and ends in "...", and fields that don't fit any more are left out, which the line
 * says with truncated=1.
 */
#include "base/log.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/slice.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_LINE_BYTES 8192
#define MAX_VALUE_BYTES 1024
#define MAX_ESCAPED_BYTES (6 * MAX_VALUE_BYTES)
#define TRUNCATED " truncated=1"

struct line {
	size_t length;
	bool full;
	char text[MAX_LINE_BYTES];
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
	for (size_t i = 0; i < value.length; i++) {
		unsigned char byte = (unsigned char)value.data[i];
		if (byte <= ' ' || byte == '"' || byte == '\\' || byte == '=' || byte == 0x7f ||
		    is_c1_control(value, i))
			return false;
	}
	return value.length > 0 && ct_slice_is_utf8(value);
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

/* All of the field or nothing. */
static void put_field(struct line *line, const struct ct_log_field *field)
{
	size_t before = line->length;
	put_string(line, " ");
	put_string(line, field->key);
	put_string(line, "=");
	if (field->text != NULL) {
		put_value(line, field->text);
	} else {
		char number[24];
		(void)snprintf(number, sizeof(number), "%" PRId64, field->number); /* fits */
		put_string(line, number);
	}
	if (line->full)
		line->length = before;
}

void ct_log_fields(enum ct_log_level level, const char *event, const struct ct_log_field *fields)
{
	static const char *const level_names[] = { "debug", "info", "warning", "error" };
	_Static_assert(MAX_LINE_BYTES > MAX_ESCAPED_BYTES + 1024, "a longest value fits");
	struct line line;
	char time[CT_TIME_RFC3339_CHARS + 1];

	CT_ASSERT((size_t)level < sizeof(level_names) / sizeof(level_names[0]));
	if ((int)level < atomic_load(&minimum_level))
		return;
	line.length = 0;
	line.full = false;
	ct_time_format_rfc3339(ct_clock_wall_ms(), time);
	put_string(&line, time);
	put_string(&line, " ");
	put_string(&line, level_names[level]);
	put_string(&line, " ");
	put_string(&line, event);
	for (; fields->key != NULL; fields++)
		put_field(&line, fields);
	if (line.full) {
		memcpy(line.text + line.length, TRUNCATED, sizeof(TRUNCATED) - 1);
		line.length += sizeof(TRUNCATED) - 1;
	}
	line.text[line.length++] = '\n';
	/* There is nowhere to tell that the log can't be written. */
	ssize_t written = write(STDERR_FILENO, line.text, line.length);
	(void)written;
}
