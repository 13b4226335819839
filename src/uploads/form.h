/*
 * A form of files, multipart/form-data: POST /images with more than one file, or from a browser's
 * page. Each part with a file name goes through a session of its own, as a raw body would; several
 * are made durable at once, while the next ones come in.
 *
 *   - The answer is {"jobs": [...]}, an entry for each file in the order of the form: its job, or
 *     `error`, a problem; both with `filename`. 202 if any was taken, else the first one's status.
 * A form with no file at all, or of which nothing can be read, gets a problem instead.
 *   - A refused part doesn't end the form: its rest is skipped. A malformed form ends there; what
 *     was taken before stays, and the last entry says what was wrong.
 *   - Ignored: parts without a file name, up to CT_FORM_MAX_FIELD_BYTES; a file part without name
 *     and bytes (a file input in which nothing was chosen); the parts' own Content-Type (the type
 * is sniffed).
 *   - A broken connection: a file whose last byte and boundary came stays, its job runs; the one in
 *     progress leaves nothing.
 *
 * All calls in the request's loop thread, as handlers; `whole.c` passes them on.
 */
#ifndef CT_UPLOADS_FORM_H
#define CT_UPLOADS_FORM_H

#include "http/http.h"
#include "uploads/uploads_priv.h"

#define CT_FORM_MAX_FILES 100
#define CT_FORM_MAX_FIELD_BYTES 65536 /* of a part without a file name */
#define CT_FORM_MAX_FINISHING 4	      /* files of one form that wait for the disk at once */

struct ct_form;

/* Is the body a form? */
bool ct_form_is_form(const struct ct_http_request *request);

/* Looks at the head. The form, or NULL and the refusal (which may be NULL too: out of memory). */
struct ct_form *ct_form_new(struct ct_uploads *uploads, struct ct_http_request *request,
    struct ct_http_response **ret_refusal);
enum ct_http_next ct_form_body(struct ct_form *form, const void *data, size_t length_bytes);
enum ct_http_next ct_form_end(struct ct_form *form);
/* The request is gone. What is being made durable goes on and is freed at its end. */
void ct_form_gone(struct ct_form *form);

#endif
