/*
 * What handlers ask a request for.
 */
#include "http/request_priv.h"
#include "base/assert.h"

#include <string.h>

enum ct_http_method ct_http_method(const struct ct_http_request *request)
{
	return request->method;
}

const char *ct_http_parameter(const struct ct_http_request *request, const char *name)
{
	const struct ct_http_row *row = request->row;
	const char *value = NULL;
	CT_ASSERT(row != NULL);
	for (size_t i = 0; i < row->segment_count; i++) {
		struct ct_slice parameter = { row->segments[i].text, row->segments[i].length };
		if (row->segments[i].is_parameter && ct_slice_equal(parameter, name))
			value = request->segments[i].text;
	}
	CT_ASSERT(value != NULL);
	return value;
}

struct ct_slice ct_http_header(const struct ct_http_request *request, const char *name)
{
	struct ct_slice found = CT_SLICE_ABSENT;
	for (size_t i = 0; i < request->head.field_count; i++) {
		if (!ct_slice_equal_ignore_case(ct_http_head_name(&request->head, i), name))
			continue;
		if (found.data != NULL)
			return CT_SLICE_ABSENT;
		found = ct_slice_trim(ct_http_head_value(&request->head, i));
	}
	return found;
}

static unsigned count_headers(const struct ct_http_request *request, const char *name)
{
	unsigned count = 0;
	for (size_t i = 0; i < request->head.field_count; i++) {
		if (ct_slice_equal_ignore_case(ct_http_head_name(&request->head, i), name))
			count++;
	}
	return count;
}

int ct_http_header_u64(
    const struct ct_http_request *request, const char *name, uint64_t max, uint64_t *ret_value)
{
	unsigned count = count_headers(request, name);
	if (count == 0)
		return 0;
	if (count > 1 || ct_slice_to_u64(ct_http_header(request, name), max, ret_value) < 0)
		return CT_ERROR_INVALID_HEADER;
	return 1;
}

const char *ct_http_query(const struct ct_http_request *request, const char *name)
{
	for (size_t i = 0; i < request->parameter_count; i++) {
		if (strcmp(request->parameters[i].name, name) == 0)
			return request->parameters[i].value;
	}
	return NULL;
}

bool ct_http_content_length(const struct ct_http_request *request, uint64_t *ret_bytes)
{
	if (request->head.chunked)
		return false;
	*ret_bytes = request->head.content_length;
	return true;
}

bool ct_http_has_body(const struct ct_http_request *request)
{
	return request->head.chunked || request->head.content_length > 0;
}

const char *ct_http_request_id(const struct ct_http_request *request)
{
	return request->id;
}

const char *ct_http_key_id(const struct ct_http_request *request)
{
	return request->key_id;
}

void ct_http_set_user(struct ct_http_request *request, void *user)
{
	request->user = user;
}

void *ct_http_user(const struct ct_http_request *request)
{
	return request->user;
}
