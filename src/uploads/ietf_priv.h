/*
 * What the files of the IETF's protocol share: ietf_fields.c (the head as numbers), ietf_create.c,
 * and ietf.c (one upload, and the bodies). Threads: as in tus_priv.h.
 */
#ifndef CT_UPLOADS_IETF_PRIV_H
#define CT_UPLOADS_IETF_PRIV_H

#include "uploads/digests.h"
#include "uploads/ietf.h"
#include "uploads/session.h"
#include "uploads/tongue.h"

#define CT_IETF_MEDIA_TYPE "application/partial-upload"
#define CT_IETF_UNKNOWN CT_BLOB_LENGTH_UNKNOWN

/* The fields of a head; one that is malformed counts as absent (section 4 of the draft). */
struct ct_ietf_fields {
	int64_t interop; /* 0: none, or one that is not spoken here */
	bool has_complete, complete;
	uint64_t offset; /* CT_IETF_UNKNOWN: absent */
	uint64_t length; /* what Upload-Length says, or what a complete request amounts to */
	uint64_t body_bytes;
	bool is_inconsistent; /* Upload-Length differs from what the request amounts to */
};

void ct_ietf_read_fields(const struct ct_http_request *request, struct ct_ietf_fields *ret_fields);
bool ct_ietf_has_append_type(const struct ct_http_request *request);

struct ct_ietf {
	struct ct_tongue tongue;
	struct ct_uploads *uploads;	 /* set once */
	struct ct_http_request *request; /* set once */
	struct ct_ietf_fields fields;	 /* set once */
	struct ct_digests digests;	 /* set once */
	bool creates;			 /* set once */
	bool is_created;		 /* there is an upload that was not there before */
	bool is_finished;		 /* this request has finished it */
	struct ct_body_check check;
	struct ct_session *session; /* NULL: ended */
};

/* Belongs to the request from now on. -ENOMEM. */
int ct_ietf_new(struct ct_uploads *uploads, struct ct_http_request *request,
    const struct ct_ietf_fields *fields, struct ct_ietf **ret_ietf);
/* The `done` of ct_session_create() and of an append's ct_session_open(). */
void ct_ietf_opened(void *arg, int result);
enum ct_http_next ct_ietf_started(struct ct_ietf *ietf, int result);

/* ---- refusals of a head; no session yet ---- */
enum ct_http_next ct_ietf_refuse(struct ct_uploads *uploads, struct ct_http_request *request,
    const struct ct_ietf_fields *fields, int error, const char *detail);
enum ct_http_next ct_ietf_refuse_with(struct ct_uploads *uploads, struct ct_http_request *request,
    const struct ct_ietf_fields *fields, struct ct_http_response *problem);
/* 400, with the type that IANA has for it. */
struct ct_http_response *ct_ietf_inconsistent(const struct ct_http_request *request);

#endif
