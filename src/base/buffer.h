/*
 * A byte buffer that grows up to the maximum it was born with. A plain struct owned by one thread;
 * zero length after init. A failed append latches: later ones do nothing, and
 * ct_buffer_error() says so at the end, so that builders need one check only.
 */
#ifndef CT_BASE_BUFFER_H
#define CT_BASE_BUFFER_H

#include "base/slice.h"
#include <stdarg.h>
#include <stddef.h>

#define ct_printf(format_at, first_at) __attribute__((format(printf, format_at, first_at)))

struct ct_buffer {
	char *data; /* NUL-terminated when not NULL */
	size_t length;
	size_t capacity;
	size_t max_bytes;
	int error; /* 0, -ENOMEM, or -EMSGSIZE past the maximum */
};

void ct_buffer_init(struct ct_buffer *buffer, size_t max_bytes);
void ct_buffer_done(struct ct_buffer *buffer); /* frees; also a cleanup function */
void ct_buffer_append(struct ct_buffer *buffer, const void *data, size_t length);
void ct_buffer_append_string(struct ct_buffer *buffer, const char *string);
void ct_buffer_printf(struct ct_buffer *buffer, const char *format, ...) ct_printf(2, 3);
int ct_buffer_error(const struct ct_buffer *buffer);

/* Gives the malloc'd, NUL-terminated bytes away and empties the buffer; NULL after an error. */
char *ct_buffer_steal(struct ct_buffer *buffer, size_t *ret_length);

#endif
