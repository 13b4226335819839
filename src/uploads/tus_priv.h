/*
 * What the files of tus 1.0.0 share: tus.c (one upload: HEAD, PATCH, DELETE, and the bodies) and
 * tus_create.c (POST). What each clause of the protocol becomes is told in README.md.
 *
 * A request's steps run in its HTTP thread, `done` callbacks in others while it sleeps; see
 * http/route.h. Once a function has answered, the request and its struct ct_tus may be gone.
 */
#ifndef CT_UPLOADS_TUS_PRIV_H
#define CT_UPLOADS_TUS_PRIV_H

#include "http/http.h"
#include "uploads/digests.h"
#include "uploads/session.h"
#include "uploads/session_join.h"
#include "uploads/tongue.h"
#include "uploads/tus_checksum.h"
#include "uploads/uploads_priv.h"

#define CT_TUS_VERSION "1.0.0"
#define CT_TUS_EXTENSIONS                                                                      \
	"creation,creation-with-upload,creation-defer-length,termination,expiration,checksum," \
	"checksum-trailer,concatenation,concatenation-unfinished"
#define CT_TUS_MEDIA_TYPE "application/offset+octet-stream"

struct ct_tus {
	struct ct_tongue tongue;
	struct ct_uploads *uploads;	  /* set once */
	struct ct_http_request *request;  /* set once */
	bool creates;			  /* set once */
	bool joins;			  /* set once: it creates a final upload */
	bool appends;			  /* set once: a PATCH */
	bool has_chunk;			  /* set once: its body is the upload's */
	uint64_t body_bytes;		  /* set once; CT_BLOB_LENGTH_UNKNOWN: chunked */
	uint64_t offset;		  /* set once: of a PATCH, as it says */
	uint64_t length_bytes;		  /* set once: of a PATCH; CT_BLOB_LENGTH_UNKNOWN: none */
	struct ct_tus_checksum *checksum; /* set once: of the chunk; owned; NULL: it has none */
	struct ct_digests digests;	  /* set once */
	struct ct_body_check check;
	bool is_created;	    /* there is a Location to tell */
	struct ct_session *session; /* NULL: ended */
};

/* ---- the head ---- */

bool ct_tus_is_spoken(struct ct_http_request *request); /* Tus-Resumable: 1.0.0 */
bool ct_tus_has_chunk_type(struct ct_http_request *request);
/*
 * The chunk's checksum, as the head tells or announces it; NULL: none, `*ret_wrong` is NULL too.
 * CT_ERROR_INVALID_HEADER and what is wrong; -ENOMEM.
 */
int ct_tus_read_checksum(
    struct ct_http_request *request, struct ct_tus_checksum **ret_checksum, const char **ret_wrong);
/* Belongs to the request from now on, which frees it in ct_tus_gone(). -ENOMEM. */
int ct_tus_new(
    struct ct_uploads *uploads, struct ct_http_request *request, struct ct_tus **ret_tus);
/* Before there is one: 412 with Tus-Version, or a problem. */
enum ct_http_next ct_tus_refuse_version(struct ct_http_request *request);
enum ct_http_next ct_tus_refuse(struct ct_http_request *request, int error, const char *detail);

/* ---- answers; each ends the session ---- */

struct ct_http_response *ct_tus_response(int status); /* with no-store */
enum ct_http_next ct_tus_fail(struct ct_tus *tus, int error);
/* 201 or 204, with all that is known of the upload. */
enum ct_http_next ct_tus_answer_progress(struct ct_tus *tus);
/* For `return ct_tus_started(tus, ct_session_...())`: it waits, unless the step did not begin. */
enum ct_http_next ct_tus_started(struct ct_tus *tus, int result);

/* ---- steps of POST and PATCH ---- */

/* The `done` of ct_session_create() and ct_session_open(): the body may come, if there is one. */
void ct_tus_opened(void *arg, int result);
enum ct_http_next ct_tus_body(
    struct ct_http_request *request, const void *data, size_t length_bytes, void *context);
enum ct_http_next ct_tus_end(struct ct_http_request *request, void *context);
void ct_tus_gone(struct ct_http_request *request, void *context);

/* ---- heads ---- */

enum ct_http_next ct_tus_options_head(struct ct_http_request *request, void *context);

enum ct_http_next ct_tus_create_head(struct ct_http_request *request, void *context);

#endif
