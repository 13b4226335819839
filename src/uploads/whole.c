/*
 * Whole uploads: the raw body is the file. Nothing of a broken one is left, so there is nothing to
 * save when the connection ends early; its row is written by the last transaction only. A form's
 * body is passed on to form.c.
 */
#include "uploads/answer.h"
#include "uploads/digests.h"
#include "uploads/filename.h"
#include "uploads/form.h"
#include "uploads/ietf.h"
#include "uploads/tongue.h"
#include "uploads/whole.h"

#include "base/assert.h"
#include "jobs/jobs.h"
#include "metadata/api_keys.h"
#include "metadata/uploads.h"
#include "metadata/jobs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct whole {
	struct ct_tongue tongue;
	struct ct_uploads *uploads;	 /* set once */
	struct ct_http_request *request; /* set once */
	uint64_t length_bytes;		 /* set once: of the body, or unknown */
	struct ct_digests digests;	 /* set once */
	struct ct_session *session;	 /* NULL: ended, or a form */
	struct ct_form *form;		 /* set once: the body is one; or NULL */
};

/* The session ends before the answer: after it, `gone` may run at any moment. */
static enum ct_http_next answer(struct whole *whole, struct ct_http_response *response)
{
	struct ct_http_request *request = whole->request;

	ct_session_end(whole->session);
	whole->session = NULL;
	return ct_http_answer(request, response);
}

static enum ct_http_next fail(struct whole *whole, int error)
{
	return answer(whole, ct_answer_problem(whole->uploads, whole->request, whole->session,
				 error, whole->length_bytes));
}

/* ---- the checks of the head ---- */

int ct_whole_read_filename(
    const struct ct_http_request *request, char ret_name[CT_FILENAME_MAX + 1])
{
	const char *query = ct_http_query(request, "filename");

	if (ct_http_method(request) == CT_HTTP_PUT) {
		int r = ct_filename_clean(
		    ct_slice_from_string(ct_http_parameter(request, "filename")), ret_name);
		return r == 0 && ret_name[0] == '\0' ? -EINVAL : r;
	}
	if (query != NULL)
		return ct_filename_clean(ct_slice_from_string(query), ret_name);
	struct ct_slice header = ct_http_header(request, "Content-Disposition");
	ret_name[0] = '\0';
	return header.data != NULL ? ct_filename_from_disposition(header, ret_name) : 0;
}

struct ct_http_response *ct_whole_refuse_filename(const struct ct_http_request *request, int r)
{
	const char *name = ct_http_method(request) == CT_HTTP_PUT
			       ? ct_http_parameter(request, "filename")
			       : ct_http_query(request, "filename");

	return ct_answer_name_problem(
	    request, CT_ERROR_INVALID_PARAMETER, r, name == NULL ? 0 : strlen(name));
}

static struct ct_http_response *check_name(const struct ct_http_request *request, char *ret_name)
{
	int r = ct_whole_read_filename(request, ret_name);

	return r == 0 ? NULL : ct_whole_refuse_filename(request, r);
}

/* NULL when all is well. */
static struct ct_http_response *check_head(const struct ct_uploads *uploads,
    const struct ct_http_request *request, uint64_t *ret_length, struct ct_digests *ret_digests)
{
	uint64_t length;

	if (ct_form_is_form(request))
		return ct_http_problem(request, CT_ERROR_UNSUPPORTED_TYPE,
		    "a form is taken by POST /images only; send the file itself as the body, for "
		    "example with curl -T photo.jpg URL/images/");
	if (!ct_http_content_length(request, &length))
		length = CT_BLOB_LENGTH_UNKNOWN;
	else if (length == 0 || !ct_http_has_body(request))
		return ct_answer_problem(uploads, request, NULL, CT_ERROR_EMPTY_BODY, 0);
	else if (length > uploads->options.max_file_bytes)
		return ct_answer_problem(uploads, request, NULL, CT_ERROR_TOO_LARGE, length);
	*ret_length = length;
	const char *wrong = ct_digests_read(request, ret_digests);
	return wrong == NULL ? NULL
			     : ct_http_problem(request, CT_ERROR_INVALID_HEADER, "%s", wrong);
}

/* ---- the steps ---- */

static enum ct_http_next begin(struct whole *whole, const char *filename)
{
	struct ct_session_start start = {
		.length_bytes = whole->length_bytes,
		.filename = filename,
		.key_id = ct_http_key_id(whole->request),
		.repr_digest = whole->digests.has_repr ? &whole->digests.repr : NULL,
	};

	int r = ct_session_new(
	    whole->uploads, ct_http_request_id(whole->request), NULL, NULL, &whole->session);
	if (r == 0)
		r = ct_session_begin_whole(whole->session, &start);
	return r < 0 ? fail(whole, r) : CT_HTTP_PROCEED;
}

static const struct ct_http_handler steps;

static enum ct_http_next head_of_form(struct ct_uploads *uploads, struct ct_http_request *request)
{
	struct ct_http_response *refusal = NULL;

	struct ct_form *form = ct_form_new(uploads, request, &refusal);
	if (form == NULL)
		return ct_http_answer(request, refusal);
	struct whole *whole = calloc(1, sizeof(*whole));
	if (whole == NULL) {
		ct_form_gone(form);
		return ct_http_answer(request, NULL);
	}
	whole->tongue.steps = &steps;
	whole->form = form;
	ct_http_set_user(request, whole);
	return CT_HTTP_PROCEED;
}

static enum ct_http_next head(struct ct_http_request *request, void *context)
{
	struct ct_uploads *uploads = context;
	char filename[CT_FILENAME_MAX + 1];
	uint64_t length = 0;
	struct ct_digests digests;

	if (ct_ietf_creates(request))
		return ct_ietf_create_head(request, context);
	struct ct_http_response *refusal = ct_answer_refuse_coded(request);
	if (refusal == NULL && ct_http_method(request) == CT_HTTP_POST && ct_form_is_form(request))
		return head_of_form(uploads, request);
	if (refusal == NULL)
		refusal = check_head(uploads, request, &length, &digests);
	if (refusal == NULL)
		refusal = check_name(request, filename);
	if (refusal != NULL)
		return ct_http_answer(request, refusal);

	struct whole *whole = calloc(1, sizeof(*whole));
	if (whole == NULL)
		return ct_http_answer(request, NULL);
	whole->tongue.steps = &steps;
	whole->uploads = uploads;
	whole->request = request;
	whole->length_bytes = length;
	whole->digests = digests;
	ct_http_set_user(request, whole);
	return begin(whole, filename);
}

static enum ct_http_next body(
    struct ct_http_request *request, const void *data, size_t length_bytes, void *context)
{
	struct whole *whole = ct_http_user(request);

	(void)context;
	CT_ASSERT(whole != NULL);
	if (whole->form != NULL)
		return ct_form_body(whole->form, data, length_bytes);
	CT_ASSERT(whole->session != NULL);
	int r = ct_session_append(whole->session, data, length_bytes);
	return r < 0 ? fail(whole, r) : CT_HTTP_PROCEED;
}

static struct ct_http_response *accepted(struct whole *whole)
{
	struct ct_http_response *response = ct_http_response_new(202);

	ct_answer_durability(whole->uploads, response, NULL);
	ct_answer_location(
	    whole->uploads, response, "jobs", ct_session_row(whole->session)->job_id);
	ct_answer_jobs(whole->uploads, response, whole->session);
	return response;
}

static void finished(void *arg, int result)
{
	struct whole *whole = arg;

	/* Both give CT_HTTP_ANSWERED, which only a handler has to pass on. */
	if (result < 0)
		(void)fail(whole, result);
	else
		(void)answer(whole, accepted(whole));
}

/* The body is the whole, so one hash serves both fields. */
static struct ct_http_response *check_content(const struct whole *whole)
{
	struct ct_digest found;

	if (!whole->digests.has_content || ct_session_digest(whole->session, &found) < 0 ||
	    ct_digest_equal(&found, &whole->digests.content))
		return NULL;
	return ct_digests_content_problem(whole->request, &whole->digests.content, &found);
}

static enum ct_http_next end(struct ct_http_request *request, void *context)
{
	struct whole *whole = ct_http_user(request);

	(void)context;
	CT_ASSERT(whole != NULL);
	if (whole->form != NULL)
		return ct_form_end(whole->form);
	CT_ASSERT(whole->session != NULL);
	if (ct_session_offset(whole->session) == 0)
		return fail(whole, CT_ERROR_EMPTY_BODY);
	struct ct_http_response *wrong = check_content(whole);
	if (wrong != NULL)
		return answer(whole, wrong);
	int r = ct_session_finish(whole->session, finished, whole);
	return r < 0 ? fail(whole, r) : CT_HTTP_WAIT;
}

static void gone(struct ct_http_request *request, void *context)
{
	struct whole *whole = ct_http_user(request);

	(void)context;
	if (whole->form != NULL)
		ct_form_gone(whole->form);
	ct_session_end(whole->session);
	free(whole);
}

static const struct ct_http_handler steps = { .body = body, .end = end, .gone = gone };
static const struct ct_http_handler handler = {
	.head = head, .body = ct_tongue_body, .end = ct_tongue_end, .gone = ct_tongue_gone
};
static const struct ct_http_handler on_options = { .head = ct_ietf_options_head };

int ct_uploads_add_whole_routes(struct ct_uploads *uploads, struct ct_http_server *server)
{
	const struct ct_http_route routes[] = {
		{ CT_HTTP_OPTIONS, "/images", 0, &on_options, uploads },
		{ CT_HTTP_POST, "/images", CT_SCOPE_WRITE, &handler, uploads },
		{ CT_HTTP_PUT, "/images/{filename}", CT_SCOPE_WRITE, &handler, uploads },
	};
	return ct_http_server_add(server, routes, sizeof(routes) / sizeof(routes[0]));
}
