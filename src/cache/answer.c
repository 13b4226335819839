/*
 * One entry, many answers. The plain hit is the shared object itself; everything that needs a
 * header of its own (a part, a miss that says so) is a small response over the same bytes.
 */
#include "cache/cache_priv.h"
#include "cache/sealed_priv.h"

#include "base/assert.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRY_MAGIC 0x63656e74u
#define STATUS_CHARS 96
#define MAX_HEADERS 9
#define SANDBOX "default-src 'none'; sandbox"

static void status_text(const char *cache_name, enum ct_cache_way way, char text[STATUS_CHARS])
{
	static const char *const ways[] = { "hit", "fwd=miss; stored", "fwd=miss; collapsed",
		"fwd=miss" };
	(void)snprintf(text, STATUS_CHARS, "%s; %s", cache_name, ways[way]); /* names are short */
}

/* Headers that all answers of an entry have; the count. The engine itself says nosniff. */
static size_t content_headers(const struct ct_cache_content *content, const char *status,
    const char *digest, struct ct_http_header_field fields[MAX_HEADERS])
{
	size_t count = 0;
	fields[count++] = (struct ct_http_header_field){ "Content-Type", content->type };
	fields[count++] = (struct ct_http_header_field){ "ETag", content->etag };
	fields[count++] = (struct ct_http_header_field){ "Cache-Control", content->cache_control };
	fields[count++] = (struct ct_http_header_field){ "Cache-Status", status };
	fields[count++] = (struct ct_http_header_field){ "Accept-Ranges", "bytes" };
	fields[count++] = (struct ct_http_header_field){ "Repr-Digest",
		digest }; /* of the whole, also with a part */
	fields[count++] = (struct ct_http_header_field){ "Content-Security-Policy", SANDBOX };
	fields[count++] =
	    (struct ct_http_header_field){ "Cross-Origin-Resource-Policy", "cross-origin" };
	if (content->disposition[0])
		fields[count++] =
		    (struct ct_http_header_field){ "Content-Disposition", content->disposition };
	CT_ASSERT(count <= MAX_HEADERS);
	return count;
}

static struct ct_http_body body_of(
    const struct ct_cache_content *content, struct ct_cache_sealed *sealed)
{
	struct ct_http_body body = {
		.data = content->data,
		.fd = content->data != NULL ? -1 : content->fd,
		.size_bytes = content->size_bytes,
		.free = free,
		.arg = content->data,
	};
	if (sealed == NULL)
		return body;
	body.data = sealed->data;
	body.fd = sealed->fd;
	body.free = ct_cache_sealed_free;
	body.arg = sealed;
	return body;
}

static int share(const char *cache_name, const struct ct_cache_content *content,
    struct ct_cache_sealed *sealed, struct ct_http_shared **ret_shared)
{
	const struct ct_http_body body = body_of(content, sealed);
	char status[STATUS_CHARS], digest[CT_DIGEST_FIELD_CHARS + 1];
	struct ct_http_header_field fields[MAX_HEADERS];
	status_text(cache_name, CT_CACHE_HIT, status);
	ct_digest_to_field(&content->digest, digest);
	size_t count = content_headers(content, status, digest, fields);
	return ct_http_shared_new(&body, fields, count, ret_shared);
}

int ct_cache_entry_new(const char *cache_name, const char *key,
    const struct ct_cache_content *content, struct ct_cache_sealed *sealed,
    struct ct_cache_entry **ret_entry)
{
	struct ct_http_shared *shared = NULL;
	int r = share(cache_name, content, sealed, &shared);
	if (r < 0)
		return r;
	struct ct_cache_entry *entry = calloc(1, sizeof(*entry));
	if (entry == NULL) {
		ct_http_shared_unref(shared);
		return -ENOMEM;
	}
	entry->magic = ENTRY_MAGIC;
	entry->references = 1;
	entry->shared = shared;
	entry->content = *content;
	entry->is_file = content->data == NULL && sealed == NULL;
	entry->charge_bytes = sizeof(*entry) + CT_CACHE_OVERHEAD_BYTES;
	if (sealed != NULL)
		entry->charge_bytes += ct_cache_sealed_bytes(content->size_bytes);
	else if (!entry->is_file)
		entry->charge_bytes += content->size_bytes;
	r = ct_slice_copy(ct_slice_from_string(key), entry->key, sizeof(entry->key));
	CT_ASSERT(r == 0); /* keys are ours */
	*ret_entry = entry;
	return 0;
}

void ct_cache_entry_ref(struct ct_cache_entry *entry)
{
	CT_ASSERT_MAGIC(entry, ENTRY_MAGIC);
	(void)__atomic_fetch_add(&entry->references, 1, __ATOMIC_RELAXED);
}

void ct_cache_entry_unref(struct ct_cache_entry *entry)
{
	CT_ASSERT_MAGIC(entry, ENTRY_MAGIC);
	if (__atomic_sub_fetch(&entry->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	CT_ASSERT(!entry->indexed);
	if (entry->is_file)
		ct_cache_abandon_entry(entry);
	ct_http_shared_unref(entry->shared);
	free(entry->blocks);
	entry->magic = 0;
	free(entry);
}

/* A number beyond all files is as good as the largest that we can tell. */
static bool parse_position(struct ct_slice text, uint64_t *ret_position)
{
	int r = ct_slice_to_u64(text, INT64_MAX, ret_position);
	if (r == -ERANGE)
		*ret_position = INT64_MAX;
	return r == 0 || r == -ERANGE;
}

/* The part after "bytes=": first and last as numbers, or false for what is to be ignored. */
static bool parse_spec(
    struct ct_slice spec, uint64_t size_bytes, uint64_t *ret_first, uint64_t *ret_last)
{
	struct ct_slice first_text = ct_slice_cut(&spec, '-');
	uint64_t first = 0, last = INT64_MAX;
	if (spec.data == NULL || (first_text.length == 0 && spec.length == 0))
		return false;
	if (spec.length > 0 && !parse_position(spec, &last))
		return false;
	if (first_text.length == 0) { /* the last `last` bytes */
		first = last < size_bytes ? size_bytes - last : 0;
		last = INT64_MAX;
	} else if (!parse_position(first_text, &first) || last < first) {
		return false;
	}
	*ret_first = first;
	*ret_last = last;
	return true;
}

enum ct_cache_range ct_cache_parse_range(
    struct ct_slice field, uint64_t size_bytes, uint64_t *ret_first, uint64_t *ret_length)
{
	uint64_t first = 0, last = 0;
	struct ct_slice unit = ct_slice_cut(&field, '=');
	if (field.data == NULL || !ct_slice_equal_ignore_case(unit, "bytes") ||
	    !parse_spec(ct_slice_trim(field), size_bytes, &first, &last))
		return CT_CACHE_RANGE_NONE;
	if (first >= size_bytes)
		return CT_CACHE_RANGE_OUTSIDE;
	*ret_first = first;
	*ret_length = (last < size_bytes ? last + 1 : size_bytes) - first;
	return CT_CACHE_RANGE_ONE;
}

/* Are bytes of a file to be sent, which may have changed since? */
static bool needs_stream(
    const struct ct_http_request *request, int status, const struct ct_cache_entry *entry)
{
	return entry->is_file && status != 304 && ct_http_method(request) == CT_HTTP_GET;
}

static void add_headers(struct ct_http_response *response, const struct ct_cache_entry *entry,
    const char *cache_name, enum ct_cache_way way)
{
	char cache_status[STATUS_CHARS], digest[CT_DIGEST_FIELD_CHARS + 1];
	struct ct_http_header_field fields[MAX_HEADERS];
	status_text(cache_name, way, cache_status);
	ct_digest_to_field(&entry->content.digest, digest);
	size_t count = content_headers(&entry->content, cache_status, digest, fields);
	for (size_t i = 0; i < count; i++)
		ct_http_response_header(response, fields[i].name, fields[i].value);
}

static struct ct_http_response *own_response(struct ct_http_request *request, int status,
    struct ct_cache_entry *entry, const char *cache_name, enum ct_cache_way way, uint64_t offset,
    uint64_t length)
{
	struct ct_http_response *response =
	    needs_stream(request, status, entry)
		? ct_cache_stream_response(status, request, entry, offset, length)
		: ct_http_response_of_shared(status, entry->shared, offset, length);
	add_headers(response, entry, cache_name, way);
	return response;
}

static enum ct_http_next answer_outside(
    struct ct_http_request *request, const struct ct_cache_entry *entry)
{
	char text[64];
	(void)snprintf(
	    text, sizeof(text), "bytes */%llu", (unsigned long long)entry->content.size_bytes);
	struct ct_http_response *response = ct_http_problem(request, CT_ERROR_RANGE_NOT_SATISFIABLE,
	    "the content has %llu bytes", (unsigned long long)entry->content.size_bytes);
	ct_http_response_header(response, "Content-Range", text);
	ct_http_response_header(response, "ETag", entry->content.etag);
	return ct_http_answer(request, response);
}

static enum ct_http_next answer_part(struct ct_http_request *request, struct ct_cache_entry *entry,
    const char *cache_name, enum ct_cache_way way, uint64_t first, uint64_t length)
{
	char text[96];
	(void)snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)first,
	    (unsigned long long)(first + length - 1),
	    (unsigned long long)entry->content.size_bytes);
	struct ct_http_response *response =
	    own_response(request, 206, entry, cache_name, way, first, length);
	ct_http_response_header(response, "Content-Range", text);
	return ct_http_answer(request, response);
}

/* The client wants a content that this is not any more. */
static enum ct_http_next answer_failed(
    struct ct_http_request *request, const struct ct_cache_entry *entry)
{
	struct ct_http_response *response = ct_http_problem(request, CT_ERROR_PRECONDITION_FAILED,
	    "the content has the entity tag %s", entry->content.etag);
	ct_http_response_header(response, "ETag", entry->content.etag);
	return ct_http_answer(request, response);
}

static enum ct_http_next answer_whole(struct ct_http_request *request, int status,
    struct ct_cache_entry *entry, const char *cache_name, enum ct_cache_way way)
{
	if (way == CT_CACHE_HIT && !needs_stream(request, status, entry))
		return ct_http_answer_shared(request, status, entry->shared);
	return ct_http_answer(request,
	    own_response(request, status, entry, cache_name, way, 0, entry->content.size_bytes));
}

/* A date, or a weak tag, never equals our strong one (RFC 9110 section 13.1.5). */
static enum ct_cache_range wanted_range(const struct ct_http_request *request,
    const struct ct_cache_content *content, uint64_t *ret_first, uint64_t *ret_length)
{
	struct ct_slice if_range = ct_http_header(request, "If-Range");
	if (ct_http_method(request) != CT_HTTP_GET)
		return CT_CACHE_RANGE_NONE;
	if (if_range.data != NULL && !ct_slice_equal(if_range, content->etag))
		return CT_CACHE_RANGE_NONE;
	return ct_cache_parse_range(
	    ct_http_header(request, "Range"), content->size_bytes, ret_first, ret_length);
}

enum verdict { VERDICT_FAILED, VERDICT_NOT_MODIFIED, VERDICT_OUTSIDE, VERDICT_PART, VERDICT_WHOLE };

/* In the order of RFC 9110 section 13.2.2; there are no dates of modification to compare. */
static enum verdict judge(const struct ct_http_request *request,
    const struct ct_cache_content *content, uint64_t *ret_first, uint64_t *ret_length)
{
	struct ct_slice match = ct_http_header(request, "If-Match");
	struct ct_slice none_match = ct_http_header(request, "If-None-Match");
	if (match.data != NULL && !ct_http_etag_matches(match, content->etag, CT_HTTP_STRONG))
		return VERDICT_FAILED;
	if (none_match.data != NULL &&
	    ct_http_etag_matches(none_match, content->etag, CT_HTTP_WEAK))
		return VERDICT_NOT_MODIFIED;
	switch (wanted_range(request, content, ret_first, ret_length)) {
	case CT_CACHE_RANGE_OUTSIDE: return VERDICT_OUTSIDE;
	case CT_CACHE_RANGE_ONE: return VERDICT_PART;
	default: return VERDICT_WHOLE;
	}
}

enum ct_http_next ct_cache_answer_entry(struct ct_http_request *request,
    struct ct_cache_entry *entry, const char *cache_name, enum ct_cache_way way)
{
	uint64_t first = 0, length = 0;
	CT_ASSERT_MAGIC(entry, ENTRY_MAGIC);
	switch (judge(request, &entry->content, &first, &length)) {
	case VERDICT_FAILED: return answer_failed(request, entry);
	case VERDICT_NOT_MODIFIED: return answer_whole(request, 304, entry, cache_name, way);
	case VERDICT_OUTSIDE: return answer_outside(request, entry);
	case VERDICT_PART: return answer_part(request, entry, cache_name, way, first, length);
	default: return answer_whole(request, 200, entry, cache_name, way);
	}
}

bool ct_cache_wants_whole(const struct ct_http_request *request, const struct ct_cache_entry *entry)
{
	uint64_t first = 0, length = 0;
	return ct_http_method(request) == CT_HTTP_GET &&
	       judge(request, &entry->content, &first, &length) == VERDICT_WHOLE;
}

enum ct_http_next ct_cache_answer_unproved(struct ct_http_request *request,
    struct ct_cache_entry *entry, const char *cache_name, enum ct_cache_way way)
{
	CT_ASSERT_MAGIC(entry, ENTRY_MAGIC);
	struct ct_http_response *response = ct_cache_proof_response(request, entry);
	add_headers(response, entry, cache_name, way);
	return ct_http_answer(request, response);
}
