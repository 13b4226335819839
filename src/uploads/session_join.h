/*
 * Final uploads: partial ones joined to one file (tus 1.0.0, concatenation). Threads and errors as
 * in session.h.
 */
#ifndef CT_UPLOADS_SESSION_JOIN_H
#define CT_UPLOADS_SESSION_JOIN_H

#include "uploads/parts.h"
#include "uploads/session.h"

/*
 * Makes a final upload. If all parts are complete, they are joined and `done` comes when the image
 * is there (there is no row before); else the row waits in `receiving`, and who opens it or the
 * housekeeper joins them later. The row's refusal_detail says what is wrong with a part:
 * CT_ERROR_NOT_FOUND; CT_ERROR_GONE; CT_ERROR_FORBIDDEN: another key's; CT_ERROR_INVALID_HEADER: it
 * is no partial one. CT_ERROR_TOO_LARGE, CT_ERROR_EMPTY_BODY, CT_ERROR_UNSUPPORTED_TYPE,
 * CT_ERROR_STAGING_DAMAGED, CT_ERROR_TOO_MANY_UPLOADS.
 */
int ct_session_join(struct ct_session *session, const struct ct_session_start *start,
    const struct ct_parts *parts, ct_session_done_fn done, void *arg);

#endif
