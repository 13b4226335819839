/*
 * POST /uploads of tus 1.0.0: creation, creation-with-upload, creation-defer-length.
 */
#include "uploads/tus_priv.h"

#include "uploads/answer.h"
#include "uploads/tus_metadata.h"

#include <errno.h>
#include <string.h>

struct creation {
	uint64_t length_bytes;
	char metadata[CT_UPLOAD_METADATA_MAX + 1];
	struct ct_tus_metadata parsed;
};

static const char *check_length(struct ct_http_request *request, uint64_t *ret_length)
{
	if (ct_http_header(request, "Upload-Defer-Length").data != NULL)
		return "Upload-Defer-Length is not supported; send Upload-Length";
	if (ct_http_header(request, "Upload-Concat").data != NULL)
		return "Upload-Concat is not supported; send the file as one upload";
	if (ct_http_header_u64(request, "Upload-Length", INT64_MAX, ret_length) != 1)
		return "Upload-Length must be there once, as a decimal number of bytes";
	return NULL;
}

static const char *check_metadata(struct ct_http_request *request, struct creation *ret_creation)
{
	struct ct_slice header = ct_http_header(request, "Upload-Metadata");

	ret_creation->metadata[0] = '\0';
	int r = ct_tus_metadata_parse(header, &ret_creation->parsed);
	if (r == 0 && header.data != NULL)
		r = ct_slice_copy(header, ret_creation->metadata, sizeof(ret_creation->metadata));
	if (r == -ENAMETOOLONG)
		return "Upload-Metadata has at most 4096 bytes, 64 pairs, and a file name of 255 "
		       "bytes";
	if (r < 0)
		return "Upload-Metadata must be `key base64` pairs with commas between, each key "
		       "once";
	return NULL;
}

static enum ct_http_next create(
    struct ct_uploads *uploads, struct ct_http_request *request, const struct creation *creation)
{
	struct ct_tus *tus;
	bool has_chunk = ct_http_has_body(request) && ct_tus_has_chunk_type(request);
	struct ct_session_start start = {
		.length_bytes = creation->length_bytes,
		.filename = creation->parsed.filename,
		.metadata = creation->metadata,
		.key_id = ct_http_key_id(request),
	};

	int r = ct_tus_new(uploads, request, &tus);
	if (r < 0)
		return ct_tus_refuse(request, r, ct_error_text(r));
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

static enum ct_http_next refuse_chunk(
    struct ct_http_request *request, uint64_t limit_bytes, uint64_t value_bytes)
{
	struct ct_http_response *problem =
	    ct_http_problem(request, CT_ERROR_TOO_LARGE, "the body is longer than Upload-Length");

	ct_http_problem_limit(problem, limit_bytes, value_bytes);
	return ct_http_answer(request, problem);
}

enum ct_http_next ct_tus_create_head(struct ct_http_request *request, void *context)
{
	struct ct_uploads *uploads = context;
	struct creation creation;
	uint64_t body_bytes;

	if (!ct_tus_is_spoken(request))
		return ct_tus_refuse_version(request);
	const char *wrong = check_length(request, &creation.length_bytes);
	if (wrong == NULL)
		wrong = check_metadata(request, &creation);
	if (wrong != NULL)
		return ct_tus_refuse(request, CT_ERROR_INVALID_HEADER, wrong);
	if (creation.length_bytes == 0)
		return refuse_size(uploads, request, CT_ERROR_EMPTY_BODY, 0);
	if (creation.length_bytes > uploads->options.max_file_bytes)
		return refuse_size(uploads, request, CT_ERROR_TOO_LARGE, creation.length_bytes);
	if (ct_tus_has_chunk_type(request) && ct_http_content_length(request, &body_bytes) &&
	    body_bytes > creation.length_bytes)
		return refuse_chunk(request, creation.length_bytes, body_bytes);
	if (ct_uploads_is_full(uploads))
		return refuse_size(uploads, request, CT_ERROR_LIMIT_REACHED, 0);
	return create(uploads, request, &creation);
}
