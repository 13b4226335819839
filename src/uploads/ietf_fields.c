/*
 * The heads of the drafts. Interop version 3 says Upload-Incomplete, the inverse of
 * Upload-Complete; up to 5 an append has no media type of its own.
 */
#include "uploads/ietf_priv.h"

#include "base/structured.h"

#define FIRST_INTEROP 3
#define LAST_INTEROP 9

static int64_t read_interop(const struct ct_http_request *request)
{
	int64_t version = 0;

	if (!ct_structured_integer(
		ct_http_header(request, "Upload-Draft-Interop-Version"), &version) ||
	    version < FIRST_INTEROP || version > LAST_INTEROP)
		return 0;
	return version;
}

static uint64_t read_size(const struct ct_http_request *request, const char *name)
{
	int64_t number = -1;

	if (!ct_structured_integer(ct_http_header(request, name), &number) || number < 0)
		return CT_IETF_UNKNOWN;
	return (uint64_t)number;
}

static bool read_complete(
    const struct ct_http_request *request, int64_t interop, bool *ret_complete)
{
	bool incomplete = false;

	if (ct_structured_boolean(ct_http_header(request, "Upload-Complete"), ret_complete))
		return true;
	if (interop != 3 ||
	    !ct_structured_boolean(ct_http_header(request, "Upload-Incomplete"), &incomplete))
		return false;
	*ret_complete = !incomplete;
	return true;
}

void ct_ietf_read_fields(const struct ct_http_request *request, struct ct_ietf_fields *ret_fields)
{
	struct ct_ietf_fields fields = { .interop = read_interop(request) };

	fields.has_complete = read_complete(request, fields.interop, &fields.complete);
	fields.offset = read_size(request, "Upload-Offset");
	fields.length = read_size(request, "Upload-Length");
	if (!ct_http_content_length(request, &fields.body_bytes))
		fields.body_bytes = CT_IETF_UNKNOWN;
	if (fields.has_complete && fields.complete && fields.body_bytes != CT_IETF_UNKNOWN) {
		uint64_t begin = fields.offset != CT_IETF_UNKNOWN ? fields.offset : 0;
		uint64_t amount = begin + fields.body_bytes;
		fields.is_inconsistent =
		    fields.length != CT_IETF_UNKNOWN && fields.length != amount;
		fields.length = amount;
	}
	*ret_fields = fields;
}

bool ct_ietf_has_append_type(const struct ct_http_request *request)
{
	struct ct_slice type = ct_http_header(request, "Content-Type");
	struct ct_slice media = ct_slice_trim(ct_slice_cut(&type, ';'));

	return ct_slice_equal_ignore_case(media, CT_IETF_MEDIA_TYPE);
}

bool ct_ietf_creates(const struct ct_http_request *request)
{
	struct ct_ietf_fields fields;

	if (ct_http_header(request, "Tus-Resumable").data != NULL)
		return false;
	ct_ietf_read_fields(request, &fields);
	return fields.has_complete;
}

bool ct_ietf_is_spoken(const struct ct_http_request *request)
{
	enum ct_http_method method = ct_http_method(request);

	if (ct_http_header(request, "Tus-Resumable").data != NULL)
		return false;
	return method == CT_HTTP_HEAD || method == CT_HTTP_DELETE || read_interop(request) != 0 ||
	       ct_ietf_creates(request) || ct_ietf_has_append_type(request);
}
