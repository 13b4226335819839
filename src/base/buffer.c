#include "base/buffer.h"
#include "base/assert.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 256

void ct_buffer_init(struct ct_buffer *buffer, size_t max_bytes)
{
	CT_ASSERT(max_bytes < SIZE_MAX / 2);
	*buffer = (struct ct_buffer){ .max_bytes = max_bytes };
}

void ct_buffer_done(struct ct_buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct ct_buffer){ .max_bytes = buffer->max_bytes };
}

/* Room for `more` bytes and a NUL behind what is there; false when it latched. */
static bool reserve(struct ct_buffer *buffer, size_t more)
{
	CT_ASSERT(buffer->length <= buffer->max_bytes);
	if (buffer->error < 0)
		return false;
	if (more > buffer->max_bytes - buffer->length) {
		buffer->error = -EMSGSIZE;
		return false;
	}
	size_t needed = buffer->length + more + 1;
	if (needed <= buffer->capacity)
		return true;

	size_t capacity = buffer->capacity > 0 ? buffer->capacity * 2 : FIRST_CAPACITY;
	if (capacity > buffer->max_bytes + 1)
		capacity = buffer->max_bytes + 1;
	if (capacity < needed)
		capacity = needed;
	char *data = realloc(buffer->data, capacity);
	if (data == NULL) {
		buffer->error = -ENOMEM;
		return false;
	}
	buffer->data = data;
	buffer->capacity = capacity;
	return true;
}

void ct_buffer_append(struct ct_buffer *buffer, const void *data, size_t length)
{
	if (!reserve(buffer, length))
		return;
	if (length > 0)
		memcpy(buffer->data + buffer->length, data, length);
	buffer->length += length;
	buffer->data[buffer->length] = '\0';
}

void ct_buffer_append_string(struct ct_buffer *buffer, const char *string)
{
	ct_buffer_append(buffer, string, strlen(string));
}

void ct_buffer_printf(struct ct_buffer *buffer, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	CT_ASSERT(length >= 0);

	if (!reserve(buffer, (size_t)length))
		return;
	va_start(arguments, format);
	int written =
	    vsnprintf(buffer->data + buffer->length, (size_t)length + 1, format, arguments);
	va_end(arguments);
	CT_ASSERT(written == length);
	buffer->length += (size_t)length;
}

int ct_buffer_error(const struct ct_buffer *buffer)
{
	return buffer->error;
}

char *ct_buffer_steal(struct ct_buffer *buffer, size_t *ret_length)
{
	ct_buffer_append(buffer, NULL, 0); /* also an empty one is a string */
	if (buffer->error < 0)
		return NULL;
	char *data = buffer->data;
	if (ret_length != NULL)
		*ret_length = buffer->length;
	*buffer = (struct ct_buffer){ .max_bytes = buffer->max_bytes };
	return data;
}
