/*
 * Resumable uploads of the IETF (draft-ietf-httpbis-resumable-upload), interop versions 3, 5, 6, 8
 * and 9: creation by POST /uploads, POST /images and PUT /images/{filename}; offset, append and
 * cancellation on /uploads/{id}. What each clause becomes is told in README.md.
 */
#ifndef CT_UPLOADS_IETF_H
#define CT_UPLOADS_IETF_H

#include "http/http.h"
#include "uploads/uploads_priv.h"

/*
 * Is it a request of this protocol to an address below /uploads? Without Tus-Resumable, HEAD and
 * DELETE are; any other by a valid Upload-Complete, the media type of an append, or the number of a
 * draft, which is not needed.
 */
bool ct_ietf_is_spoken(const struct ct_http_request *request);
/* Is it a creation where a plain request would be one as well? By Upload-Complete alone. */
bool ct_ietf_creates(const struct ct_http_request *request);

/* Heads; the steps after them are those of tongue.h. */
enum ct_http_next ct_ietf_create_head(struct ct_http_request *request, void *uploads);
enum ct_http_next ct_ietf_patch_head(struct ct_http_request *request, void *uploads);
enum ct_http_next ct_ietf_head_head(struct ct_http_request *request, void *uploads);
enum ct_http_next ct_ietf_delete_head(struct ct_http_request *request, void *uploads);
/* Of an address where plain uploads begin: 204 with the limits. */
enum ct_http_next ct_ietf_options_head(struct ct_http_request *request, void *uploads);

/* Upload-Limit, for an answer to OPTIONS too. */
void ct_ietf_add_limit(const struct ct_uploads *uploads, struct ct_http_response *response);

#endif
