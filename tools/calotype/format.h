/*
 * Numbers and foreign text for people. Pure functions; columns need LC_CTYPE set to a UTF-8
 * locale, else every character counts as one.
 */
#ifndef CT_CLI_FORMAT_H
#define CT_CLI_FORMAT_H

#include "base/buffer.h"
#include "base/slice.h"
#include <stddef.h>
#include <stdint.h>

#define CT_FORMAT_BYTES_CHARS 15
#define CT_FORMAT_DURATION_CHARS 15

/* "999 B", "1.5 KiB", "12.0 MiB": binary units, one decimal. */
void ct_format_bytes(uint64_t bytes, char ret_text[CT_FORMAT_BYTES_CHARS + 1]);

/* "0:07", "12:03", "1:02:03"; "--:--" from 100 hours on. */
void ct_format_duration(uint64_t seconds, char ret_text[CT_FORMAT_DURATION_CHARS + 1]);

/* "65536", "64k", "64K", "64KiB", "2M", "1G": binary units; -EINVAL, -ERANGE. */
int ct_parse_bytes(const char *text, uint64_t *ret_bytes);

/*
 * Appends text from a server or a file system so that it cannot steer a terminal: control
 * characters, line separators, changes of writing direction and what isn't UTF-8 become \xNN or
 * \u{NNNN}.
 */
void ct_escape_append(struct ct_buffer *buffer, struct ct_slice text);

/* How wide escaped text is on a terminal. */
size_t ct_text_columns(struct ct_slice text);

/* Appends escaped text in exactly `columns`: padded with spaces, or shortened with "..". */
void ct_text_fit(struct ct_buffer *buffer, struct ct_slice text, size_t columns);

#endif
