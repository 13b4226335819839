/*
 * Preconditions that more than one feature evaluates.
 */
#include "http/request.h"

bool ct_http_etag_matches(
    struct ct_slice list, const char *etag, enum ct_http_comparison comparison)
{
	if (ct_slice_equal(ct_slice_trim(list), "*"))
		return true;
	/* Our tags hold no comma, so that a cut at commas can only miss tags of others. */
	while (list.data) {
		struct ct_slice tag = ct_slice_trim(ct_slice_cut(&list, ','));
		if (comparison == CT_HTTP_WEAK && ct_slice_starts_with(tag, "W/")) {
			tag.data += 2;
			tag.length -= 2;
		}
		if (ct_slice_equal(tag, etag))
			return true;
	}
	return false;
}
