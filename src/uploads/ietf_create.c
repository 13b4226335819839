/*
 * Creation (section 4.2): the request is the upload's first append, perhaps of no byte. The
 * resource is durable before the body is read, so whatever the client learns of it is true.
 */
#include "uploads/ietf_priv.h"

#include "metadata/api_keys.h"
#include "uploads/answer.h"
#include "uploads/filename.h"
#include "uploads/form.h"
#include "uploads/tus_metadata.h"
#include "uploads/whole.h"

#include <errno.h>

/* What a client of both protocols may tell beside Content-Disposition; kept as given for HEAD. */
struct naming {
	char filename[CT_FILENAME_MAX + 1];
	char metadata[CT_UPLOAD_METADATA_MAX + 1];
};

static int read_naming(const struct ct_http_request *request, struct naming *ret_naming)
{
	struct ct_slice header = ct_http_header(request, "Upload-Metadata");
	struct ct_tus_metadata parsed;

	ret_naming->metadata[0] = '\0';
	int r = ct_whole_read_filename(request, ret_naming->filename);
	if (r < 0 || header.data == NULL || ct_tus_metadata_parse(header, &parsed) < 0)
		return r;
	if (ct_slice_copy(header, ret_naming->metadata, sizeof(ret_naming->metadata)) < 0)
		ret_naming->metadata[0] = '\0';
	if (ret_naming->filename[0] == '\0')
		(void)ct_slice_copy(ct_slice_from_string(parsed.filename), ret_naming->filename,
		    sizeof(ret_naming->filename)); /* it was cleaned to fit */
	return 0;
}

/* NULL when all is well. */
static struct ct_http_response *check_sizes(const struct ct_uploads *uploads,
    const struct ct_http_request *request, const struct ct_ietf_fields *fields)
{
	uint64_t limit = uploads->options.max_file_bytes;
	bool is_known = fields->length != CT_IETF_UNKNOWN;

	if (fields->is_inconsistent || (is_known && fields->body_bytes != CT_IETF_UNKNOWN &&
					   fields->body_bytes > fields->length))
		return ct_ietf_inconsistent(request);
	if (is_known && fields->length == 0)
		return ct_answer_problem(uploads, request, NULL, CT_ERROR_EMPTY_BODY, 0);
	if (is_known && fields->length > limit)
		return ct_answer_problem(
		    uploads, request, NULL, CT_ERROR_TOO_LARGE, fields->length);
	if (fields->body_bytes != CT_IETF_UNKNOWN && fields->body_bytes > limit)
		return ct_answer_problem(
		    uploads, request, NULL, CT_ERROR_TOO_LARGE, fields->body_bytes);
	return NULL;
}

static struct ct_http_response *check(struct ct_uploads *uploads,
    const struct ct_http_request *request, const struct ct_ietf_fields *fields,
    struct naming *ret_naming, struct ct_digests *ret_digests)
{
	if (!fields->has_complete)
		return ct_http_problem(request, CT_ERROR_INVALID_HEADER,
		    "Upload-Complete must be ?1 or ?0: is this body the end of the upload?");
	if (ct_form_is_form(request))
		return ct_http_problem(request, CT_ERROR_UNSUPPORTED_TYPE,
		    "a form is not resumable; send each file as an upload of its own");
	struct ct_http_response *wrong = ct_answer_refuse_coded(request);
	if (wrong == NULL)
		wrong = check_sizes(uploads, request, fields);
	if (wrong != NULL)
		return wrong;
	const char *why = ct_digests_read(request, ret_digests);
	if (why != NULL)
		return ct_http_problem(request, CT_ERROR_INVALID_HEADER, "%s", why);
	int r = read_naming(request, ret_naming);
	if (r < 0)
		return ct_whole_refuse_filename(request, r);
	if (ct_uploads_is_full(uploads))
		return ct_answer_problem(uploads, request, NULL, CT_ERROR_LIMIT_REACHED, 0);
	return NULL;
}

enum ct_http_next ct_ietf_create_head(struct ct_http_request *request, void *context)
{
	struct ct_uploads *uploads = context;
	struct ct_ietf_fields fields;
	struct ct_digests digests;
	struct naming naming;
	struct ct_ietf *ietf;

	ct_ietf_read_fields(request, &fields);
	fields.offset = 0;
	struct ct_http_response *wrong = check(uploads, request, &fields, &naming, &digests);
	if (wrong != NULL)
		return ct_ietf_refuse_with(uploads, request, &fields, wrong);
	int r = ct_ietf_new(uploads, request, &fields, &ietf);
	if (r < 0)
		return ct_ietf_refuse(uploads, request, &fields, r, ct_error_text(r));
	ietf->creates = true;
	ietf->digests = digests;
	struct ct_session_start start = {
		.length_bytes = fields.length,
		.filename = naming.filename,
		.metadata = naming.metadata,
		.key_id = ct_http_key_id(request),
		.repr_digest = digests.has_repr ? &ietf->digests.repr : NULL,
		.may_adopt = ct_http_has_scope(request, CT_SCOPE_READ),
		.awaits_end = true,
	};
	return ct_ietf_started(
	    ietf, ct_session_create(ietf->session, &start, ct_ietf_opened, ietf));
}
