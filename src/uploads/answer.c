#include "uploads/answer.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/url.h"
#include "jobs/jobs.h"
#include "metadata/jobs.h"
#include "metadata/uploads.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void format_url(
    const struct ct_uploads *uploads, const char *folder, const char *id, char ret_url[CT_URL_MAX])
{
	int r =
	    ct_url_under(ret_url, CT_URL_MAX, uploads->options.public_url, "/%s/%s", folder, id);
	CT_ASSERT(r == 0); /* uploads.c has checked that it fits */
}

void ct_answer_location(const struct ct_uploads *uploads, struct ct_http_response *response,
    const char *folder, const char *id)
{
	char url[CT_URL_MAX];

	format_url(uploads, folder, id, url);
	ct_http_response_header(response, "Location", url);
}

void ct_answer_job_link(
    const struct ct_uploads *uploads, struct ct_http_response *response, const char *job_id)
{
	char url[CT_URL_MAX];
	char link[CT_URL_MAX + 32];

	if (job_id[0] == '\0')
		return;
	format_url(uploads, "jobs", job_id, url);
	(void)snprintf(link, sizeof(link), "<%s>; rel=\"status\"", url); /* it fits */
	ct_http_response_header(response, "Link", link);
}

void ct_answer_durability(
    const struct ct_uploads *uploads, struct ct_http_response *response, struct ct_json *job)
{
	if (!uploads->options.is_async)
		return;
	if (response != NULL)
		ct_http_response_header(response, "Calotype-Durability", "async");
	if (job != NULL)
		ct_json_set_text(job, "durability", "async");
}

void ct_answer_repr_digest(struct ct_http_response *response, const struct ct_session *session)
{
	char text[CT_DIGEST_FIELD_CHARS + 1];
	struct ct_digest digest;

	if (ct_session_row(session)->state != CT_UPLOAD_DONE ||
	    ct_session_digest(session, &digest) < 0)
		return;
	ct_digest_to_field(&digest, text);
	ct_http_response_header(response, "Repr-Digest", text);
}

void ct_answer_jobs(const struct ct_uploads *uploads, struct ct_http_response *response,
    const struct ct_session *session)
{
	struct ct_json *json = ct_json_object();
	struct ct_json *jobs = ct_json_array();
	struct ct_job_row job;

	ct_session_job(session, &job);
	struct ct_json *entry = ct_job_to_json(&job);
	ct_answer_durability(uploads, NULL, entry);
	ct_json_append(jobs, entry);
	ct_json_set(json, "jobs", jobs);
	ct_answer_job_link(uploads, response, job.id);
	ct_http_response_json(response, json);
}

static struct ct_http_response *too_large(const struct ct_uploads *uploads,
    const struct ct_http_request *request, const struct ct_session *session, uint64_t value_bytes)
{
	const struct ct_upload_row *row = session != NULL ? ct_session_row(session) : NULL;
	uint64_t limit = uploads->options.max_file_bytes;
	struct ct_http_response *response;

	if (row != NULL && row->length_bytes != CT_BLOB_LENGTH_UNKNOWN) {
		limit = row->length_bytes - row->at.offset;
		response = ct_http_problem(request, CT_ERROR_TOO_LARGE,
		    "the upload is %" PRIu64 " bytes long and is at %" PRIu64
		    "; the body is longer than the rest",
		    row->length_bytes, row->at.offset);
	} else {
		response = ct_http_problem(request, CT_ERROR_TOO_LARGE,
		    "a file may have at most %" PRIu64 " bytes", limit);
	}
	/* A body without a stated length was cut off at its first byte too many. */
	ct_http_problem_limit(
	    response, limit, value_bytes == CT_BLOB_LENGTH_UNKNOWN ? limit + 1 : value_bytes);
	return response;
}

static struct ct_http_response *full(
    const struct ct_uploads *uploads, const struct ct_http_request *request)
{
	unsigned limit = uploads->options.max_open_uploads;
	struct ct_http_response *response = ct_http_problem(request, CT_ERROR_TOO_MANY_UPLOADS,
	    "%u uploads are open, and no more may be; finish or delete one, or come back later",
	    limit);

	ct_http_problem_limit(response, limit, (uint64_t)limit + 1);
	return response;
}

static struct ct_http_response *no_room(
    const struct ct_uploads *uploads, const struct ct_http_request *request, uint64_t value_bytes)
{
	uint64_t available = 0;
	int r = ct_blob_store_available(uploads->options.store, &available);
	if (r < 0 || value_bytes == CT_BLOB_LENGTH_UNKNOWN || value_bytes <= available)
		return ct_http_problem(request, CT_ERROR_INSUFFICIENT_SPACE,
		    "the disk has no room for this file now; what was acknowledged is kept");
	struct ct_http_response *response = ct_http_problem(request, CT_ERROR_INSUFFICIENT_SPACE,
	    "the disk has room for %" PRIu64 " bytes now, and this file has %" PRIu64
	    "; what was acknowledged is kept",
	    available, value_bytes);
	ct_http_problem_limit(response, available, value_bytes);
	return response;
}

struct ct_http_response *ct_answer_problem(const struct ct_uploads *uploads,
    const struct ct_http_request *request, const struct ct_session *session, int error,
    uint64_t value_bytes)
{
	const char *detail = session != NULL ? ct_session_row(session)->refusal_detail : "";

	switch (ct_error_canonical(error)) {
	case CT_ERROR_TOO_LARGE: return too_large(uploads, request, session, value_bytes);
	case CT_ERROR_LIMIT_REACHED:
		if (session == NULL)
			return full(uploads, request);
		return ct_http_problem(
		    request, error, "the server is at a limit of its own; try again");
	case CT_ERROR_TOO_MANY_UPLOADS: return full(uploads, request);
	case CT_ERROR_EMPTY_BODY:
		return ct_http_problem(request, error,
		    "an image of 0 bytes is none; send the file's bytes as the body");
	case CT_ERROR_INSUFFICIENT_SPACE:
		return no_room(uploads, request,
		    session != NULL ? ct_session_row(session)->length_bytes : value_bytes);
	case CT_ERROR_UPLOAD_BUSY:
		return ct_http_problem(
		    request, error, "another request still saves this upload; try again");
	case CT_ERROR_UNSUPPORTED_TYPE:
	case CT_ERROR_REPR_DIGEST_MISMATCH:
		if (detail[0] != '\0')
			return ct_http_problem(request, error, "%s", detail);
		break;
	default: break;
	}
	if (ct_error_http_status(error) == 500 || error == CT_ERROR_STORE_UNHEALTHY)
		ct_log(CT_LOG_ERROR, "upload.failed",
		    CT_LOG_TEXT("request", ct_http_request_id(request)),
		    CT_LOG_TEXT("id", session != NULL ? ct_session_row(session)->id : ""),
		    CT_LOG_CODE(error));
	return ct_http_problem(request, error, "%s", ct_error_text(error));
}

struct ct_http_response *ct_answer_refuse_coded(const struct ct_http_request *request)
{
	struct ct_slice coding = ct_http_header(request, "Content-Encoding");
	if (coding.data != NULL && !ct_slice_equal_ignore_case(coding, "identity")) {
		struct ct_http_response *response =
		    ct_http_problem(request, CT_ERROR_UNSUPPORTED_ENCODING,
			"the body is kept as it comes, so send the file without Content-Encoding");
		ct_http_response_header(response, "Accept-Encoding", "identity");
		return response;
	}
	if (ct_http_header(request, "Content-Range").data == NULL)
		return NULL;
	return ct_http_problem(request, CT_ERROR_INVALID_HEADER,
	    "Content-Range means a part of a file, and this takes whole ones; send parts to "
	    "/uploads");
}

struct ct_http_response *ct_answer_name_problem(
    const struct ct_http_request *request, int error, int r, size_t name_bytes)
{
	if (r != -ENAMETOOLONG)
		return ct_http_problem(
		    request, error, "the file name is empty, malformed or not UTF-8");
	struct ct_http_response *problem =
	    ct_http_problem(request, error, "a file name has at most %d bytes", CT_FILENAME_MAX);
	ct_http_problem_passed(problem, CT_FILENAME_MAX, name_bytes);
	return problem;
}
