/*
 * Encodings of bytes as text and back. All functions are pure and may be called by any thread.
 */
#ifndef CT_BASE_TEXT_H
#define CT_BASE_TEXT_H

#include "base/slice.h"
#include <stddef.h>
#include <stdint.h>

/* Lower-case hex; `ret_hex` holds 2 * length + 1. */
void ct_hex_encode(const void *data, size_t length, char *ret_hex);

/* Exactly 2 * `length` lower-case hex digits, else -EINVAL. */
int ct_hex_decode(struct ct_slice hex, void *ret_data, size_t length);

/* Standard alphabet with padding (RFC 4648 section 4). -EINVAL: not that; -ENAMETOOLONG. */
int ct_base64_decode(struct ct_slice text, void *ret_data, size_t capacity, size_t *ret_length);
/* `ret_text` holds 4 * ((length + 2) / 3) + 1. */
void ct_base64_encode(const void *data, size_t length, char *ret_text);

/*
 * Undoes %XX (RFC 3986 section 2.1); in a query also '+'. -EINVAL: a bad escape, %00, or
 * something that is not UTF-8 when undone; -ENAMETOOLONG. The result is NUL-terminated;
 * after a failure the text is undefined.
 */
enum ct_percent_mode { CT_PERCENT_PATH, CT_PERCENT_QUERY };
int ct_percent_decode(struct ct_slice text, enum ct_percent_mode mode, char *ret_text,
    size_t capacity, size_t *ret_length);

/* Escapes all but unreserved characters (RFC 3986 section 2.3); -ENAMETOOLONG. */
int ct_percent_encode(struct ct_slice text, char *ret_text, size_t capacity);

#define CT_ID_CHARS 32
/* 128 random bits as 32 lower-case hex digits: every id of ours. -errno if there is no entropy. */
int ct_id_generate(char ret_id[CT_ID_CHARS + 1]);
bool ct_id_is_valid(struct ct_slice text);

/* Random bytes from the system (getrandom). */
int ct_random_bytes(void *ret_data, size_t length);

#endif
