#include "uploads/tongue.h"
#include "base/assert.h"

static const struct ct_http_handler *steps_of(const struct ct_http_request *request)
{
	const struct ct_tongue *tongue = ct_http_user(request);

	CT_ASSERT(tongue != NULL && tongue->steps != NULL);
	return tongue->steps;
}

enum ct_http_next ct_tongue_body(
    struct ct_http_request *request, const void *data, size_t length_bytes, void *context)
{
	return steps_of(request)->body(request, data, length_bytes, context);
}

enum ct_http_next ct_tongue_end(struct ct_http_request *request, void *context)
{
	return steps_of(request)->end(request, context);
}

void ct_tongue_gone(struct ct_http_request *request, void *context)
{
	/* Refused in its head, it has no user. */
	if (ct_http_user(request) != NULL)
		steps_of(request)->gone(request, context);
}
