/*
 * tus 1.0.0 over sessions: OPTIONS, HEAD, PATCH and DELETE of an upload, and the bodies of PATCH
 * and POST. What each clause of the protocol becomes is told in README.md.
 */
#include "uploads/tus_priv.h"

#include "uploads/answer.h"
#include "uploads/ietf.h"

#include "base/assert.h"
#include "base/clock.h"
#include "metadata/api_keys.h"
#include "metadata/uploads.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- answers ---- */

/* A problem says no-store by itself. */
struct ct_http_response *ct_tus_response(int status)
{
	struct ct_http_response *response = ct_http_response_new(status);

	ct_http_response_header(response, "Cache-Control", "no-store");
	return response;
}

enum ct_http_next ct_tus_refuse(struct ct_http_request *request, int error, const char *detail)
{
	return ct_http_answer(request, ct_http_problem(request, error, "%s", detail));
}

/* The session ends before the answer: after it, `gone` may run at any moment. */
static enum ct_http_next answer(struct ct_tus *tus, struct ct_http_response *response)
{
	struct ct_http_request *request = tus->request;

	if (tus->is_created)
		ct_answer_location(
		    tus->uploads, response, "uploads", ct_session_row(tus->session)->id);
	ct_session_end(tus->session);
	tus->session = NULL;
	return ct_http_answer(request, response);
}

static struct ct_http_response *conflict(const struct ct_tus *tus)
{
	const struct ct_upload_row *row = ct_session_row(tus->session);
	struct ct_http_response *response = ct_http_problem(tus->request, CT_ERROR_OFFSET_CONFLICT,
	    "the upload is at %" PRIu64 ", the chunk begins at %" PRIu64, row->at.offset,
	    tus->offset);

	ct_http_response_header_u64(response, "Upload-Offset", row->at.offset);
	ct_http_problem_number(response, "offset", row->at.offset);
	ct_http_problem_limit(response, row->at.offset, tus->offset);
	return response;
}

static struct ct_http_response *other_length(const struct ct_tus *tus)
{
	const struct ct_upload_row *row = ct_session_row(tus->session);
	bool is_known = row->length_bytes != CT_BLOB_LENGTH_UNKNOWN;
	struct ct_http_response *response = ct_http_problem(tus->request, CT_ERROR_LENGTH_MISMATCH,
	    is_known ? "the length was told before, as %" PRIu64 ", and stays"
		     : "Upload-Length lies below the offset, %" PRIu64,
	    is_known ? row->length_bytes : row->at.offset);

	ct_http_problem_limit(
	    response, is_known ? row->length_bytes : row->at.offset, tus->length_bytes);
	return response;
}

/* A body, or a length, that is more than an upload of unknown length may have. */
static struct ct_http_response *too_large(const struct ct_tus *tus)
{
	const struct ct_upload_row *row = ct_session_row(tus->session);
	uint64_t value = tus->length_bytes;

	if (value <= tus->uploads->options.max_file_bytes) {
		struct ct_http_response *response = ct_http_problem(tus->request,
		    CT_ERROR_TOO_LARGE, "the body is longer than the rest of Upload-Length");
		ct_http_problem_limit(response, value - row->at.offset, tus->body_bytes);
		return response;
	}
	if (value == CT_BLOB_LENGTH_UNKNOWN && tus->body_bytes != CT_BLOB_LENGTH_UNKNOWN)
		value = row->at.offset + tus->body_bytes;
	return ct_answer_problem(
	    tus->uploads, tus->request, tus->session, CT_ERROR_TOO_LARGE, value);
}

/* What is wrong with the parts of a final upload. */
static struct ct_http_response *unjoinable(const struct ct_tus *tus, int error)
{
	const struct ct_upload_row *row = ct_session_row(tus->session);
	struct ct_http_response *response =
	    ct_http_problem(tus->request, error, "%s", row->refusal_detail);

	if (error == CT_ERROR_TOO_LARGE)
		ct_http_problem_limit(
		    response, tus->uploads->options.max_file_bytes, row->length_bytes);
	return response;
}

static struct ct_http_response *problem_of(const struct ct_tus *tus, int error)
{
	const struct ct_upload_row *row = ct_session_row(tus->session);

	if (error == CT_ERROR_OFFSET_CONFLICT)
		return conflict(tus);
	if (tus->joins && row->refusal_detail[0] != '\0')
		return unjoinable(tus, error);
	if (error == CT_ERROR_LENGTH_MISMATCH && tus->appends)
		return other_length(tus);
	if (error == CT_ERROR_TOO_LARGE && row->length_bytes == CT_BLOB_LENGTH_UNKNOWN)
		return too_large(tus);
	return ct_answer_problem(tus->uploads, tus->request, tus->session, error, tus->body_bytes);
}

enum ct_http_next ct_tus_fail(struct ct_tus *tus, int error)
{
	const struct ct_upload_row *row = ct_session_row(tus->session);
	struct ct_http_response *response = problem_of(tus, error);

	ct_answer_job_link(tus->uploads, response, row->job_id);
	return answer(tus, response);
}

static void add_progress(struct ct_tus *tus, struct ct_http_response *response)
{
	const struct ct_upload_row *row = ct_session_row(tus->session);
	char expires[CT_TIME_HTTP_CHARS + 1];

	/* The offset of a final one means nothing before it is done. */
	if (row->kind != CT_UPLOAD_FINAL || row->state == CT_UPLOAD_DONE)
		ct_http_response_header_u64(response, "Upload-Offset", row->at.offset);
	ct_answer_job_link(tus->uploads, response, row->job_id);
	if (row->state != CT_UPLOAD_RECEIVING)
		return;
	ct_time_format_http(row->expires_at, expires);
	ct_http_response_header(response, "Upload-Expires", expires);
}

enum ct_http_next ct_tus_answer_progress(struct ct_tus *tus)
{
	struct ct_http_response *response = ct_tus_response(tus->creates ? 201 : 204);

	ct_answer_durability(tus->uploads, response, NULL);
	add_progress(tus, response);
	return answer(tus, response);
}

/* An upload that has ended: a refusal is told again to who goes on, the rest is gone. */
static enum ct_http_next answer_ended(struct ct_tus *tus)
{
	const struct ct_upload_row *row = ct_session_row(tus->session);

	if (row->state == CT_UPLOAD_REFUSED && row->refusal < 0 && tus->appends)
		return ct_tus_fail(tus, row->refusal);
	return answer(tus, ct_http_problem(tus->request, CT_ERROR_GONE, "the upload is %s",
			       ct_upload_state_name(row->state)));
}

/* ---- the head ---- */

bool ct_tus_is_spoken(struct ct_http_request *request)
{
	return ct_slice_equal(ct_http_header(request, "Tus-Resumable"), CT_TUS_VERSION);
}

enum ct_http_next ct_tus_refuse_version(struct ct_http_request *request)
{
	struct ct_http_response *response =
	    ct_http_problem(request, CT_ERROR_UNSUPPORTED_TUS_VERSION,
		"this address speaks tus " CT_TUS_VERSION "; send Tus-Resumable: " CT_TUS_VERSION);

	ct_http_response_header(response, "Tus-Version", CT_TUS_VERSION);
	return ct_http_answer(request, response);
}

bool ct_tus_has_chunk_type(struct ct_http_request *request)
{
	struct ct_slice type = ct_http_header(request, "Content-Type");
	struct ct_slice media = ct_slice_trim(ct_slice_cut(&type, ';'));

	return ct_slice_equal_ignore_case(media, CT_TUS_MEDIA_TYPE);
}

static int read_checksum(
    struct ct_slice field, struct ct_tus_checksum_value *ret_value, const char **ret_wrong)
{
	int r = ct_tus_checksum_parse(field, ret_value);

	if (r == 0)
		return 0;
	*ret_wrong =
	    r == -EOPNOTSUPP
		? "Upload-Checksum: the algorithms are " CT_TUS_CHECKSUM_ALGORITHMS
		: "Upload-Checksum must be an algorithm, a blank, and its digest in Base64";
	return CT_ERROR_INVALID_HEADER;
}

int ct_tus_read_checksum(
    struct ct_http_request *request, struct ct_tus_checksum **ret_checksum, const char **ret_wrong)
{
	struct ct_slice field = ct_http_header(request, "Upload-Checksum");
	bool comes_later = ct_tus_checksum_is_announced(ct_http_header(request, "Trailer"));
	struct ct_tus_checksum_value value;

	if (field.data == NULL)
		return comes_later ? ct_tus_checksum_new(NULL, ret_checksum) : 0;
	if (comes_later) {
		*ret_wrong = "Upload-Checksum comes in the head or in the trailer, not in both";
		return CT_ERROR_INVALID_HEADER;
	}
	int r = read_checksum(field, &value, ret_wrong);
	return r < 0 ? r : ct_tus_checksum_new(&value, ret_checksum);
}

/* Runs in another request's thread, under the registry's lock, which `gone` takes too. */
static void interrupt(void *arg)
{
	ct_http_interrupt(arg);
}

static const struct ct_http_handler steps = {
	.body = ct_tus_body, .end = ct_tus_end, .gone = ct_tus_gone
};

int ct_tus_new(struct ct_uploads *uploads, struct ct_http_request *request, struct ct_tus **ret_tus)
{
	struct ct_tus *tus = calloc(1, sizeof(*tus));

	if (tus == NULL)
		return -ENOMEM;
	tus->tongue.steps = &steps;
	tus->uploads = uploads;
	tus->request = request;
	tus->length_bytes = CT_BLOB_LENGTH_UNKNOWN;
	if (!ct_http_content_length(request, &tus->body_bytes))
		tus->body_bytes = CT_BLOB_LENGTH_UNKNOWN;
	int r =
	    ct_session_new(uploads, ct_http_request_id(request), interrupt, request, &tus->session);
	if (r < 0) {
		free(tus);
		return r;
	}
	ct_http_set_user(request, tus);
	*ret_tus = tus;
	return 0;
}

enum ct_http_next ct_tus_started(struct ct_tus *tus, int result)
{
	return result < 0 ? ct_tus_fail(tus, result) : CT_HTTP_WAIT;
}

static enum ct_http_next open_session(
    struct ct_tus *tus, enum ct_session_purpose purpose, ct_session_done_fn done)
{
	const struct ct_session_open open = {
		.id = ct_http_parameter(tus->request, "id"),
		.purpose = purpose,
		.offset = tus->offset,
		.body_bytes = tus->body_bytes,
		.has_length = tus->length_bytes != CT_BLOB_LENGTH_UNKNOWN,
		.length_bytes = tus->length_bytes,
	};

	return ct_tus_started(tus, ct_session_open(tus->session, &open, done, tus));
}

/* HEAD and DELETE say nothing but the address. */
static enum ct_http_next open_for(struct ct_uploads *uploads, struct ct_http_request *request,
    enum ct_session_purpose purpose, ct_session_done_fn done)
{
	struct ct_tus *tus;

	int r = ct_tus_new(uploads, request, &tus);
	if (r < 0)
		return ct_tus_refuse(request, r, ct_error_text(r));
	(void)ct_digests_read(request, &tus->digests); /* no body: only the wish counts */
	return open_session(tus, purpose, done);
}

/* ---- OPTIONS ---- */

enum ct_http_next ct_tus_options_head(struct ct_http_request *request, void *context)
{
	struct ct_uploads *uploads = context;
	struct ct_http_response *response = ct_tus_response(204);

	ct_http_response_header(response, "Tus-Version", CT_TUS_VERSION);
	ct_http_response_header(response, "Tus-Extension", CT_TUS_EXTENSIONS);
	ct_http_response_header_u64(response, "Tus-Max-Size", uploads->options.max_file_bytes);
	ct_http_response_header(
	    response, "Accept-Patch", CT_TUS_MEDIA_TYPE ", application/partial-upload");
	ct_ietf_add_limit(uploads, response);
	ct_http_response_header(response, "Tus-Checksum-Algorithm", CT_TUS_CHECKSUM_ALGORITHMS);
	return ct_http_answer(request, response);
}

/* ---- bodies of POST and PATCH ---- */

static void stored(void *arg, int result)
{
	struct ct_tus *tus = arg;

	if (result < 0)
		(void)ct_tus_fail(tus, result);
	else
		(void)ct_tus_answer_progress(tus);
}

/* Are the bytes of its body to be checked before they are kept? */
static bool is_on_trial(const struct ct_tus *tus)
{
	return tus->checksum != NULL || tus->check.is_on;
}

/* Created, or opened for appending. Answers here go out of another thread: no result to pass on. */
void ct_tus_opened(void *arg, int result)
{
	struct ct_tus *tus = arg;
	const struct ct_upload_row *row = ct_session_row(tus->session);

	tus->is_created = tus->creates && result == 0;
	if (tus->has_chunk)
		ct_body_check_begin(&tus->check, &tus->digests);
	if (result == 0 && is_on_trial(tus) && row->state == CT_UPLOAD_RECEIVING)
		ct_session_hold_back(tus->session);
	if (result < 0)
		(void)ct_tus_fail(tus, result);
	else if (tus->has_chunk && row->state == CT_UPLOAD_RECEIVING)
		ct_http_proceed(tus->request);
	else if (ct_session_is_complete(tus->session)) /* its length has just been told */
		(void)ct_tus_started(tus, ct_session_finish(tus->session, stored, tus));
	else
		(void)ct_tus_answer_progress(tus);
}

static void refused(void *arg, int result)
{
	struct ct_tus *tus = arg;

	(void)ct_tus_fail(tus, result < 0 ? result : ct_session_row(tus->session)->refusal);
}

static void checkpointed(void *arg, int result)
{
	struct ct_tus *tus = arg;

	if (result < 0)
		(void)ct_tus_fail(tus, result);
	else
		ct_http_proceed(tus->request);
}

enum ct_http_next ct_tus_body(
    struct ct_http_request *request, const void *data, size_t length_bytes, void *context)
{
	struct ct_tus *tus = ct_http_user(request);

	(void)context;
	CT_ASSERT(tus != NULL && tus->session != NULL);
	int r = ct_session_append(tus->session, data, length_bytes);
	if (r == CT_ERROR_UNSUPPORTED_TYPE)
		return ct_tus_started(tus, ct_session_refuse(tus->session, r, refused, tus));
	if (r < 0)
		return ct_tus_fail(tus, r);
	if (tus->checksum != NULL)
		ct_tus_checksum_update(tus->checksum, data, length_bytes);
	ct_body_check_update(&tus->check, data, length_bytes);
	if (ct_session_wants_checkpoint(tus->session))
		return ct_tus_started(tus, ct_session_checkpoint(tus->session, checkpointed, tus));
	return CT_HTTP_PROCEED;
}

static enum ct_http_next discard(struct ct_tus *tus, struct ct_http_response *response)
{
	ct_session_drop(tus->session);
	ct_http_response_header_u64(
	    response, "Upload-Offset", ct_session_row(tus->session)->at.offset);
	return answer(tus, response);
}

/* 0: the chunk may be kept. Else `*ret_why`; what came is dropped then. */
static int judge_checksum(struct ct_tus *tus, const char **ret_why)
{
	struct ct_tus_checksum_value value;
	struct ct_slice field;
	bool awaits = tus->checksum != NULL && ct_tus_checksum_awaits(tus->checksum);
	int r = ct_http_trailer(tus->request, "Upload-Checksum", &field);

	if (r < 0 || (r == 1) != awaits) {
		*ret_why = r == 0 ? "Trailer announced an Upload-Checksum, and none came"
				  : "an Upload-Checksum in the trailer comes once, and the head "
				    "announces it: `Trailer: Upload-Checksum`";
		return CT_ERROR_INVALID_HEADER;
	}
	if (tus->checksum == NULL)
		return 0;
	if (awaits) {
		r = read_checksum(field, &value, ret_why);
		if (r < 0)
			return r;
		ct_tus_checksum_expect(tus->checksum, &value);
	}
	*ret_why = ct_error_text(CT_ERROR_CHECKSUM_MISMATCH);
	return ct_tus_checksum_matches(tus->checksum) ? 0 : CT_ERROR_CHECKSUM_MISMATCH;
}

enum ct_http_next ct_tus_end(struct ct_http_request *request, void *context)
{
	struct ct_tus *tus = ct_http_user(request);
	const char *why = NULL;

	(void)context;
	CT_ASSERT(tus != NULL && tus->session != NULL);
	int r = judge_checksum(tus, &why);
	if (r < 0)
		return discard(tus, ct_http_problem(request, r, "%s", why));
	bool was_on_trial = is_on_trial(tus);
	struct ct_http_response *wrong = ct_body_check_end(&tus->check, request);
	if (wrong != NULL)
		return discard(tus, wrong);
	r = was_on_trial ? ct_session_let_go(tus->session) : 0;
	if (r == CT_ERROR_UNSUPPORTED_TYPE)
		return ct_tus_started(tus, ct_session_refuse(tus->session, r, refused, tus));
	if (r < 0)
		return ct_tus_fail(tus, r);
	const struct ct_upload_row *row = ct_session_row(tus->session);
	if (ct_session_is_complete(tus->session))
		return ct_tus_started(tus, ct_session_finish(tus->session, stored, tus));
	if (ct_session_offset(tus->session) == row->at.offset)
		return ct_tus_answer_progress(tus);
	return ct_tus_started(tus, ct_session_save(tus->session, stored, tus));
}

void ct_tus_gone(struct ct_http_request *request, void *context)
{
	struct ct_tus *tus = ct_http_user(request);

	(void)context;
	ct_session_end(tus->session);
	ct_tus_checksum_free(tus->checksum);
	free(tus);
}

/* ---- PATCH ---- */

/* One that has ended in the meantime, or was finished by this very open. */
static void opened_patch(void *arg, int result)
{
	struct ct_tus *tus = arg;
	const struct ct_upload_row *row = ct_session_row(tus->session);

	if (result < 0 || !ct_session_is_ended(tus->session)) {
		ct_tus_opened(tus, result);
		return;
	}
	if (row->state != CT_UPLOAD_DONE) {
		(void)answer_ended(tus);
		return;
	}
	if (tus->offset != row->at.offset)
		(void)ct_tus_fail(tus, CT_ERROR_OFFSET_CONFLICT);
	else if (tus->length_bytes != CT_BLOB_LENGTH_UNKNOWN &&
		 tus->length_bytes != row->length_bytes)
		(void)ct_tus_fail(tus, CT_ERROR_LENGTH_MISMATCH);
	else if (ct_http_has_body(tus->request) && tus->body_bytes > 0)
		(void)ct_tus_fail(tus, CT_ERROR_TOO_LARGE);
	else
		(void)ct_tus_answer_progress(tus);
}

static enum ct_http_next patch_head(struct ct_http_request *request, void *context)
{
	uint64_t offset, length = CT_BLOB_LENGTH_UNKNOWN;
	struct ct_tus_checksum *checksum = NULL;
	struct ct_digests digests;
	const char *wrong = NULL;
	struct ct_tus *tus;

	if (ct_ietf_is_spoken(request))
		return ct_ietf_patch_head(request, context);
	if (!ct_tus_is_spoken(request))
		return ct_tus_refuse_version(request);
	if (!ct_tus_has_chunk_type(request))
		return ct_tus_refuse(request, CT_ERROR_UNSUPPORTED_TYPE,
		    "a chunk has Content-Type: " CT_TUS_MEDIA_TYPE);
	struct ct_http_response *refusal = ct_answer_refuse_coded(request);
	if (refusal != NULL)
		return ct_http_answer(request, refusal);
	if (ct_http_header_u64(request, "Upload-Offset", INT64_MAX, &offset) != 1)
		return ct_tus_refuse(request, CT_ERROR_INVALID_HEADER,
		    "Upload-Offset must be there once, as a decimal number of bytes");
	if (ct_http_header_u64(request, "Upload-Length", INT64_MAX, &length) < 0)
		return ct_tus_refuse(request, CT_ERROR_INVALID_HEADER,
		    "Upload-Length must be a decimal number of bytes");
	wrong = ct_digests_read(request, &digests);
	if (wrong != NULL)
		return ct_tus_refuse(request, CT_ERROR_INVALID_HEADER, wrong);
	int r = ct_tus_read_checksum(request, &checksum, &wrong);
	if (r < 0)
		return ct_tus_refuse(request, r, wrong != NULL ? wrong : ct_error_text(r));
	r = ct_tus_new(context, request, &tus);
	if (r < 0) {
		ct_tus_checksum_free(checksum);
		return ct_tus_refuse(request, r, ct_error_text(r));
	}
	tus->checksum = checksum;
	tus->digests = digests;
	tus->appends = true;
	/* A checksum or digest is looked at in the last step, of no bytes too. */
	tus->has_chunk = ct_http_has_body(request) || checksum != NULL || digests.has_content;
	tus->offset = offset;
	tus->length_bytes = length;
	return open_session(tus, CT_SESSION_APPEND, opened_patch);
}

/* ---- HEAD ---- */

static void opened_head(void *arg, int result)
{
	struct ct_tus *tus = arg;
	const struct ct_upload_row *row = ct_session_row(tus->session);

	if (result < 0) {
		(void)ct_tus_fail(tus, result);
		return;
	}
	if (ct_session_is_ended(tus->session) && row->state != CT_UPLOAD_DONE) {
		(void)answer_ended(tus);
		return;
	}
	struct ct_http_response *response = ct_tus_response(200);
	if (tus->digests.wants_repr)
		ct_answer_repr_digest(response, tus->session);
	add_progress(tus, response);
	if (row->length_bytes != CT_BLOB_LENGTH_UNKNOWN)
		ct_http_response_header_u64(response, "Upload-Length", row->length_bytes);
	else if (row->kind != CT_UPLOAD_FINAL)
		ct_http_response_header(response, "Upload-Defer-Length", "1");
	if (row->kind != CT_UPLOAD_PLAIN)
		ct_http_response_header(response, "Upload-Concat", row->concat);
	if (row->metadata[0] != '\0')
		ct_http_response_header(response, "Upload-Metadata", row->metadata);
	(void)answer(tus, response);
}

static enum ct_http_next head_head(struct ct_http_request *request, void *context)
{
	if (ct_http_header(request, "Upload-Offset").data != NULL ||
	    ct_http_header(request, "Upload-Complete").data != NULL)
		return ct_tus_refuse(request, CT_ERROR_INVALID_HEADER,
		    "HEAD asks for the offset and does not tell one");
	if (ct_ietf_is_spoken(request))
		return ct_ietf_head_head(request, context);
	if (!ct_tus_is_spoken(request))
		return ct_tus_refuse_version(request);
	return open_for(context, request, CT_SESSION_READ, opened_head);
}

/* ---- DELETE ---- */

static void canceled(void *arg, int result)
{
	struct ct_tus *tus = arg;

	if (result < 0)
		(void)ct_tus_fail(tus, result);
	else
		(void)answer(tus, ct_tus_response(204));
}

static void opened_delete(void *arg, int result)
{
	struct ct_tus *tus = arg;

	if (result < 0) {
		(void)ct_tus_fail(tus, result);
	} else if (ct_session_is_ended(tus->session) &&
		   ct_session_row(tus->session)->state != CT_UPLOAD_DONE) {
		(void)answer_ended(tus);
	} else {
		int r = ct_session_cancel(tus->session, canceled, tus);
		if (r < 0)
			(void)ct_tus_fail(tus, r);
	}
}

static enum ct_http_next delete_head(struct ct_http_request *request, void *context)
{
	if (ct_ietf_is_spoken(request))
		return ct_ietf_delete_head(request, context);
	if (!ct_tus_is_spoken(request))
		return ct_tus_refuse_version(request);
	return open_for(context, request, CT_SESSION_CANCEL, opened_delete);
}

/*
 * ---- POST on an upload: X-HTTP-Method-Override ----
 * The engine's log and counters have it as POST.
 */

static enum ct_http_next override_head(struct ct_http_request *request, void *context)
{
	struct ct_slice method = ct_http_header(request, "X-HTTP-Method-Override");

	if (ct_slice_equal(method, "HEAD"))
		return head_head(request, context);
	if (ct_slice_equal(method, "OPTIONS"))
		return ct_tus_options_head(request, context);
	if (ct_slice_equal(method, "PATCH"))
		return patch_head(request, context);
	if (ct_slice_equal(method, "DELETE"))
		return delete_head(request, context);
	return ct_tus_refuse(request, CT_ERROR_METHOD_NOT_ALLOWED,
	    "an upload takes HEAD, PATCH and DELETE; POST creates one at /uploads");
}

/* ---- routes ---- */

static const struct ct_http_handler on_options = { .head = ct_tus_options_head };
static const struct ct_http_handler on_create = { .head = ct_tus_create_head,
	.body = ct_tongue_body,
	.end = ct_tongue_end,
	.gone = ct_tongue_gone };
static const struct ct_http_handler on_patch = {
	.head = patch_head, .body = ct_tongue_body, .end = ct_tongue_end, .gone = ct_tongue_gone
};
static const struct ct_http_handler on_head = { .head = head_head, .gone = ct_tongue_gone };
static const struct ct_http_handler on_delete = { .head = delete_head, .gone = ct_tongue_gone };
static const struct ct_http_handler on_override = {
	.head = override_head, .body = ct_tongue_body, .end = ct_tongue_end, .gone = ct_tongue_gone
};

int ct_uploads_add_tus_routes(struct ct_uploads *uploads, struct ct_http_server *server)
{
	const struct ct_http_route routes[] = {
		{ CT_HTTP_OPTIONS, "/uploads", 0, &on_options, uploads },
		{ CT_HTTP_OPTIONS, "/uploads/{id}", 0, &on_options, uploads },
		{ CT_HTTP_POST, "/uploads", CT_SCOPE_WRITE, &on_create, uploads },
		{ CT_HTTP_HEAD, "/uploads/{id}", CT_SCOPE_WRITE, &on_head, uploads },
		{ CT_HTTP_PATCH, "/uploads/{id}", CT_SCOPE_WRITE, &on_patch, uploads },
		{ CT_HTTP_DELETE, "/uploads/{id}", CT_SCOPE_WRITE, &on_delete, uploads },
		{ CT_HTTP_POST, "/uploads/{id}", CT_SCOPE_WRITE, &on_override, uploads },
	};
	/* Also what the engine refuses by itself is read by a tus client. */
	int r = ct_http_server_add_field(server, "uploads", "Tus-Resumable", CT_TUS_VERSION);
	if (r < 0)
		return r;
	return ct_http_server_add(server, routes, sizeof(routes) / sizeof(routes[0]));
}
