/*
 * A response while it is built, and its two ways out: as an MHD_Response, or as plain bytes for a
 * connection that ends.
 */
#include "http/response_priv.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "http/server_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define MAX_JSON_BYTES (8u << 20)
#define STREAM_BUFFER_BYTES (64u << 10)

struct field {
	char *name, *value;
};

struct ct_http_response {
	int status;
	int error; /* latched */
	struct field fields[CT_HTTP_MAX_RESPONSE_HEADERS];
	size_t field_count;
	/* One of: */
	struct ct_json *json;
	char *data;
	size_t data_bytes;
	struct ct_http_shared *shared;
	uint64_t offset, length_bytes;
	struct ct_http_stream stream; /* none while `read` is NULL */
};

struct ct_http_response *ct_http_response_new(int status)
{
	CT_ASSERT(status >= 200 && status <= 599);
	struct ct_http_response *response = calloc(1, sizeof(*response));
	if (response != NULL)
		response->status = status;
	return response;
}

void ct_http_response_free(struct ct_http_response *response)
{
	if (response == NULL)
		return;
	for (size_t i = 0; i < response->field_count; i++) {
		free(response->fields[i].name);
		free(response->fields[i].value);
	}
	ct_json_free(response->json);
	free(response->data);
	ct_http_shared_unref(response->shared);
	if (response->stream.read != NULL)
		response->stream.free(response->stream.arg);
	free(response);
}

static void latch(struct ct_http_response *response, int error)
{
	if (response->error == 0)
		response->error = error;
}

static bool has_control_bytes(const char *text)
{
	for (; *text != '\0'; text++) {
		if (((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f)
			return true;
	}
	return false;
}

void ct_http_response_header(struct ct_http_response *response, const char *name, const char *value)
{
	CT_ASSERT(!has_control_bytes(name) && !has_control_bytes(value));
	if (response == NULL)
		return;
	CT_ASSERT(response->field_count < CT_HTTP_MAX_RESPONSE_HEADERS);
	struct field field = { strdup(name), strdup(value) };
	if (field.name == NULL || field.value == NULL) {
		free(field.name);
		free(field.value);
		latch(response, -ENOMEM);
		return;
	}
	response->fields[response->field_count++] = field;
}

void ct_http_response_default(
    struct ct_http_response *response, const char *name, const char *value)
{
	if (response == NULL)
		return;
	for (size_t i = 0; i < response->field_count; i++) {
		if (strcasecmp(response->fields[i].name, name) == 0)
			return;
	}
	ct_http_response_header(response, name, value);
}

void ct_http_response_header_u64(
    struct ct_http_response *response, const char *name, uint64_t value)
{
	char text[24];
	(void)snprintf(text, sizeof(text), "%" PRIu64, value); /* it fits */
	ct_http_response_header(response, name, text);
}

static bool has_body(const struct ct_http_response *response)
{
	return response->json != NULL || response->data != NULL || response->shared != NULL ||
	       response->stream.read != NULL;
}

void ct_http_response_json_as(
    struct ct_http_response *response, const char *type, struct ct_json *json)
{
	if (response == NULL || json == NULL) {
		ct_json_free(json);
		if (response != NULL)
			latch(response, -ENOMEM);
		return;
	}
	CT_ASSERT(!has_body(response));
	response->json = json;
	ct_http_response_header(response, "Content-Type", type);
}

void ct_http_response_json(struct ct_http_response *response, struct ct_json *json)
{
	ct_http_response_json_as(response, "application/json", json);
}

struct ct_json *ct_http_problem_take_json(struct ct_http_response *response)
{
	if (response == NULL)
		return NULL;
	struct ct_json *json = ct_steal(response->json);
	ct_http_response_free(response);
	return json;
}

void ct_http_response_body(
    struct ct_http_response *response, const char *type, char *data, size_t length_bytes)
{
	if (response == NULL) {
		free(data);
		return;
	}
	CT_ASSERT(!has_body(response));
	if (data == NULL && length_bytes > 0)
		latch(response, -ENOMEM);
	response->data = data;
	response->data_bytes = length_bytes;
	ct_http_response_header(response, "Content-Type", type);
}

struct ct_http_response *ct_http_response_of_shared(
    int status, struct ct_http_shared *shared, uint64_t offset, uint64_t length_bytes)
{
	struct ct_http_response *response = ct_http_response_new(status);
	uint64_t size;
	(void)ct_http_shared_data(shared, &size);
	CT_ASSERT(offset <= size && length_bytes <= size - offset);
	if (response == NULL)
		return NULL;
	response->shared = ct_http_shared_ref(shared);
	response->offset = offset;
	response->length_bytes = length_bytes;
	return response;
}

void ct_http_response_stream(struct ct_http_response *response, const struct ct_http_stream *stream)
{
	CT_ASSERT(stream->read != NULL && stream->free != NULL && stream->size_bytes > 0);
	if (response == NULL) {
		stream->free(stream->arg);
		return;
	}
	CT_ASSERT(!has_body(response));
	response->stream = *stream;
}

int ct_http_response_status(const struct ct_http_response *response)
{
	return response->error == 0 ? response->status : 500;
}

struct ct_json *ct_http_response_json_of(struct ct_http_response *response)
{
	return response->json;
}

/* JSON becomes bytes; after this an error is final. */
static void print_json(struct ct_http_response *response)
{
	if (response->json == NULL || response->error != 0)
		return;
	struct ct_buffer text;
	ct_buffer_init(&text, MAX_JSON_BYTES);
	int r = ct_json_print(response->json, &text);
	if (r == 0)
		response->data = ct_buffer_steal(&text, &response->data_bytes);
	if (response->data == NULL)
		latch(response, r < 0 ? r : -ENOMEM);
	ct_buffer_done(&text);
	ct_json_free(response->json);
	response->json = NULL;
}

static ssize_t read_stream(void *cls, uint64_t offset, char *data, size_t capacity)
{
	const struct ct_http_stream *stream = cls;
	ssize_t count = stream->read(stream->arg, offset, data, capacity);
	CT_ASSERT(count != 0 && (count < 0 || (size_t)count <= capacity));
	return count < 0 ? MHD_CONTENT_READER_END_WITH_ERROR : count;
}

static void free_stream(void *cls)
{
	struct ct_http_stream *stream = cls;
	stream->free(stream->arg);
	free(stream);
}

static struct MHD_Response *build_stream(struct ct_http_response *response)
{
	struct ct_http_stream *copy = malloc(sizeof(*copy));
	if (copy == NULL)
		return NULL;
	*copy = response->stream;
	struct MHD_Response *built = MHD_create_response_from_callback(
	    copy->size_bytes, STREAM_BUFFER_BYTES, read_stream, copy, free_stream);
	if (built == NULL)
		free(copy);
	else
		response->stream.read = NULL; /* given away */
	return built;
}

static struct MHD_Response *build_body(struct ct_http_response *response, uint64_t *ret_size)
{
	if (response->shared != NULL) {
		*ret_size = response->length_bytes;
		return ct_http_shared_part(
		    response->shared, response->offset, response->length_bytes);
	}
	if (response->stream.read != NULL) {
		*ret_size = response->stream.size_bytes;
		return build_stream(response);
	}
	*ret_size = response->data_bytes;
	if (response->data == NULL)
		return MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
	struct MHD_Response *built = MHD_create_response_from_buffer(
	    response->data_bytes, response->data, MHD_RESPMEM_MUST_FREE);
	if (built != NULL)
		response->data = NULL; /* given away */
	return built;
}

static bool add_fields(struct MHD_Response *built, const struct ct_http_response *response,
    const struct ct_http_request *request)
{
	bool ok = MHD_add_response_header(built, "X-Request-Id", request->id) == MHD_YES &&
		  MHD_add_response_header(built, "X-Content-Type-Options", "nosniff") == MHD_YES;
	for (size_t i = 0; i < response->field_count && ok; i++)
		ok = MHD_add_response_header(
			 built, response->fields[i].name, response->fields[i].value) == MHD_YES;
	if (ok && atomic_load(&request->connection->server->stopping))
		ok = MHD_add_response_header(built, "Connection", "close") == MHD_YES;
	return ok;
}

struct MHD_Response *ct_http_response_build(
    struct ct_http_response *response, const struct ct_http_request *request, uint64_t *ret_size)
{
	print_json(response);
	if (response->error != 0)
		return NULL;
	struct MHD_Response *built = build_body(response, ret_size);
	if (built == NULL)
		return NULL;
	if (!add_fields(built, response, request)) {
		MHD_destroy_response(built);
		return NULL;
	}
	return built;
}

/* ---- as bytes ---- */

static void write_plain_failure(struct ct_buffer *buffer)
{
	ct_buffer_append_string(buffer, "HTTP/1.1 500 Internal Server Error\r\n"
					"Content-Length: 0\r\n"
					"Connection: close\r\n\r\n");
}

bool ct_http_response_is_small(struct ct_http_response *response)
{
	if (response == NULL)
		return true;
	print_json(response);
	return response->stream.read == NULL && response->shared == NULL &&
	       response->data_bytes <= CT_HTTP_SMALL_ANSWER_BYTES;
}

void ct_http_response_write(struct ct_http_response *response, const char *request_id,
    bool head_only, struct ct_buffer *buffer)
{
	char date[CT_TIME_HTTP_CHARS + 1];
	const char *data = NULL;
	size_t length = 0;

	if (response != NULL)
		print_json(response);
	if (response == NULL || response->error != 0 || response->stream.read != NULL) {
		write_plain_failure(buffer);
		return;
	}
	if (response->shared != NULL) {
		uint64_t size;
		data = ct_http_shared_data(response->shared, &size);
		if (data == NULL) {
			write_plain_failure(buffer);
			return;
		}
		data += response->offset;
		length = response->length_bytes;
	} else if (response->data != NULL) {
		data = response->data;
		length = response->data_bytes;
	}
	ct_time_format_http(ct_clock_wall_ms(), date);
	ct_buffer_printf(buffer, "HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: close\r\n",
	    response->status, MHD_get_reason_phrase_for((unsigned)response->status), date);
	if (request_id != NULL && request_id[0] != '\0')
		ct_buffer_printf(buffer, "X-Request-Id: %s\r\n", request_id);
	ct_buffer_append_string(buffer, "X-Content-Type-Options: nosniff\r\n");
	for (size_t i = 0; i < response->field_count; i++)
		ct_buffer_printf(
		    buffer, "%s: %s\r\n", response->fields[i].name, response->fields[i].value);
	if (response->status != 204)
		ct_buffer_printf(buffer, "Content-Length: %zu\r\n", length);
	ct_buffer_append_string(buffer, "\r\n");
	if (!head_only && response->status != 204 && response->status != 304)
		ct_buffer_append(buffer, data, length);
}
