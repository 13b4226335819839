/*
 * What handlers ask a request for.
 *
 * Lines of one name are one list (RFC 9110 section 5.3). They are put together once, when the head
 * has come; nearly all heads have none such. Fields whose value is not a list may come once.
 */
#include "http/request_priv.h"
#include "base/assert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What is read here and is no list. Length, coding and host are the guard's. */
static const char *const singletons[] = {
	"Authorization",
	"Content-Disposition",
	"Content-Type",
	"If-Range",
	"Origin",
	"Range",
	"Tus-Resumable",
	"Upload-Checksum",
	"Upload-Complete",
	"Upload-Concat",
	"Upload-Defer-Length",
	"Upload-Draft-Interop-Version",
	"Upload-Incomplete",
	"Upload-Length",
	"Upload-Offset",
	"X-HTTP-Method-Override",
};

/* A list that came on several lines. */
struct ct_http_joined {
	struct ct_http_joined *next;
	struct ct_slice name; /* borrowed of the head */
	size_t length;
	char value[];
};

static bool is_same_name(struct ct_slice a, struct ct_slice b)
{
	return a.length == b.length && strncasecmp(a.data, b.data, a.length) == 0;
}

/* In 0.. the index of the next field from `index` on that is named so; field_count: none. */
static size_t find_field(const struct ct_http_head *head, struct ct_slice name, size_t index)
{
	while (index < head->field_count && !is_same_name(ct_http_head_name(head, index), name))
		index++;
	return index;
}

static int join(struct ct_http_request *request, size_t first)
{
	const struct ct_http_head *head = &request->head;
	struct ct_slice name = ct_http_head_name(head, first);
	size_t room = 0;
	for (size_t i = first; i < head->field_count; i = find_field(head, name, i + 1))
		room += ct_http_head_value(head, i).length + 2;
	struct ct_http_joined *joined = malloc(sizeof(*joined) + room);
	if (joined == NULL)
		return -ENOMEM;
	joined->name = name;
	joined->length = 0;
	for (size_t i = first; i < head->field_count; i = find_field(head, name, i + 1)) {
		struct ct_slice value = ct_slice_trim(ct_http_head_value(head, i));
		if (joined->length > 0) {
			memcpy(joined->value + joined->length, ", ", 2);
			joined->length += 2;
		}
		memcpy(joined->value + joined->length, value.data, value.length);
		joined->length += value.length;
	}
	joined->next = request->joined;
	request->joined = joined;
	return 0;
}

static const char *find_singleton(struct ct_slice name)
{
	for (size_t i = 0; i < sizeof(singletons) / sizeof(singletons[0]); i++) {
		if (ct_slice_equal_ignore_case(name, singletons[i]))
			return singletons[i];
	}
	return NULL;
}

int ct_http_fields_gather(struct ct_http_request *request)
{
	const struct ct_http_head *head = &request->head;
	int r = 0;
	CT_ASSERT(request->joined == NULL && request->twice == NULL);
	for (size_t i = 0; i < head->field_count && r == 0; i++) {
		struct ct_slice name = ct_http_head_name(head, i);
		if (find_field(head, name, i + 1) == head->field_count)
			continue;
		if (find_field(head, name, 0) < i)
			continue; /* joined already */
		request->twice = find_singleton(name);
		if (request->twice != NULL)
			return 0;
		r = join(request, i);
	}
	return r;
}

void ct_http_fields_done(struct ct_http_request *request)
{
	while (request->joined != NULL) {
		struct ct_http_joined *next = request->joined->next;
		free(request->joined);
		request->joined = next;
	}
	request->twice = NULL;
}

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
	for (const struct ct_http_joined *j = request->joined; j != NULL; j = j->next) {
		if (ct_slice_equal_ignore_case(j->name, name))
			return (struct ct_slice){ j->value, j->length };
	}
	for (size_t i = 0; i < request->head.field_count; i++) {
		if (ct_slice_equal_ignore_case(ct_http_head_name(&request->head, i), name))
			return ct_slice_trim(ct_http_head_value(&request->head, i));
	}
	return CT_SLICE_ABSENT;
}

int ct_http_header_u64(
    const struct ct_http_request *request, const char *name, uint64_t max, uint64_t *ret_value)
{
	struct ct_slice value = ct_http_header(request, name);
	if (value.data == NULL)
		return 0;
	return ct_slice_to_u64(value, max, ret_value) < 0 ? CT_ERROR_INVALID_HEADER : 1;
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

bool ct_http_has_scope(const struct ct_http_request *request, unsigned scopes)
{
	return (request->scopes & scopes) == scopes;
}

void ct_http_set_user(struct ct_http_request *request, void *user)
{
	request->user = user;
}

void *ct_http_user(const struct ct_http_request *request)
{
	return request->user;
}
