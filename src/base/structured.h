/*
 * Structured fields (RFC 9651): the one parser and the one writer of them.
 *
 * Parsing is strict and copies nothing. Beginning a list or dictionary checks the whole text, as
 * section 4.2 demands: one fault anywhere makes all of it none. Then its members are walked; what
 * they point to lies in the text and lives as long. Memory, depth and time are bounded: no
 * allocation, no recursion, one pass to check and one to walk. All functions are pure and may be
 * called by any thread.
 */
#ifndef CT_BASE_STRUCTURED_H
#define CT_BASE_STRUCTURED_H

#include "base/buffer.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A longer text is -EINVAL. Within it nothing is counted: section 3 asks for 1024 members. */
#define CT_STRUCTURED_MAX_BYTES ((size_t)65536)
#define CT_STRUCTURED_INTEGER_MAX 999999999999999 /* 15 digits */

enum ct_structured_type {
	CT_STRUCTURED_INTEGER,
	CT_STRUCTURED_DECIMAL,
	CT_STRUCTURED_STRING,
	CT_STRUCTURED_TOKEN,
	CT_STRUCTURED_BYTES,
	CT_STRUCTURED_BOOLEAN,
	CT_STRUCTURED_DATE,
	CT_STRUCTURED_DISPLAY,
	CT_STRUCTURED_INNER /* an inner list; never a parameter's value */
};

struct ct_structured_value {
	enum ct_structured_type type;
	/* Integer; decimal: thousandths; boolean: 0 or 1; date: seconds since 1970. */
	int64_t number;
	/* String, token, bytes, display: what stands between the delimiters, still encoded. Inner
	 * list: what stands between the parentheses. Else absent. */
	struct ct_slice raw;
};

/* A member of a list, inner list or dictionary, a lone item, or a parameter. */
struct ct_structured_member {
	struct ct_slice key; /* of a dictionary's member and of a parameter, else absent */
	struct ct_structured_value value;
	struct ct_slice parameters; /* as text, for ct_structured_parameters(); may be empty */
};

/* A walk; a plain value, so a copy remembers the place. */
struct ct_structured {
	enum {
		CT_STRUCTURED_IN_LIST,
		CT_STRUCTURED_IN_DICTIONARY,
		CT_STRUCTURED_IN_INNER,
		CT_STRUCTURED_IN_PARAMETERS
	} kind; /* private */
	struct ct_slice rest;
};

/* ---- parsing: 0, or -EINVAL also for an absent field ---- */

int ct_structured_item(struct ct_slice field, struct ct_structured_member *ret_item);
/* An empty text is a list without members. */
int ct_structured_list(struct ct_slice field, struct ct_structured *ret_list);
/* A key may come again; the last one counts (ct_structured_find). */
int ct_structured_dictionary(struct ct_slice field, struct ct_structured *ret_dictionary);

/* Of a member that came out of a walk; these cannot fail. Asserts that it is an inner list. */
void ct_structured_inner(
    const struct ct_structured_member *member, struct ct_structured *ret_inner);
void ct_structured_parameters(
    const struct ct_structured_member *member, struct ct_structured *ret_parameters);

/* False at the end. Keys that come again are seen again. */
bool ct_structured_next(struct ct_structured *walk, struct ct_structured_member *ret_member);
/* The last member, from the walk's place on, with this key; `walk` does not move. */
bool ct_structured_find(
    const struct ct_structured *walk, const char *key, struct ct_structured_member *ret_member);

/*
 * A string, token or display string, decoded and NUL-terminated; a display string may hold NUL
 * bytes as well. -EINVAL: of another type; -ENAMETOOLONG.
 */
int ct_structured_text(
    const struct ct_structured_value *value, char *ret_text, size_t capacity, size_t *ret_length);
/* A byte sequence, decoded; its padding may be missing (section 4.2.7). The same errors. */
int ct_structured_bytes(
    const struct ct_structured_value *value, void *ret_data, size_t capacity, size_t *ret_length);

/* For fields that are ignored unless they are one such item: false leaves the result alone. */
bool ct_structured_integer(struct ct_slice field, int64_t *ret_number);
bool ct_structured_boolean(struct ct_slice field, bool *ret_value);

/* ---- writing ---- */

/*
 * Begin with the buffer, zeros for the rest. A member is begun, then gets one value, then its
 * parameters, each with one value. The first fault latches: -EINVAL, a key or value that cannot be
 * written; ct_structured_writer_error() tells it, or the buffer's.
 */
struct ct_structured_writer {
	struct ct_buffer *buffer;
	int error;
	bool is_keyed;	 /* a key has been written, its value not yet */
	bool is_inside;	 /* of an inner list */
	bool is_first;	 /* nothing is in that inner list yet */
	bool has_member; /* something is in the list or dictionary */
};

/* The next member; `key` is NULL in a list, an inner list, and for a lone item. */
void ct_structured_write_member(struct ct_structured_writer *writer, const char *key);
void ct_structured_write_parameter(struct ct_structured_writer *writer, const char *key);
void ct_structured_write_inner_begin(struct ct_structured_writer *writer);
void ct_structured_write_inner_end(struct ct_structured_writer *writer);

void ct_structured_write_integer(struct ct_structured_writer *writer, int64_t number);
void ct_structured_write_decimal(struct ct_structured_writer *writer, int64_t thousandths);
void ct_structured_write_string(struct ct_structured_writer *writer, struct ct_slice text);
void ct_structured_write_token(struct ct_structured_writer *writer, struct ct_slice text);
void ct_structured_write_bytes(
    struct ct_structured_writer *writer, const void *data, size_t length);
void ct_structured_write_boolean(struct ct_structured_writer *writer, bool value);
void ct_structured_write_date(struct ct_structured_writer *writer, int64_t seconds);
void ct_structured_write_display(struct ct_structured_writer *writer, struct ct_slice text);

int ct_structured_writer_error(const struct ct_structured_writer *writer);

/* ---- alphabets, shared by both halves ---- */
bool ct_structured_is_key(struct ct_slice text);
bool ct_structured_is_token(struct ct_slice text);

#endif
