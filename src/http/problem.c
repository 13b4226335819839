/*
 * Errors as clients see them: RFC 9457, status and code from the one table.
 */
#include "http/response_priv.h"
#include "base/assert.h"
#include "http/request_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#define MAX_DETAIL_BYTES 512
#define MAX_PROBLEM_BYTES 4096

struct ct_http_response *ct_http_problem_for(const char *request_id, int error, const char *detail)
{
	char type[128];
	struct ct_json *json = ct_json_object();
	int status = ct_error_http_status(error);
	struct ct_http_response *response = ct_http_response_new(status);

	(void)snprintf(type, sizeof(type), "urn:calotype:problem:%s", ct_error_code(error));
	ct_json_set_text(json, "type", type);
	ct_json_set_text(json, "title", ct_error_text(error));
	ct_json_set_number(json, "status", status);
	if (ct_slice_is_utf8(ct_slice_from_string(detail)))
		ct_json_set_text(json, "detail", detail);
	ct_json_set_text(json, "code", ct_error_code(error));
	if (request_id[0] != '\0')
		ct_json_set_text(json, "request_id", request_id);
	ct_http_response_json_as(response, "application/problem+json", json);
	ct_http_response_header(response, "Cache-Control", "no-store");
	if (status == 503 || status == 429)
		ct_http_response_header(response, "Retry-After", "1");
	return response;
}

struct ct_http_response *ct_http_problem(
    const struct ct_http_request *request, int error, const char *detail, ...)
{
	char text[MAX_DETAIL_BYTES];
	va_list arguments;
	CT_ASSERT(error < 0);
	va_start(arguments, detail);
	(void)vsnprintf(text, sizeof(text), detail, arguments); /* a longer one is cut */
	va_end(arguments);
	return ct_http_problem_for(request != NULL ? request->id : "", error, text);
}

void ct_http_problem_limit(struct ct_http_response *response, uint64_t limit, uint64_t value)
{
	ct_http_problem_number(response, "limit", limit);
	ct_http_problem_number(response, "value", value);
}

void ct_http_problem_passed(struct ct_http_response *response, uint64_t limit, uint64_t value)
{
	if (limit != 0)
		ct_http_problem_number(response, "limit", limit);
	if (value != 0)
		ct_http_problem_number(response, "value", value);
}

void ct_http_problem_number(struct ct_http_response *response, const char *name, uint64_t number)
{
	if (response != NULL)
		ct_json_set_number(ct_http_response_json_of(response), name, (int64_t)number);
}

void ct_http_problem_text(struct ct_http_response *response, const char *name, const char *text)
{
	if (response != NULL)
		ct_json_set_text(ct_http_response_json_of(response), name, text);
}

void ct_http_send_problem(int fd, const char *request_id, struct ct_http_response *response)
{
	struct ct_buffer bytes;
	ct_buffer_init(&bytes, MAX_PROBLEM_BYTES);
	ct_http_response_write(response, request_id, false, &bytes);
	if (ct_buffer_error(&bytes) == 0) {
		ssize_t sent = send(fd, bytes.data, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
		(void)sent; /* the client is gone, or doesn't read */
	}
	ct_buffer_done(&bytes);
	ct_http_response_free(response);
}
