/*
 * What the answers of whole and resumable uploads share. HTTP threads and `done` callbacks.
 */
#ifndef CT_UPLOADS_ANSWER_H
#define CT_UPLOADS_ANSWER_H

#include "http/http.h"
#include "uploads/session.h"
#include "uploads/uploads_priv.h"

/* `header`: <public_url>/<folder>/<id>, or relative. */
void ct_answer_location(const struct ct_uploads *uploads, struct ct_http_response *response,
    const char *folder, const char *id);

/* Link: </jobs/{id}>; rel="status", if there is a job. */
void ct_answer_job_link(
    const struct ct_uploads *uploads, struct ct_http_response *response, const char *job_id);

/*
 * For what acknowledges bytes that may still be lost at a power cut (--durability async): the
 * header `Calotype-Durability: async`, and `durability` as a member of the job. Either may be NULL.
 * Nothing in a strict server.
 */
void ct_answer_durability(
    const struct ct_uploads *uploads, struct ct_http_response *response, struct ct_json *job);

/* The body of a finished upload, {"jobs": [...]}, and the link to its job. */
void ct_answer_jobs(const struct ct_uploads *uploads, struct ct_http_response *response,
    const struct ct_session *session);

/* Repr-Digest, of an upload that is done; for answers without a body (RFC 9530 section 3). */
void ct_answer_repr_digest(struct ct_http_response *response, const struct ct_session *session);

/* The problem of a session's error: its limit and value, or why it was refused. `session` may be
 * NULL; `value_bytes` is what passed a limit. */
struct ct_http_response *ct_answer_problem(const struct ct_uploads *uploads,
    const struct ct_http_request *request, const struct ct_session *session, int error,
    uint64_t value_bytes);

/* Of a file name: `r` is that of ct_filename_clean(); `name_bytes` as it came, 0: not known. */
struct ct_http_response *ct_answer_name_problem(
    const struct ct_http_request *request, int error, int r, size_t name_bytes);

/*
 * NULL, or why the body isn't the bytes of a file as they are: it has a content coding (415 with
 * Accept-Encoding: identity, RFC 9110 section 12.5.3), or claims to be a part (Content-Range on a
 * PUT or POST: 400, section 14.5).
 */
struct ct_http_response *ct_answer_refuse_coded(const struct ct_http_request *request);

#endif
