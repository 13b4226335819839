/*
 * The IETF's resumable uploads over sessions: offset, append, cancellation, and the bodies. An
 * upload is complete when a request with Upload-Complete: ?1 has been taken to its end, whatever
 * its offset and its length.
 */
#include "uploads/ietf_priv.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/structured.h"
#include "metadata/uploads.h"
#include "uploads/answer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define PROBLEM_TYPE "https://iana.org/assignments/http-problem-types#"
#define LIMIT_MAX_BYTES 256

/* ---- answers ---- */

void ct_ietf_add_limit(const struct ct_uploads *uploads, struct ct_http_response *response)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer text;
	struct ct_structured_writer writer = { .buffer = &text };
	uint64_t size = uploads->options.max_file_bytes;
	int64_t age_s = uploads->options.expiry_ms / 1000;

	ct_buffer_init(&text, LIMIT_MAX_BYTES);
	ct_structured_write_member(&writer, "max-size");
	ct_structured_write_integer(
	    &writer, size < CT_STRUCTURED_INTEGER_MAX ? (int64_t)size : CT_STRUCTURED_INTEGER_MAX);
	ct_structured_write_member(&writer, "max-age");
	ct_structured_write_integer(&writer, age_s > 0 ? age_s : 1);
	/* Out of memory: the answer stays without it. */
	if (ct_structured_writer_error(&writer) == 0)
		ct_http_response_header(response, "Upload-Limit", text.data);
}

static void add_complete(
    const struct ct_ietf_fields *fields, struct ct_http_response *response, bool is_complete)
{
	if (fields->interop == 3)
		ct_http_response_header(response, "Upload-Incomplete", is_complete ? "?0" : "?1");
	else
		ct_http_response_header(response, "Upload-Complete", is_complete ? "?1" : "?0");
}

enum ct_http_next ct_ietf_refuse_with(struct ct_uploads *uploads, struct ct_http_request *request,
    const struct ct_ietf_fields *fields, struct ct_http_response *problem)
{
	add_complete(fields, problem, false);
	ct_ietf_add_limit(uploads, problem);
	return ct_http_answer(request, problem);
}

enum ct_http_next ct_ietf_refuse(struct ct_uploads *uploads, struct ct_http_request *request,
    const struct ct_ietf_fields *fields, int error, const char *detail)
{
	return ct_ietf_refuse_with(
	    uploads, request, fields, ct_http_problem(request, error, "%s", detail));
}

struct ct_http_response *ct_ietf_inconsistent(const struct ct_http_request *request)
{
	struct ct_http_response *response = ct_http_problem(request, CT_ERROR_LENGTH_MISMATCH,
	    "Upload-Length, the offset and the body, or what was told before, differ");

	ct_http_problem_text(response, "type", PROBLEM_TYPE "inconsistent-upload-length");
	return response;
}

/* The session ends before the answer: after it, `gone` may run at any moment. */
static enum ct_http_next answer(struct ct_ietf *ietf, struct ct_http_response *response)
{
	struct ct_http_request *request = ietf->request;

	ct_session_end(ietf->session);
	ietf->session = NULL;
	return ct_http_answer(request, response);
}

static struct ct_http_response *conflict(const struct ct_ietf *ietf)
{
	const struct ct_upload_row *row = ct_session_row(ietf->session);
	struct ct_http_response *response = ct_http_problem(ietf->request, CT_ERROR_OFFSET_CONFLICT,
	    "the upload is at %" PRIu64 ", the body begins at %" PRIu64, row->at.offset,
	    ietf->fields.offset);

	ct_http_problem_text(response, "type", PROBLEM_TYPE "mismatching-upload-offset");
	ct_http_problem_number(response, "expected-offset", row->at.offset);
	ct_http_problem_number(response, "provided-offset", ietf->fields.offset);
	return response;
}

static struct ct_http_response *problem_of(const struct ct_ietf *ietf, int error)
{
	if (error == CT_ERROR_OFFSET_CONFLICT)
		return conflict(ietf);
	if (error == CT_ERROR_LENGTH_MISMATCH)
		return ct_ietf_inconsistent(ietf->request);
	return ct_answer_problem(
	    ietf->uploads, ietf->request, ietf->session, error, ietf->fields.body_bytes);
}

/* What is refused for good is complete: nothing more of it is wanted (section 4.2.2). */
static enum ct_http_next fail_with(struct ct_ietf *ietf, struct ct_http_response *response)
{
	const struct ct_upload_row *row = ct_session_row(ietf->session);
	bool is_there = ietf->creates ? ietf->is_created : row->created_at != 0;

	if (is_there && !ct_session_is_ended(ietf->session))
		ct_http_response_header_u64(response, "Upload-Offset", row->at.offset);
	add_complete(&ietf->fields, response, is_there && ct_session_is_ended(ietf->session));
	ct_ietf_add_limit(ietf->uploads, response);
	if (ietf->is_created && !ct_session_is_ended(ietf->session))
		ct_answer_location(ietf->uploads, response, "uploads", row->id);
	ct_answer_job_link(ietf->uploads, response, row->job_id);
	return answer(ietf, response);
}

static enum ct_http_next fail(struct ct_ietf *ietf, int error)
{
	/* Of what is gone, or never was, no offset is told. */
	if (error == CT_ERROR_GONE || error == CT_ERROR_NOT_FOUND)
		return answer(ietf, problem_of(ietf, error));
	return fail_with(ietf, problem_of(ietf, error));
}

static void add_state(struct ct_ietf *ietf, struct ct_http_response *response)
{
	const struct ct_upload_row *row = ct_session_row(ietf->session);

	ct_http_response_header(response, "Cache-Control", "no-store");
	ct_http_response_header_u64(response, "Upload-Offset", row->at.offset);
	add_complete(&ietf->fields, response, row->state == CT_UPLOAD_DONE);
	ct_ietf_add_limit(ietf->uploads, response);
	ct_answer_durability(ietf->uploads, response, NULL);
}

static void add_digest(const struct ct_ietf *ietf, struct ct_http_response *response)
{
	if (ietf->digests.wants_repr)
		ct_answer_repr_digest(response, ietf->session);
}

/* What the plain request would have got; told again, it is the link alone. */
static enum ct_http_next answer_done(struct ct_ietf *ietf)
{
	const struct ct_upload_row *row = ct_session_row(ietf->session);
	struct ct_http_response *response = ct_http_response_new(ietf->is_finished ? 202 : 204);

	add_state(ietf, response);
	if (ietf->creates)
		ct_answer_location(ietf->uploads, response, "jobs", row->job_id);
	if (ietf->is_finished) {
		ct_answer_jobs(ietf->uploads, response, ietf->session);
	} else {
		ct_answer_job_link(ietf->uploads, response, row->job_id);
		add_digest(ietf, response);
	}
	return answer(ietf, response);
}

static enum ct_http_next answer_progress(struct ct_ietf *ietf)
{
	struct ct_http_response *response = ct_http_response_new(ietf->creates ? 201 : 204);

	add_state(ietf, response);
	if (ietf->creates)
		ct_answer_location(
		    ietf->uploads, response, "uploads", ct_session_row(ietf->session)->id);
	return answer(ietf, response);
}

static enum ct_http_next answer_ended(struct ct_ietf *ietf)
{
	const struct ct_upload_row *row = ct_session_row(ietf->session);

	if (row->state == CT_UPLOAD_REFUSED && row->refusal < 0 &&
	    ct_http_method(ietf->request) != CT_HTTP_HEAD)
		return fail(ietf, row->refusal);
	return answer(ietf, ct_http_problem(ietf->request, CT_ERROR_GONE, "the upload is %s",
				ct_upload_state_name(row->state)));
}

enum ct_http_next ct_ietf_started(struct ct_ietf *ietf, int result)
{
	return result < 0 ? fail(ietf, result) : CT_HTTP_WAIT;
}

/* ---- bodies ---- */

static void finished(void *arg, int result)
{
	struct ct_ietf *ietf = arg;

	ietf->is_finished = result == 0;
	if (result < 0)
		(void)fail(ietf, result);
	else
		(void)answer_done(ietf);
}

static void saved(void *arg, int result)
{
	struct ct_ietf *ietf = arg;

	if (result < 0)
		(void)fail(ietf, result);
	else
		(void)answer_progress(ietf);
}

static void refused(void *arg, int result)
{
	struct ct_ietf *ietf = arg;

	(void)fail(ietf, result < 0 ? result : ct_session_row(ietf->session)->refusal);
}

static void checkpointed(void *arg, int result)
{
	struct ct_ietf *ietf = arg;

	if (result < 0)
		(void)fail(ietf, result);
	else
		ct_http_proceed(ietf->request);
}

/* Everything is there that this request has. */
static enum ct_http_next settle(struct ct_ietf *ietf)
{
	const struct ct_upload_row *row = ct_session_row(ietf->session);
	uint64_t offset = ct_session_offset(ietf->session);

	if (ietf->fields.complete && offset == 0)
		return fail(ietf, CT_ERROR_EMPTY_BODY);
	if (ietf->fields.complete && row->length_bytes != CT_BLOB_LENGTH_UNKNOWN &&
	    offset != row->length_bytes)
		return fail(ietf, CT_ERROR_LENGTH_MISMATCH);
	if (ietf->fields.complete)
		return ct_ietf_started(ietf, ct_session_finish(ietf->session, finished, ietf));
	if (offset == row->at.offset)
		return answer_progress(ietf);
	return ct_ietf_started(ietf, ct_session_save(ietf->session, saved, ietf));
}

static bool is_refusal(int error)
{
	return error == CT_ERROR_UNSUPPORTED_TYPE || error == CT_ERROR_TOO_LARGE;
}

static enum ct_http_next body(
    struct ct_http_request *request, const void *data, size_t length_bytes, void *context)
{
	struct ct_ietf *ietf = ct_http_user(request);

	(void)context;
	CT_ASSERT(ietf != NULL && ietf->session != NULL);
	int r = ct_session_append(ietf->session, data, length_bytes);
	/* Beyond its length it is invalid from now on. */
	if (is_refusal(r))
		return ct_ietf_started(ietf, ct_session_refuse(ietf->session, r, refused, ietf));
	if (r < 0)
		return fail(ietf, r);
	ct_body_check_update(&ietf->check, data, length_bytes);
	if (ct_session_wants_checkpoint(ietf->session))
		return ct_ietf_started(
		    ietf, ct_session_checkpoint(ietf->session, checkpointed, ietf));
	return CT_HTTP_PROCEED;
}

static enum ct_http_next end(struct ct_http_request *request, void *context)
{
	struct ct_ietf *ietf = ct_http_user(request);
	bool is_held = ietf->check.is_on;

	(void)context;
	CT_ASSERT(ietf->session != NULL);
	struct ct_http_response *wrong = ct_body_check_end(&ietf->check, request);
	if (wrong != NULL) {
		ct_session_drop(ietf->session);
		return fail_with(ietf, wrong);
	}
	int r = is_held ? ct_session_let_go(ietf->session) : 0;
	if (is_refusal(r))
		return ct_ietf_started(ietf, ct_session_refuse(ietf->session, r, refused, ietf));
	return r < 0 ? fail(ietf, r) : settle(ietf);
}

static void gone(struct ct_http_request *request, void *context)
{
	struct ct_ietf *ietf = ct_http_user(request);

	(void)context;
	ct_session_end(ietf->session);
	free(ietf);
}

static const struct ct_http_handler steps = { .body = body, .end = end, .gone = gone };

/* Created, or opened for appending. Answers go out of another thread: no result to pass on. */
void ct_ietf_opened(void *arg, int result)
{
	struct ct_ietf *ietf = arg;
	const struct ct_upload_row *row = ct_session_row(ietf->session);

	ietf->is_created = ietf->creates && result == 0;
	if (result < 0) {
		(void)fail(ietf, result);
	} else if (row->state == CT_UPLOAD_DONE) { /* its bytes were there already */
		ietf->is_finished = true;
		(void)answer_done(ietf);
	} else {
		ct_body_check_begin(&ietf->check, &ietf->digests);
		if (ietf->check.is_on)
			ct_session_hold_back(ietf->session);
		ct_http_proceed(ietf->request);
	}
}

/* ---- the head ---- */

/* Runs in another request's thread, under the registry's lock, which `gone` takes too. */
static void interrupt(void *arg)
{
	ct_http_interrupt(arg);
}

int ct_ietf_new(struct ct_uploads *uploads, struct ct_http_request *request,
    const struct ct_ietf_fields *fields, struct ct_ietf **ret_ietf)
{
	struct ct_ietf *ietf = calloc(1, sizeof(*ietf));

	if (ietf == NULL)
		return -ENOMEM;
	ietf->tongue.steps = &steps;
	ietf->uploads = uploads;
	ietf->request = request;
	ietf->fields = *fields;
	int r = ct_session_new(
	    uploads, ct_http_request_id(request), interrupt, request, &ietf->session);
	if (r < 0) {
		free(ietf);
		return r;
	}
	ct_http_set_user(request, ietf);
	*ret_ietf = ietf;
	return 0;
}

static enum ct_http_next open_for(
    struct ct_ietf *ietf, enum ct_session_purpose purpose, ct_session_done_fn done)
{
	const struct ct_ietf_fields *fields = &ietf->fields;
	const struct ct_session_open open = {
		.id = ct_http_parameter(ietf->request, "id"),
		.purpose = purpose,
		.offset = fields->offset,
		.body_bytes = fields->body_bytes,
		.has_length = purpose == CT_SESSION_APPEND && fields->length != CT_IETF_UNKNOWN,
		.length_bytes = fields->length,
		.awaits_end = true,
	};

	return ct_ietf_started(ietf, ct_session_open(ietf->session, &open, done, ietf));
}

/* ---- PATCH ---- */

static void opened_patch(void *arg, int result)
{
	struct ct_ietf *ietf = arg;
	const struct ct_upload_row *row = ct_session_row(ietf->session);

	if (result < 0 || !ct_session_is_ended(ietf->session))
		ct_ietf_opened(ietf, result);
	else if (row->state != CT_UPLOAD_DONE)
		(void)answer_ended(ietf);
	else if (ietf->fields.offset != row->at.offset)
		(void)fail(ietf, CT_ERROR_OFFSET_CONFLICT);
	else if (ct_http_has_body(ietf->request))
		(void)fail(ietf, CT_ERROR_TOO_LARGE);
	else
		(void)answer_done(ietf);
}

static const char *check_append(const struct ct_ietf_fields *fields)
{
	if (fields->offset == CT_IETF_UNKNOWN)
		return "Upload-Offset must be there, as an integer";
	if (!fields->has_complete)
		return "Upload-Complete must be ?1 or ?0: is this body the end of the upload?";
	return NULL;
}

enum ct_http_next ct_ietf_patch_head(struct ct_http_request *request, void *context)
{
	struct ct_uploads *uploads = context;
	struct ct_ietf_fields fields;
	struct ct_digests digests;
	struct ct_ietf *ietf;

	ct_ietf_read_fields(request, &fields);
	bool is_old = fields.interop != 0 && fields.interop <= 5;
	if (!is_old && !ct_ietf_has_append_type(request))
		return ct_ietf_refuse(uploads, request, &fields, CT_ERROR_UNSUPPORTED_TYPE,
		    "an append has Content-Type: " CT_IETF_MEDIA_TYPE);
	struct ct_http_response *coded = ct_answer_refuse_coded(request);
	if (coded != NULL)
		return ct_ietf_refuse_with(uploads, request, &fields, coded);
	const char *wrong = check_append(&fields);
	if (wrong == NULL)
		wrong = ct_digests_read(request, &digests);
	if (wrong != NULL)
		return ct_ietf_refuse(uploads, request, &fields, CT_ERROR_INVALID_HEADER, wrong);
	if (fields.is_inconsistent)
		return ct_ietf_refuse_with(
		    uploads, request, &fields, ct_ietf_inconsistent(request));
	int r = ct_ietf_new(uploads, request, &fields, &ietf);
	if (r < 0)
		return ct_ietf_refuse(uploads, request, &fields, r, ct_error_text(r));
	ietf->digests = digests;
	return open_for(ietf, CT_SESSION_APPEND, opened_patch);
}

/* ---- HEAD ---- */

static void opened_head(void *arg, int result)
{
	struct ct_ietf *ietf = arg;
	const struct ct_upload_row *row = ct_session_row(ietf->session);

	if (result < 0) {
		(void)fail(ietf, result);
		return;
	}
	if (ct_session_is_ended(ietf->session) && row->state != CT_UPLOAD_DONE) {
		(void)answer_ended(ietf);
		return;
	}
	struct ct_http_response *response = ct_http_response_new(204);
	add_state(ietf, response);
	if (row->length_bytes != CT_BLOB_LENGTH_UNKNOWN)
		ct_http_response_header_u64(response, "Upload-Length", row->length_bytes);
	ct_answer_job_link(ietf->uploads, response, row->job_id);
	add_digest(ietf, response);
	(void)answer(ietf, response);
}

static enum ct_http_next open_plain(struct ct_http_request *request, struct ct_uploads *uploads,
    enum ct_session_purpose purpose, ct_session_done_fn done)
{
	struct ct_ietf_fields fields;
	struct ct_ietf *ietf;

	ct_ietf_read_fields(request, &fields);
	int r = ct_ietf_new(uploads, request, &fields, &ietf);
	if (r < 0)
		return ct_ietf_refuse(uploads, request, &fields, r, ct_error_text(r));
	(void)ct_digests_read(request, &ietf->digests); /* it has no body: only the wish counts */
	return open_for(ietf, purpose, done);
}

enum ct_http_next ct_ietf_head_head(struct ct_http_request *request, void *context)
{
	struct ct_uploads *uploads = context;
	struct ct_ietf_fields fields;

	ct_ietf_read_fields(request, &fields);
	if (ct_http_header(request, "Upload-Offset").data != NULL ||
	    ct_http_header(request, "Upload-Complete").data != NULL)
		return ct_ietf_refuse(uploads, request, &fields, CT_ERROR_INVALID_HEADER,
		    "HEAD asks for the offset and does not tell one");
	return open_plain(request, uploads, CT_SESSION_READ, opened_head);
}

/* ---- DELETE ---- */

static void canceled(void *arg, int result)
{
	struct ct_ietf *ietf = arg;

	if (result < 0)
		(void)fail(ietf, result);
	else
		(void)answer(ietf, ct_http_response_new(204));
}

static void opened_delete(void *arg, int result)
{
	struct ct_ietf *ietf = arg;
	const struct ct_upload_row *row = ct_session_row(ietf->session);

	if (result < 0)
		(void)fail(ietf, result);
	else if (ct_session_is_ended(ietf->session) && row->state != CT_UPLOAD_DONE)
		(void)answer_ended(ietf);
	else
		(void)ct_ietf_started(ietf, ct_session_cancel(ietf->session, canceled, ietf));
}

enum ct_http_next ct_ietf_delete_head(struct ct_http_request *request, void *context)
{
	return open_plain(request, context, CT_SESSION_CANCEL, opened_delete);
}

/* ---- OPTIONS ---- */

enum ct_http_next ct_ietf_options_head(struct ct_http_request *request, void *context)
{
	struct ct_http_response *response = ct_http_response_new(204);

	ct_ietf_add_limit(context, response);
	return ct_http_answer(request, response);
}
