/*
 * POST /uploads of tus 1.0.0: creation, creation-with-upload, creation-defer-length, and the
 * partial and final uploads of concatenation.
 */
#include "uploads/tus_priv.h"

#include "metadata/api_keys.h"
#include "uploads/answer.h"
#include "uploads/ietf.h"
#include "uploads/tus_metadata.h"

#include <errno.h>
#include <string.h>

struct creation {
	uint64_t length_bytes;
	char concat[CT_UPLOAD_CONCAT_MAX + 1];
	struct ct_parts parts; /* their kind is plain where there is no Upload-Concat */
	char metadata[CT_UPLOAD_METADATA_MAX + 1];
	struct ct_tus_metadata parsed;
	uint64_t limit, value; /* what a header field passed that is refused; 0: none, not known */
};

static const char *check_length(struct ct_http_request *request, uint64_t *ret_length)
{
	struct ct_slice deferred = ct_http_header(request, "Upload-Defer-Length");

	int r = ct_http_header_u64(request, "Upload-Length", INT64_MAX, ret_length);
	if (r < 0 || (r == 0 && deferred.data == NULL))
		return "Upload-Length must be a decimal number of bytes; or send "
		       "Upload-Defer-Length: 1";
	if (deferred.data == NULL)
		return NULL;
	if (r != 0 || !ct_slice_equal(deferred, "1"))
		return "Upload-Defer-Length must be 1, and come without Upload-Length";
	*ret_length = CT_BLOB_LENGTH_UNKNOWN;
	return NULL;
}

static size_t count(struct ct_slice text, char byte)
{
	size_t found = 0;

	for (size_t i = 0; i < text.length; i++)
		found += text.data[i] == byte;
	return found;
}

static const char *check_metadata(struct ct_http_request *request, struct creation *ret_creation)
{
	struct ct_slice header = ct_http_header(request, "Upload-Metadata");

	ret_creation->metadata[0] = '\0';
	int r = ct_tus_metadata_parse(header, &ret_creation->parsed);
	if (r == 0 && header.data != NULL)
		r = ct_slice_copy(header, ret_creation->metadata, sizeof(ret_creation->metadata));
	if (r == -ENAMETOOLONG) {
		bool is_long = header.length > CT_UPLOAD_METADATA_MAX;
		size_t pairs = count(header, ',') + 1;
		bool are_many = pairs > CT_TUS_METADATA_MAX_PAIRS;
		ret_creation->limit = is_long	 ? CT_UPLOAD_METADATA_MAX
				      : are_many ? CT_TUS_METADATA_MAX_PAIRS
						 : CT_FILENAME_MAX;
		ret_creation->value = is_long ? header.length : are_many ? pairs : 0;
		return "Upload-Metadata has at most 4096 bytes, 64 pairs, and a file name of 255 "
		       "bytes";
	}
	if (r == -EILSEQ)
		return "the file name in Upload-Metadata is not UTF-8";
	if (r < 0)
		return "Upload-Metadata must be `key base64` pairs with commas between, each key "
		       "once";
	return NULL;
}

static const char *check_concat(struct ct_http_request *request, struct creation *ret_creation)
{
	struct ct_slice field = ct_http_header(request, "Upload-Concat");

	ret_creation->concat[0] = '\0';
	ret_creation->parts.kind = CT_UPLOAD_PLAIN;
	if (field.data == NULL)
		return NULL;
	int r = ct_parts_parse(field, &ret_creation->parts);
	if (r == 0)
		r = ct_slice_copy(field, ret_creation->concat, sizeof(ret_creation->concat));
	if (r == -ENAMETOOLONG) {
		bool is_long = field.length > CT_UPLOAD_METADATA_MAX;
		ret_creation->limit = is_long ? CT_UPLOAD_METADATA_MAX : CT_PARTS_MAX;
		ret_creation->value = is_long ? field.length : count(field, ' ');
		return "Upload-Concat has at most 64 parts and 4096 bytes";
	}
	if (r < 0)
		return "Upload-Concat must be `partial`, or `final;` and the addresses of its "
		       "parts, /uploads/{id}, with one blank between";
	return NULL;
}

static const char *check_no_length(struct ct_http_request *request)
{
	if (ct_http_header(request, "Upload-Length").data == NULL &&
	    ct_http_header(request, "Upload-Defer-Length").data == NULL)
		return NULL;
	return "a final upload is as long as its parts: send no Upload-Length";
}

static const char *check(struct ct_http_request *request, struct creation *ret_creation)
{
	const char *wrong = check_concat(request, ret_creation);

	if (wrong == NULL && ret_creation->parts.kind == CT_UPLOAD_FINAL)
		wrong = check_no_length(request);
	else if (wrong == NULL)
		wrong = check_length(request, &ret_creation->length_bytes);
	return wrong != NULL ? wrong : check_metadata(request, ret_creation);
}

static enum ct_http_next create(
    struct ct_uploads *uploads, struct ct_http_request *request, const struct creation *creation)
{
	struct ct_tus *tus;
	bool has_chunk = ct_http_has_body(request) && ct_tus_has_chunk_type(request);
	struct ct_tus_checksum *checksum = NULL;
	struct ct_digests digests;
	const char *wrong = NULL;
	bool is_plain = creation->parts.kind == CT_UPLOAD_PLAIN; /* a part is not the whole */
	struct ct_session_start start = {
		.length_bytes = creation->length_bytes,
		.filename = creation->parsed.filename,
		.metadata = creation->metadata,
		.key_id = ct_http_key_id(request),
		.may_adopt = is_plain && ct_http_has_scope(request, CT_SCOPE_READ),
		.kind = creation->parts.kind,
		.concat = creation->concat,
	};

	wrong = ct_digests_read(request, &digests);
	if (wrong != NULL)
		return ct_tus_refuse(request, CT_ERROR_INVALID_HEADER, wrong);
	start.repr_digest = digests.has_repr && is_plain ? &digests.repr : NULL;
	int r = has_chunk ? ct_tus_read_checksum(request, &checksum, &wrong) : 0;
	if (r < 0)
		return ct_tus_refuse(request, r, wrong != NULL ? wrong : ct_error_text(r));
	r = ct_tus_new(uploads, request, &tus);
	if (r < 0) {
		ct_tus_checksum_free(checksum);
		return ct_tus_refuse(request, r, ct_error_text(r));
	}
	tus->checksum = checksum;
	tus->digests = digests;
	tus->creates = true;
	tus->has_chunk = has_chunk;
	return ct_tus_started(tus, ct_session_create(tus->session, &start, ct_tus_opened, tus));
}

static enum ct_http_next refuse_size(
    struct ct_uploads *uploads, struct ct_http_request *request, int error, uint64_t value_bytes)
{
	return ct_http_answer(
	    request, ct_answer_problem(uploads, request, NULL, error, value_bytes));
}

/* A body that is longer than the upload, where both are told. */
static enum ct_http_next refuse_chunk(struct ct_uploads *uploads, struct ct_http_request *request,
    const struct creation *creation, uint64_t body_bytes)
{
	if (creation->length_bytes == CT_BLOB_LENGTH_UNKNOWN)
		return refuse_size(uploads, request, CT_ERROR_TOO_LARGE, body_bytes);
	struct ct_http_response *problem =
	    ct_http_problem(request, CT_ERROR_TOO_LARGE, "the body is longer than Upload-Length");

	ct_http_problem_limit(problem, creation->length_bytes, body_bytes);
	return ct_http_answer(request, problem);
}

static enum ct_http_next begin(
    struct ct_uploads *uploads, struct ct_http_request *request, const struct creation *creation)
{
	uint64_t limit = uploads->options.max_file_bytes;
	uint64_t length = creation->length_bytes;
	uint64_t body_bytes;

	if (length == 0 && creation->parts.kind == CT_UPLOAD_PLAIN)
		return refuse_size(uploads, request, CT_ERROR_EMPTY_BODY, 0);
	if (length != CT_BLOB_LENGTH_UNKNOWN && length > limit)
		return refuse_size(uploads, request, CT_ERROR_TOO_LARGE, length);
	if (length < limit)
		limit = length;
	if (ct_tus_has_chunk_type(request) && ct_http_content_length(request, &body_bytes) &&
	    body_bytes > limit)
		return refuse_chunk(uploads, request, creation, body_bytes);
	if (ct_uploads_is_full(uploads))
		return refuse_size(uploads, request, CT_ERROR_LIMIT_REACHED, 0);
	return create(uploads, request, creation);
}

static enum ct_http_next join(
    struct ct_uploads *uploads, struct ct_http_request *request, const struct creation *creation)
{
	struct ct_digests digests;
	struct ct_session_start start = {
		.length_bytes = CT_BLOB_LENGTH_UNKNOWN,
		.filename = creation->parsed.filename,
		.metadata = creation->metadata,
		.key_id = ct_http_key_id(request),
		.kind = CT_UPLOAD_FINAL,
		.concat = creation->concat,
	};
	struct ct_tus *tus;

	if (ct_http_has_body(request))
		return ct_tus_refuse(
		    request, CT_ERROR_FINAL_UPLOAD, ct_error_text(CT_ERROR_FINAL_UPLOAD));
	const char *wrong = ct_digests_read(request, &digests);
	if (wrong != NULL)
		return ct_tus_refuse(request, CT_ERROR_INVALID_HEADER, wrong);
	start.repr_digest = digests.has_repr ? &digests.repr : NULL;
	int r = ct_tus_new(uploads, request, &tus);
	if (r < 0)
		return ct_tus_refuse(request, r, ct_error_text(r));
	tus->creates = true;
	tus->joins = true;
	tus->digests = digests;
	return ct_tus_started(
	    tus, ct_session_join(tus->session, &start, &creation->parts, ct_tus_opened, tus));
}

static enum ct_http_next refuse_field(
    struct ct_http_request *request, const struct creation *creation, const char *wrong)
{
	struct ct_http_response *problem =
	    ct_http_problem(request, CT_ERROR_INVALID_HEADER, "%s", wrong);

	ct_http_problem_passed(problem, creation->limit, creation->value);
	return ct_http_answer(request, problem);
}

enum ct_http_next ct_tus_create_head(struct ct_http_request *request, void *context)
{
	struct ct_slice method = ct_http_header(request, "X-HTTP-Method-Override");
	struct creation creation;

	if (ct_slice_equal(method, "OPTIONS"))
		return ct_tus_options_head(request, context);
	if (method.data != NULL && !ct_slice_equal(method, "POST"))
		return ct_tus_refuse(request, CT_ERROR_METHOD_NOT_ALLOWED,
		    "X-HTTP-Method-Override: /uploads takes OPTIONS and POST");
	if (ct_ietf_is_spoken(request))
		return ct_ietf_create_head(request, context);
	if (!ct_tus_is_spoken(request))
		return ct_tus_refuse_version(request);
	creation.limit = creation.value = 0;
	const char *wrong = check(request, &creation);
	if (wrong != NULL)
		return refuse_field(request, &creation, wrong);
	struct ct_http_response *coded = ct_answer_refuse_coded(request);
	if (coded != NULL)
		return ct_http_answer(request, coded);
	if (creation.parts.kind == CT_UPLOAD_FINAL)
		return join(context, request, &creation);
	return begin(context, request, &creation);
}
