/*
 * One request, step by step.
 *
 * libmicrohttpd calls its access handler again and again, and what a call means depends on its own
 * state, which it doesn't tell:
 *   - without data, before the body: the first call. It comes again, alike, when the request was
 *     put to sleep in it. Only when such a call neither answers nor sleeps does the 100 Continue
 *     go out. An answer queued here closes the connection.
 *   - with data: a piece of the body. An answer is refused here. With a chunked body the call may
 *     come again at once although the request was put to sleep in it. What is left of a piece comes
 *     again after a resume; without one only when more arrives, so nothing is left of a piece
 *     unless the request sleeps.
 *   - without data, after the body: the last call, again and again until it is answered.
 * ct_http_stage is our own account of it: calls without data belong to the head until the head's
 * handler has had its say, then to the end. A request without a body is always answered in the
 * last call, which follows the first at once, so that its connection lives on.
 *
 * Sleep. A handler that says WAIT has started somebody who will call ct_http_answer or
 * ct_http_proceed, perhaps before the handler has returned. Both sides take the connection's lock:
 * the waker notes what it wants and resumes only a request that is asleep; the loop suspends only
 * one for which nothing is noted. So no request is suspended twice, and none is resumed that isn't
 * suspended. libmicrohttpd counts a connection as suspended until its own loop has seen the
 * resume; calls that come in between (chunked bodies) consume nothing. Its mutexes are taken under
 * our lock, never the other way.
 *
 * An answer in mid-body. If what is left of the body is known and small, it is read and thrown
 * away, and the answer goes out in the last call. Otherwise the answer is written to the socket
 * here, libmicrohttpd is told to close, and a duplicate of the socket goes to the acceptor, which
 * reads on for a while: closing on unread bytes would send a reset that overtakes the answer.
 *
 * Half-closed clients. libmicrohttpd closes a connection whose stream it finds ended, whatever the
 * client waits for; it may do so when a request is resumed, before it asks for the answer. So if
 * the client of a sleeping request has ended its stream, a small answer is written to the socket,
 * too. (A large one takes its chance.)
 *
 * The end. NOTIFY_COMPLETED comes exactly once for each request whose line was seen; `gone` is
 * called there and nowhere else.
 */
#include "http/request_priv.h"
#include "base/assert.h"
#include "base/clock.h"
#include "http/cors_priv.h"
#include "http/forwarded_priv.h"
#include "http/response_priv.h"
#include "http/server_priv.h"
#include "metrics/metrics.h"

#include <microhttpd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REQUEST_MAGIC 0x52657153u

enum outcome { OUTCOME_SLEEPS, OUTCOME_ANSWERED, OUTCOME_GOES_ON };

enum { STEP_CLOSE = MHD_NO, STEP_OK = MHD_YES };

void ct_http_request_begin(
    struct ct_http_connection *connection, struct MHD_Connection *mhd, const char *target)
{
	struct ct_http_request *request = &connection->request;
	CT_ASSERT(request->stage == CT_HTTP_STAGE_NONE);
	request->magic = REQUEST_MAGIC;
	request->connection = connection;
	request->client = connection->peer;
	request->mhd = mhd;
	request->stage = CT_HTTP_STAGE_LINE;
	request->raw_target = target;
	request->target_length = target != NULL ? strlen(target) : 0;
	request->began_us = ct_clock_monotonic_us();
	char id[CT_ID_CHARS + 1];
	ct_http_make_request_id(id);
	/* The target; its path decoded; its query decoded, with an empty value for each name. */
	size_t room = 2 * (request->target_length + 2) + CT_HTTP_MAX_QUERY_PARAMETERS;
	request->text = malloc(room);
	if (request->text != NULL)
		memcpy(request->text, target != NULL ? target : "", request->target_length + 1);
	ct_http_clock_head(connection, id,
	    target != NULL ? ct_http_router_folder_of_target(&connection->server->router, target)
			   : NULL);
}

/* For the next one on this connection. The tables stay: their counts rule them. */
static void reset(struct ct_http_request *request)
{
	free(request->text);
	request->text = NULL;
	ct_http_fields_done(request);
	request->path = NULL;
	request->query = NULL;
	request->stage = CT_HTTP_STAGE_NONE;
	request->head_called = false;
	request->waiting = false;
	request->is_known_method = false;
	request->method = CT_HTTP_GET;
	request->method_text[0] = '\0';
	request->segment_count = 0;
	request->parameter_count = 0;
	request->head.field_count = 0;
	request->head.chunked = false;
	request->head.content_length = 0;
	request->row = NULL;
	request->received_bytes = 0;
	request->rest_bytes = 0;
	request->sent_bytes = 0;
	request->status = 0;
	request->key_id[0] = '\0';
	request->scopes = 0;
	request->user = NULL;
}

/* ---- answering ---- */

static void send_now(const struct ct_http_request *request, const char *data, size_t length)
{
	/* What doesn't fit into the socket's buffer is lost: nothing else is in it by now. */
	ssize_t sent = send(request->connection->fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)sent; /* the client is gone, or reads a cut answer */
}

/* What an answer owes to its address and not to its handler. */
static void complete_answer(struct ct_http_request *request)
{
	const struct ct_http_folder *folder = request->folder;
	if (request->response == NULL)
		return;
	if (folder != NULL)
		ct_http_response_default(request->response, folder->name, folder->value);
	if (request->row != NULL && request->is_known_method && request->method == CT_HTTP_OPTIONS)
		ct_http_router_allow(request, request->response);
}

/* From here on nothing may be written any more; false: that was so already. */
static bool claim_last_word(struct ct_http_connection *connection)
{
	ct_lock_take(&connection->lock);
	bool mine = !connection->closing;
	connection->closing = true;
	ct_http_clock_still_locked(connection);
	ct_lock_release(&connection->lock);
	return mine;
}

static void add_cors(const struct ct_http_request *request)
{
	struct ct_http_cors cors;
	ct_http_cors_fields(request, &cors);
	for (size_t i = 0; i < cors.count; i++)
		ct_http_response_header(
		    request->response, cors.fields[i].name, cors.fields[i].value);
}

/* The answer goes out past libmicrohttpd, which then closes. */
static int answer_raw(struct ct_http_request *request)
{
	struct ct_http_connection *connection = request->connection;
	if (!claim_last_word(connection))
		return STEP_CLOSE;
	/* NULL: out of memory, or a shared answer where no such can be given. */
	struct ct_http_response *response = request->response;
	complete_answer(request);
	request->status = response != NULL ? ct_http_response_status(response) : 500;
	struct ct_buffer bytes;
	ct_buffer_init(&bytes, CT_HTTP_LARGE_POOL_BYTES);
	add_cors(request);
	ct_http_response_write(response, request->id,
	    request->is_known_method && request->method == CT_HTTP_HEAD, &bytes);
	if (response != NULL && ct_buffer_error(&bytes) == 0)
		send_now(request, bytes.data, bytes.length);
	else
		ct_http_send_problem(connection->fd, request->id,
		    ct_http_problem_for(
			request->id, CT_ERROR_INTERNAL, "the answer could not be given"));
	request->sent_bytes = bytes.length;
	ct_buffer_done(&bytes);
	request->stage = CT_HTTP_STAGE_REPLY;
	ct_http_acceptor_linger(connection->server->acceptor, connection->fd);
	return STEP_CLOSE;
}

/* NULL: out of memory. */
static struct MHD_Response *build_answer(
    struct ct_http_request *request, uint64_t *ret_size, bool *ret_is_ours)
{
	struct ct_http_cors cors;
	*ret_is_ours = true;
	if (request->shared != NULL) {
		request->status = request->shared_status;
		ct_http_cors_fields(request, &cors);
		*ret_is_ours = cors.count > 0;
		return cors.count > 0
			   ? ct_http_shared_copy(request->shared, cors.fields, cors.count, ret_size)
			   : ct_http_shared_response(request->shared, ret_size);
	}
	if (request->response == NULL)
		return NULL;
	complete_answer(request);
	add_cors(request);
	struct MHD_Response *built = ct_http_response_build(request->response, request, ret_size);
	request->status = ct_http_response_status(request->response);
	return built;
}

/* In the first call (then the connection closes) or in the last one. */
static int answer_queued(struct ct_http_request *request)
{
	uint64_t size = 0;
	bool is_ours;
	enum MHD_Result r = MHD_NO;
	struct MHD_Response *built = build_answer(request, &size, &is_ours);
	if (built == NULL)
		return answer_raw(request);
	if (ct_http_clock_reply(request->connection, size)) {
		bool has_body = request->status != 304 && request->status != 204 &&
				request->method != CT_HTTP_HEAD;
		request->sent_bytes = has_body ? size : 0;
		request->stage = CT_HTTP_STAGE_REPLY;
		r = MHD_queue_response(request->mhd, (unsigned)request->status, built);
	}
	if (is_ours)
		MHD_destroy_response(built);
	return r == MHD_YES ? STEP_OK : STEP_CLOSE;
}

static bool expects_continue(const struct ct_http_request *request)
{
	struct ct_slice expect = ct_http_header(request, "Expect");
	return !request->head.is_http_1_0 && ct_slice_equal_ignore_case(expect, "100-continue");
}

/* The answer is there before the body has been read. */
static int answer_early(struct ct_http_request *request)
{
	if (!ct_http_has_body(request)) {
		request->stage = CT_HTTP_STAGE_END;
		return STEP_OK;
	}
	/* Nothing of the body has been sent, or the client doesn't mean to wait for long. */
	if (request->stage == CT_HTTP_STAGE_HEAD && expects_continue(request))
		return answer_queued(request);
	uint64_t rest = request->head.content_length - request->received_bytes;
	if (request->head.chunked || rest > CT_HTTP_DRAIN_BYTES)
		return answer_raw(request);
	request->stage = CT_HTTP_STAGE_DISCARD;
	ct_http_clock_set(request->connection, CT_HTTP_CLOCK_BODY);
	return STEP_OK;
}

static void set_answer(struct ct_http_request *request, struct ct_http_response *response)
{
	CT_ASSERT(!request->answered);
	request->answered = true;
	request->response = response;
}

/* Refuses a request whose head or whose time is not right, and closes. */
static int refuse_raw(struct ct_http_request *request, int error, const char *detail)
{
	struct ct_http_connection *connection = request->connection;
	struct ct_http_response *response = ct_http_problem(request, error, "%s", detail);
	ct_http_problem_passed(response, request->head.limit, request->head.value);
	ct_lock_take(&connection->lock);
	set_answer(request, response);
	ct_lock_release(&connection->lock);
	return answer_raw(request);
}

/* ---- what a handler has said ---- */

static enum outcome settle(struct ct_http_request *request, enum ct_http_next next)
{
	struct ct_http_connection *connection = request->connection;
	enum outcome outcome = OUTCOME_GOES_ON;
	ct_lock_take(&connection->lock);
	request->waiting = false;
	if (request->answered) {
		outcome = OUTCOME_ANSWERED;
	} else if (next == CT_HTTP_WAIT && !request->proceed) {
		CT_ASSERT(!request->asleep);
		request->asleep = true;
		request->waiting = true;
		outcome = OUTCOME_SLEEPS;
		ct_http_clock_still_locked(connection);
		if (request->head_called && request->row->route.handler->left != NULL)
			ct_http_leavers_watch_locked(connection);
		MHD_suspend_connection(request->mhd);
	} else {
		CT_ASSERT(next != CT_HTTP_ANSWERED);
		CT_ASSERT(next == CT_HTTP_WAIT || !request->proceed);
		request->proceed = false;
	}
	if (outcome != OUTCOME_SLEEPS)
		ct_http_clock_resume_locked(connection);
	ct_lock_release(&connection->lock);
	return outcome;
}

static void wake_locked(struct ct_http_request *request)
{
	if (!request->asleep)
		return;
	request->asleep = false;
	ct_http_clock_resume_locked(request->connection);
	MHD_resume_connection(request->mhd);
}

/* It has sent all it had to say, and no more, as far as is known now. */
static bool is_half_closed(const struct ct_http_request *request)
{
	struct pollfd end = { .fd = request->connection->fd, .events = POLLRDHUP };
	if (ct_http_has_body(request) && request->stage != CT_HTTP_STAGE_END)
		return false;
	return poll(&end, 1, 0) == 1 && (end.revents & POLLRDHUP) != 0;
}

enum ct_http_next ct_http_answer(struct ct_http_request *request, struct ct_http_response *response)
{
	struct ct_http_connection *connection = request->connection;
	CT_ASSERT_MAGIC(request, REQUEST_MAGIC);
	ct_lock_take(&connection->lock);
	set_answer(request, response);
	bool is_raw =
	    request->asleep && is_half_closed(request) && ct_http_response_is_small(response);
	if (!is_raw)
		wake_locked(request);
	ct_lock_release(&connection->lock);
	if (is_raw) {
		/* Nobody else has it before it is woken. */
		(void)answer_raw(request); /* its loop will find it closing */
		ct_lock_take(&connection->lock);
		wake_locked(request);
		ct_lock_release(&connection->lock);
	}
	return CT_HTTP_ANSWERED;
}

enum ct_http_next ct_http_answer_shared(
    struct ct_http_request *request, int status, struct ct_http_shared *shared)
{
	struct ct_http_connection *connection = request->connection;
	CT_ASSERT_MAGIC(request, REQUEST_MAGIC);
	CT_ASSERT(status == 200 || status == 304);
	ct_lock_take(&connection->lock);
	set_answer(request, NULL);
	request->shared = ct_http_shared_ref(shared);
	request->shared_status = status;
	wake_locked(request);
	ct_lock_release(&connection->lock);
	return CT_HTTP_ANSWERED;
}

void ct_http_proceed(struct ct_http_request *request)
{
	struct ct_http_connection *connection = request->connection;
	CT_ASSERT_MAGIC(request, REQUEST_MAGIC);
	ct_lock_take(&connection->lock);
	CT_ASSERT(!request->answered && !request->proceed);
	request->proceed = true;
	wake_locked(request);
	ct_lock_release(&connection->lock);
}

bool ct_http_was_answered(const struct ct_http_request *request)
{
	struct ct_http_connection *connection = request->connection;
	ct_lock_take(&connection->lock);
	bool answered = request->answered;
	ct_lock_release(&connection->lock);
	return answered;
}

void ct_http_interrupt(struct ct_http_request *request)
{
	struct ct_http_connection *connection = request->connection;
	CT_ASSERT_MAGIC(request, REQUEST_MAGIC);
	ct_lock_take(&connection->lock);
	request->interrupted = true;
	/* ENOTCONN: it is gone already, which is what is wanted. */
	(void)shutdown(connection->fd, SHUT_RD);
	ct_lock_release(&connection->lock);
}

/* ---- the head ---- */

static bool is_request_id(struct ct_slice text)
{
	if (text.length == 0 || text.length > CT_HTTP_MAX_REQUEST_ID)
		return false;
	for (size_t i = 0; i < text.length; i++) {
		char byte = text.data[i];
		if (!((byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
			(byte >= 'A' && byte <= 'Z') || byte == '-' || byte == '_'))
			return false;
	}
	return true;
}

static void adopt_request_id(struct ct_http_request *request)
{
	struct ct_slice id = ct_http_header(request, "X-Request-Id");
	if (!is_request_id(id))
		return;
	memcpy(request->id, id.data, id.length);
	request->id[id.length] = '\0';
}

/* The segment that names it may have come in escapes. */
static void set_folder(struct ct_http_request *request)
{
	struct ct_http_connection *connection = request->connection;
	if (request->segment_count == 0)
		return;
	struct ct_slice first = { request->segments[0].text, request->segments[0].length };
	const struct ct_http_folder *folder =
	    ct_http_router_folder(&connection->server->router, first);
	ct_lock_take(&connection->lock);
	request->folder = folder;
	ct_lock_release(&connection->lock);
}

static struct ct_http_response *refuse_target(
    const struct ct_http_request *request, int error, const char *why)
{
	struct ct_http_response *refusal = ct_http_problem(request, error, "%s", why);
	if (error == CT_ERROR_URI_TOO_LONG && request->path == NULL)
		ct_http_problem_limit(
		    refusal, CT_HTTP_MAX_TARGET_BYTES - 1, request->target_length);
	else if (error == CT_ERROR_URI_TOO_LONG)
		ct_http_problem_limit(refusal, CT_HTTP_MAX_PATH_BYTES, strlen(request->path));
	return refusal;
}

static struct ct_http_response *refuse_body(const struct ct_http_request *request)
{
	struct ct_http_response *refusal = ct_http_problem(
	    request, CT_ERROR_TOO_LARGE, "this resource takes no body with this method");
	if (!request->head.chunked)
		ct_http_problem_limit(refusal, 0, request->head.content_length);
	return refusal;
}

/* Route and key; the handler is called only when both are right. */
static struct ct_http_response *admit(struct ct_http_request *request)
{
	struct ct_http_server *server = request->connection->server;
	const char *why = NULL;
	if (atomic_load(&server->stopping))
		return ct_http_problem(request, CT_ERROR_SHUTTING_DOWN, "try again in a moment");
	int r = ct_http_router_parse(request, &why);
	if (r < 0)
		return refuse_target(request, r, why);
	set_folder(request);
	if (request->twice != NULL)
		return ct_http_problem(request, CT_ERROR_INVALID_HEADER,
		    "the field %s came twice and may come once", request->twice);
	struct ct_http_response *preflight = ct_http_cors_preflight(request);
	if (preflight != NULL)
		return preflight;
	struct ct_http_response *refused = ct_http_forwarded_check(request);
	if (refused != NULL)
		return refused;
	struct ct_http_response *refusal = ct_http_router_match(request);
	/* Who may not come in at all learns that first. */
	struct ct_http_response *locked =
	    ct_http_auth_check(request, request->row != NULL ? request->row->route.scope : 0);
	if (locked != NULL) {
		ct_http_response_free(refusal);
		return locked;
	}
	if (refusal == NULL && ct_http_has_body(request) &&
	    request->row->route.handler->body == NULL)
		refusal = refuse_body(request);
	return refusal;
}

static int after_head(struct ct_http_request *request, enum ct_http_next next)
{
	enum outcome outcome = settle(request, next);
	if (outcome == OUTCOME_SLEEPS)
		return STEP_OK;
	if (outcome == OUTCOME_ANSWERED)
		return answer_early(request);
	if (!ct_http_has_body(request)) {
		request->stage = CT_HTTP_STAGE_END;
		return STEP_OK;
	}
	if (atomic_load(&request->connection->server->stopping))
		return refuse_raw(request, CT_ERROR_SHUTTING_DOWN, "the body was not read");
	request->stage = CT_HTTP_STAGE_BODY;
	ct_http_clock_set(request->connection, CT_HTTP_CLOCK_BODY);
	return STEP_OK;
}

static int first_call(struct ct_http_request *request, const char *method, const char *version)
{
	const struct ct_http_line line = {
		.method = method,
		.version = version,
		.target = request->raw_target,
		.target_copy = request->text,
		.target_length = request->target_length,
	};
	const char *why = NULL;
	/* A longer one is none of ours; cut, it is none either. */
	(void)snprintf(request->method_text, sizeof(request->method_text), "%s", method);
	ct_http_clock_set(request->connection, CT_HTTP_CLOCK_STILL);
	int r = ct_http_guard_check(request->mhd, &line, &request->head, &why);
	/* Of a malformed head the fields before the fault are known: a proxy's log finds it so. */
	adopt_request_id(request);
	if (r < 0) {
		ct_metrics_add(CT_METRIC_HTTP_MALFORMED, 1);
		return refuse_raw(request, r, why);
	}
	r = ct_http_fields_gather(request);
	if (r < 0)
		return refuse_raw(request, r, "there is no memory for the head");
	request->stage = CT_HTTP_STAGE_HEAD;
	struct ct_http_response *refusal = admit(request);
	if (refusal != NULL)
		return after_head(request, ct_http_answer(request, refusal));
	const struct ct_http_route *route = &request->row->route;
	request->head_called = true;
	return after_head(request, route->handler->head(request, route->context));
}

/* ---- body and end ---- */

void ct_http_keep_rest(struct ct_http_request *request, size_t rest_bytes)
{
	CT_ASSERT_MAGIC(request, REQUEST_MAGIC);
	CT_ASSERT(request->stage == CT_HTTP_STAGE_BODY);
	request->rest_bytes = rest_bytes;
}

/* Calls the handler with `data`; what it leaves is for later only if the request sleeps now. */
static enum outcome offer_body(struct ct_http_request *request, const char *data, size_t *length)
{
	const struct ct_http_route *route = &request->row->route;
	size_t offered = *length;
	request->rest_bytes = 0;
	enum ct_http_next next = route->handler->body(request, data, offered, route->context);
	CT_ASSERT(request->rest_bytes <= offered);
	CT_ASSERT(request->rest_bytes == 0 || next == CT_HTTP_WAIT);
	enum outcome outcome = settle(request, next);
	if (outcome == OUTCOME_ANSWERED)
		request->rest_bytes = 0;
	*length = request->rest_bytes;
	return outcome;
}

static int take_body(struct ct_http_request *request, const char *data, size_t *size)
{
	struct ct_http_connection *connection = request->connection;
	size_t length = *size;
	/* What was left last time has been counted. */
	size_t fresh = length > request->rest_bytes ? length - request->rest_bytes : 0;
	ct_lock_take(&connection->lock);
	bool interrupted = request->interrupted;
	ct_http_clock_consume_locked(connection, fresh);
	ct_http_clock_still_locked(connection);
	ct_lock_release(&connection->lock);
	if (interrupted)
		return STEP_CLOSE;
	if (atomic_load(&connection->server->stopping))
		return refuse_raw(request, CT_ERROR_SHUTTING_DOWN, "the body was cut off");
	enum outcome outcome = OUTCOME_GOES_ON;
	while (outcome == OUTCOME_GOES_ON && *size > 0) {
		data += length - *size;
		length = *size;
		outcome = offer_body(request, data, size);
		request->received_bytes += length - *size;
	}
	return outcome == OUTCOME_ANSWERED ? answer_early(request) : STEP_OK;
}

static int discard_body(struct ct_http_request *request, size_t *size)
{
	ct_lock_take(&request->connection->lock);
	ct_http_clock_consume_locked(request->connection, *size);
	ct_lock_release(&request->connection->lock);
	request->received_bytes += *size;
	*size = 0;
	return STEP_OK;
}

static int body_call(struct ct_http_request *request, const char *data, size_t *size)
{
	/* Comes when a request without a body is followed by another in the same bytes. */
	if (*size == 0)
		return STEP_OK;
	if (request->waiting && settle(request, CT_HTTP_WAIT) == OUTCOME_ANSWERED) {
		int r = answer_early(request);
		if (r != STEP_OK)
			return r;
	}
	if (request->stage == CT_HTTP_STAGE_DISCARD)
		return discard_body(request, size);
	CT_ASSERT(request->stage == CT_HTTP_STAGE_BODY);
	return take_body(request, data, size);
}

static int last_call(struct ct_http_request *request)
{
	/* What the step before has left: an answer, or a word of its waker. */
	enum outcome outcome = settle(request, request->waiting ? CT_HTTP_WAIT : CT_HTTP_PROCEED);
	request->stage = CT_HTTP_STAGE_END;
	while (outcome == OUTCOME_GOES_ON) {
		const struct ct_http_route *route = &request->row->route;
		CT_ASSERT(route->handler->end != NULL);
		ct_http_clock_set(request->connection, CT_HTTP_CLOCK_STILL);
		enum ct_http_next next = route->handler->end(request, route->context);
		CT_ASSERT(next != CT_HTTP_PROCEED);
		outcome = settle(request, next);
	}
	return outcome == OUTCOME_ANSWERED ? answer_queued(request) : STEP_OK;
}

static bool is_suspended(const struct ct_http_request *request)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(request->mhd, MHD_CONNECTION_INFO_CONNECTION_SUSPENDED);
	return info != NULL && info->suspended == MHD_YES;
}

int ct_http_request_step(struct ct_http_request *request, const char *method, const char *version,
    const char *upload_data, size_t *upload_size)
{
	CT_ASSERT_MAGIC(request, REQUEST_MAGIC);
	if (is_suspended(request))
		return STEP_OK;
	if (atomic_load(&request->connection->closing) || request->text == NULL)
		return STEP_CLOSE;
	if (upload_data != NULL)
		return body_call(request, upload_data, upload_size);
	if (request->stage == CT_HTTP_STAGE_LINE)
		return first_call(request, method, version);
	if (request->stage == CT_HTTP_STAGE_HEAD)
		return after_head(request, CT_HTTP_WAIT);
	return last_call(request);
}

/* Who else has answered: the watchdog, or libmicrohttpd itself. */
static void note_end(struct ct_http_request *request)
{
	ct_lock_take(&request->connection->lock);
	if (request->status == 0)
		request->status = request->broken_status;
	ct_lock_release(&request->connection->lock);
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(request->mhd, MHD_CONNECTION_INFO_HTTP_STATUS);
	if (request->status == 0 && info != NULL)
		request->status = (int)info->http_status;
	/* A refused head has not been cut up: only the log sees this. */
	if (request->path == NULL && request->text != NULL) {
		request->text[strcspn(request->text, "?")] = '\0';
		request->path = request->text;
	}
}

void ct_http_request_finish(struct ct_http_request *request)
{
	struct ct_http_connection *connection = request->connection;
	CT_ASSERT_MAGIC(request, REQUEST_MAGIC);
	CT_ASSERT(request->stage != CT_HTTP_STAGE_NONE);
	note_end(request);
	if (request->head_called && request->row->route.handler->gone != NULL)
		request->row->route.handler->gone(request, request->row->route.context);
	ct_http_access_log(request);
	ct_http_forwarded_end(request);

	ct_lock_take(&connection->lock);
	CT_ASSERT(!request->asleep);
	ct_http_response_free(request->response);
	ct_http_shared_unref(request->shared);
	request->response = NULL;
	request->shared = NULL;
	request->answered = false;
	request->proceed = false;
	request->interrupted = false;
	request->broken_status = 0;
	request->folder = NULL;
	ct_lock_release(&connection->lock);
	reset(request);
	ct_http_clock_set(connection, CT_HTTP_CLOCK_IDLE);
	if (atomic_load(&connection->server->stopping))
		(void)shutdown(connection->fd, SHUT_RDWR); /* may be gone already */
}
