/*
 * Fields behind a chunked body (RFC 9110 section 6.5). libmicrohttpd has read them when a request's
 * last call comes; the framing guard, which looks at the head only, has not seen them. So a value
 * is bytes, and whoever asks parses it strictly.
 */
#include "http/request_priv.h"
#include "base/assert.h"

#include <microhttpd.h>

struct search {
	const char *name;
	unsigned count;
	struct ct_slice value;
};

static enum MHD_Result look(void *arg, enum MHD_ValueKind kind, const char *name,
    size_t name_length, const char *value, size_t value_length)
{
	struct search *search = arg;
	struct ct_slice slice = { name, name_length };

	(void)kind;
	if (!ct_slice_equal_ignore_case(slice, search->name))
		return MHD_YES;
	search->count++;
	search->value = (struct ct_slice){ value != NULL ? value : "", value_length };
	return MHD_YES;
}

int ct_http_trailer(
    const struct ct_http_request *request, const char *name, struct ct_slice *ret_value)
{
	struct search search = { .name = name };

	CT_ASSERT(request->stage == CT_HTTP_STAGE_END);
	if (!request->head.chunked)
		return 0;
	/* The count that it returns is of all fields. */
	(void)MHD_get_connection_values_n(request->mhd, MHD_FOOTER_KIND, look, &search);
	if (search.count > 1)
		return CT_ERROR_INVALID_HEADER;
	if (search.count == 1)
		*ret_value = ct_slice_trim(search.value);
	return (int)search.count;
}
