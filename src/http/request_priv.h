/*
 * A request from the inside (request.c). It is a part of its connection, used again and again.
 */
#ifndef CT_HTTP_REQUEST_PRIV_H
#define CT_HTTP_REQUEST_PRIV_H

#include "base/text.h"
#include "http/guard_priv.h"
#include "http/peers_priv.h"
#include "http/request.h"
#include "http/router_priv.h"

struct MHD_Connection;
struct ct_http_connection;
struct ct_http_joined;
struct ct_http_peer;
struct ct_http_server;
struct ct_http_shared;

enum ct_http_stage {
	CT_HTTP_STAGE_NONE, /* no request line yet */
	CT_HTTP_STAGE_LINE, /* its line is known, the head not yet */
	CT_HTTP_STAGE_HEAD, /* in, or asleep after, handler->head */
	CT_HTTP_STAGE_BODY,
	CT_HTTP_STAGE_DISCARD, /* answered; what is left of the body is thrown away */
	CT_HTTP_STAGE_END,
	CT_HTTP_STAGE_REPLY
};

struct ct_http_query_parameter {
	const char *name, *value;
};

struct ct_http_request {
	uint32_t magic;
	struct ct_http_connection *connection;

	/* Of the loop thread; others may read them while the request sleeps. */
	struct MHD_Connection *mhd;
	enum ct_http_stage stage;
	bool head_called;
	bool waiting; /* the last handler call ended in WAIT */
	bool is_known_method;
	enum ct_http_method method;
	char method_text[16];
	const char *raw_target; /* where libmicrohttpd has it: for the guard, not to be read */
	size_t target_length;
	char *text; /* owned: the target, its parts decoded */
	const char *path, *query;
	struct ct_http_segment segments[CT_HTTP_MAX_SEGMENTS];
	size_t segment_count;
	struct ct_http_query_parameter parameters[CT_HTTP_MAX_QUERY_PARAMETERS];
	size_t parameter_count;
	struct ct_http_head head;
	struct ct_http_joined *joined; /* owned: fields that came on several lines */
	const char *twice;	       /* a field that came twice and must not; NULL: none */
	const struct ct_http_row *row;
	uint64_t received_bytes;
	size_t rest_bytes; /* of the last piece, which its handler left for later */
	uint64_t sent_bytes;
	int status;
	int64_t began_us;
	char id[CT_HTTP_MAX_REQUEST_ID + 1];
	/* Who asks: the connection's peer, or whom a trusted proxy names. */
	struct ct_http_peer client;
	bool is_tls;	 /* that proxy says that TLS ended there */
	bool is_counted; /* against the limit of its address, beside the connection */
	char key_id[16];
	unsigned scopes;
	void *user;

	/* Under connection->lock. */
	bool asleep;  /* libmicrohttpd has suspended it and nobody has woken it */
	bool proceed; /* ct_http_proceed was called */
	bool answered;
	bool interrupted;
	int broken_status;		     /* of the answer that the watchdog gave; 0: none */
	const struct ct_http_folder *folder; /* whose field its answers get */
	struct ct_http_response *response;   /* the answer, or: */
	struct ct_http_shared *shared;
	int shared_status;
};

void ct_http_request_begin(
    struct ct_http_connection *connection, struct MHD_Connection *mhd, const char *target);
/* An MHD_AccessHandlerCallback's inside: 1 to go on, 0 to close. */
int ct_http_request_step(struct ct_http_request *request, const char *method, const char *version,
    const char *upload_data, size_t *upload_size);
void ct_http_request_finish(struct ct_http_request *request);

/* ---- fields.c ---- */
/* Once the head is there: sets `joined` and `twice`. -ENOMEM. */
int ct_http_fields_gather(struct ct_http_request *request);
void ct_http_fields_done(struct ct_http_request *request);

/* ---- auth.c ---- */
/* NULL: may pass; else the refusal. */
struct ct_http_response *ct_http_auth_check(struct ct_http_request *request, unsigned scope);

/* ---- access_log.c ---- */
/* A request of which not even the line was read. */
void ct_http_access_log_refusal(const struct ct_http_server *server,
    const struct ct_http_peer *peer, const char *request_id, int error);
void ct_http_access_log(const struct ct_http_request *request);

#endif
