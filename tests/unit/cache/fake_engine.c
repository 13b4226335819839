#include "fake_engine.h"
#include "base/assert.h"
#include "base/thread_pool.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_ROUTES 8
#define STREAM_PIECE_BYTES 40961

struct ct_http_server {
	struct ct_http_route routes[MAX_ROUTES];
	size_t count;
};

struct ct_http_request {
	struct fake_exchange *exchange;
	struct fake_ask ask;
};

struct ct_http_response {
	int status;
	char headers[FAKE_HEADERS_BYTES];
	char text[768]; /* of a problem */
	struct ct_http_shared *shared;
	uint64_t offset, length_bytes;
	struct ct_http_stream stream;
};

struct ct_http_shared {
	atomic_uint references;
	struct ct_http_body body;
	char headers[FAKE_HEADERS_BYTES];
};

static struct ct_http_server server;
static atomic_uint live_requests, live_shared;
static atomic_uint_fast64_t live_bytes;

/* ---- exchanges and requests ---- */

void fake_exchange_init(struct fake_exchange *exchange)
{
	memset(exchange, 0, sizeof(*exchange));
	/* Of a low rank, so that an answer under a lock of the cache asserts. */
	ct_lock_init(&exchange->lock, CT_LOCK_JOBS);
	ct_condition_init(&exchange->changed);
}

void fake_exchange_done(struct fake_exchange *exchange)
{
	free(exchange->body);
	exchange->body = NULL;
	ct_condition_done(&exchange->changed);
	ct_lock_done(&exchange->lock);
}

struct ct_http_request *fake_request(struct fake_exchange *exchange, const struct fake_ask *ask)
{
	struct ct_http_request *request = calloc(1, sizeof(*request));
	CT_ASSERT(request != NULL);
	request->exchange = exchange;
	request->ask = *ask;
	(void)atomic_fetch_add(&live_requests, 1);
	return request;
}

void fake_wait(struct fake_exchange *exchange)
{
	ct_lock_take(&exchange->lock);
	while (!exchange->answered)
		ct_condition_wait(&exchange->changed, &exchange->lock);
	ct_lock_release(&exchange->lock);
}

const char *fake_header(const struct fake_exchange *exchange, const char *name, char ret_value[512])
{
	char start[64];
	(void)snprintf(start, sizeof(start), "\n%s: ", name);
	char all[FAKE_HEADERS_BYTES + 1] = "\n";
	(void)snprintf(all + 1, sizeof(all) - 1, "%s", exchange->headers);
	const char *found = strstr(all, start);
	ret_value[0] = '\0';
	if (found == NULL)
		return ret_value;
	found += strlen(start);
	CT_ASSERT(strstr(found, start) == NULL);
	(void)snprintf(ret_value, 512, "%.*s", (int)strcspn(found, "\n"), found);
	return ret_value;
}

unsigned fake_live_requests(void)
{
	return atomic_load(&live_requests);
}

unsigned fake_live_shared(void)
{
	return atomic_load(&live_shared);
}

uint64_t fake_live_bytes(void)
{
	return atomic_load(&live_bytes);
}

enum ct_http_method ct_http_method(const struct ct_http_request *request)
{
	return request->ask.method;
}

struct ct_slice ct_http_header(const struct ct_http_request *request, const char *name)
{
	const struct fake_ask *ask = &request->ask;
	const struct {
		const char *name, *value;
	} fields[] = {
		{ "If-Match", ask->if_match },
		{ "If-None-Match", ask->if_none_match },
		{ "If-Range", ask->if_range },
		{ "Range", ask->range },
	};
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (strcmp(fields[i].name, name) == 0)
			return ct_slice_from_string(fields[i].value);
	}
	CT_ASSERT(!"a header that nobody should ask for");
	return CT_SLICE_ABSENT;
}

const char *ct_http_parameter(const struct ct_http_request *request, const char *name)
{
	(void)name;
	CT_ASSERT(request->ask.parameter != NULL);
	return request->ask.parameter;
}

const char *ct_http_query(const struct ct_http_request *request, const char *name)
{
	return strcmp(name, "w") == 0 ? request->ask.width : NULL;
}

const char *ct_http_request_id(const struct ct_http_request *request)
{
	CT_ASSERT(request->exchange != NULL);
	return "fake";
}

/* ---- routes ---- */

struct ct_http_server *fake_server(void)
{
	return &server;
}

int ct_http_server_add(struct ct_http_server *to, const struct ct_http_route *routes, size_t count)
{
	CT_ASSERT(to->count + count <= MAX_ROUTES);
	memcpy(to->routes + to->count, routes, count * sizeof(*routes));
	to->count += count;
	return 0;
}

const struct ct_http_route *fake_route(const char *pattern)
{
	for (size_t i = 0; i < server.count; i++) {
		if (strcmp(server.routes[i].pattern, pattern) == 0)
			return &server.routes[i];
	}
	CT_ASSERT(!"no such route");
	return NULL;
}

/* ---- shared objects ---- */

static void add_header(char headers[FAKE_HEADERS_BYTES], const char *name, const char *value)
{
	size_t length = strlen(headers);
	int r = snprintf(headers + length, FAKE_HEADERS_BYTES - length, "%s: %s\n", name, value);
	CT_ASSERT(r > 0 && (size_t)r < FAKE_HEADERS_BYTES - length);
}

int ct_http_shared_new(const struct ct_http_body *body, const struct ct_http_header_field *headers,
    size_t header_count, struct ct_http_shared **ret_shared)
{
	struct ct_http_shared *shared = calloc(1, sizeof(*shared));
	CT_ASSERT(shared != NULL && (body->data != NULL || body->fd >= 0));
	shared->body = *body;
	atomic_init(&shared->references, 1);
	add_header(shared->headers, "X-Content-Type-Options", "nosniff");
	for (size_t i = 0; i < header_count; i++)
		add_header(shared->headers, headers[i].name, headers[i].value);
	(void)atomic_fetch_add(&live_shared, 1);
	if (body->data != NULL)
		(void)atomic_fetch_add(&live_bytes, body->size_bytes);
	*ret_shared = shared;
	return 0;
}

struct ct_http_shared *ct_http_shared_ref(struct ct_http_shared *shared)
{
	CT_ASSERT(atomic_fetch_add(&shared->references, 1) > 0);
	return shared;
}

void ct_http_shared_unref(struct ct_http_shared *shared)
{
	if (shared == NULL || atomic_fetch_sub(&shared->references, 1) > 1)
		return;
	if (shared->body.data != NULL) {
		(void)atomic_fetch_sub(&live_bytes, shared->body.size_bytes);
		shared->body.free(shared->body.arg);
	}
	if (shared->body.fd >= 0)
		CT_ASSERT(close(shared->body.fd) == 0);
	(void)atomic_fetch_sub(&live_shared, 1);
	free(shared);
}

/* As the engine does: the object itself from its file, if it has one, parts from memory. */
static char *copy_part(
    const struct ct_http_shared *shared, bool is_itself, uint64_t offset, uint64_t length)
{
	char *copy = calloc(1, length + 1);
	CT_ASSERT(copy != NULL);
	CT_ASSERT(offset <= shared->body.size_bytes && length <= shared->body.size_bytes - offset);
	if (shared->body.data != NULL && (shared->body.fd < 0 || !is_itself))
		memcpy(copy, (const char *)shared->body.data + offset, length);
	else
		CT_ASSERT(pread(shared->body.fd, copy, length, (off_t)offset) == (ssize_t)length);
	return copy;
}

/* ---- responses ---- */

struct ct_http_response *ct_http_response_new(int status)
{
	struct ct_http_response *response = calloc(1, sizeof(*response));
	CT_ASSERT(response != NULL);
	response->status = status;
	add_header(response->headers, "X-Content-Type-Options", "nosniff");
	return response;
}

void ct_http_response_header(struct ct_http_response *response, const char *name, const char *value)
{
	add_header(response->headers, name, value);
}

struct ct_http_response *ct_http_response_of_shared(
    int status, struct ct_http_shared *shared, uint64_t offset, uint64_t length_bytes)
{
	struct ct_http_response *response = ct_http_response_new(status);
	response->shared = ct_http_shared_ref(shared);
	response->offset = offset;
	response->length_bytes = length_bytes;
	return response;
}

void ct_http_response_stream(struct ct_http_response *response, const struct ct_http_stream *stream)
{
	CT_ASSERT(response->shared == NULL && response->stream.read == NULL);
	response->stream = *stream;
}

struct ct_http_response *ct_http_problem(
    const struct ct_http_request *request, int error, const char *detail, ...)
{
	struct ct_http_response *response = ct_http_response_new(ct_error_http_status(error));
	CT_ASSERT(request->exchange != NULL && error < 0);
	int length = snprintf(response->text, sizeof(response->text), "%s: ", ct_error_code(error));
	va_list arguments;
	va_start(arguments, detail);
	(void)vsnprintf(
	    response->text + length, sizeof(response->text) - (size_t)length, detail, arguments);
	va_end(arguments);
	return response;
}

/* ---- answers ---- */

/* In pieces of an odd size, as a slow client would make the engine ask for them. */
static void play_stream(
    const struct ct_http_stream *stream, const struct fake_ask *ask, struct fake_exchange *exchange)
{
	uint64_t offset = 0;
	bool is_second_half = false;
	exchange->size_bytes = stream->size_bytes;
	exchange->body = calloc(1, stream->size_bytes + 1);
	CT_ASSERT(exchange->body != NULL);
	while (offset < stream->size_bytes && !exchange->cut) {
		if (ask->halfway != NULL && !is_second_half && offset >= stream->size_bytes / 2) {
			is_second_half = true;
			exchange->left = !ask->halfway(ask->halfway_arg);
		}
		if (exchange->left)
			break;
		uint64_t rest = stream->size_bytes - offset;
		ssize_t count = stream->read(stream->arg, offset, exchange->body + offset,
		    rest < STREAM_PIECE_BYTES ? rest : STREAM_PIECE_BYTES);
		CT_ASSERT(count != 0 && count <= STREAM_PIECE_BYTES);
		exchange->cut = count < 0;
		offset += count > 0 ? (uint64_t)count : 0;
	}
	exchange->sent_bytes = offset;
	stream->free(stream->arg);
}

static void finish(struct ct_http_request *request)
{
	struct fake_exchange *exchange = request->exchange;
	memset(request, 0xa5, sizeof(*request));
	free(request);
	(void)atomic_fetch_sub(&live_requests, 1);
	/* The waiter may end the exchange as soon as it has the lock. */
	ct_lock_take(&exchange->lock);
	CT_ASSERT(!exchange->answered);
	exchange->answered = true;
	ct_condition_broadcast(&exchange->changed);
	ct_lock_release(&exchange->lock);
}

struct play {
	struct ct_http_request *request;
	struct ct_http_stream stream;
};

static void *run_play(void *arg)
{
	struct play *play = arg;
	play_stream(&play->stream, &play->request->ask, play->request->exchange);
	finish(play->request);
	free(play);
	return NULL;
}

static void play_beside(struct ct_http_request *request, const struct ct_http_stream *stream)
{
	struct play *play = malloc(sizeof(*play));
	pthread_t thread;
	CT_ASSERT(play != NULL);
	*play = (struct play){ request, *stream };
	CT_ASSERT(ct_thread_start("play", run_play, play, &thread) == 0);
	CT_ASSERT(pthread_detach(thread) == 0);
}

static bool has_body(const struct ct_http_request *request, int status)
{
	return status != 304 && request->ask.method != CT_HTTP_HEAD;
}

enum ct_http_next ct_http_answer(struct ct_http_request *request, struct ct_http_response *response)
{
	struct fake_exchange *exchange = request->exchange;
	CT_ASSERT(response != NULL);
	exchange->status = response->status;
	memcpy(exchange->headers, response->headers, sizeof(exchange->headers));
	if (response->shared != NULL) {
		exchange->size_bytes = response->length_bytes;
		exchange->body = copy_part(response->shared, false, response->offset,
		    has_body(request, response->status) ? response->length_bytes : 0);
		ct_http_shared_unref(response->shared);
	} else if (response->stream.read != NULL) {
		CT_ASSERT(has_body(request, response->status));
		if (request->ask.halfway != NULL) {
			play_beside(request, &response->stream);
			free(response);
			return CT_HTTP_ANSWERED;
		}
		play_stream(&response->stream, &request->ask, exchange);
	} else {
		exchange->body = strdup(response->text);
		CT_ASSERT(exchange->body != NULL);
	}
	free(response);
	finish(request);
	return CT_HTTP_ANSWERED;
}

enum ct_http_next ct_http_answer_shared(
    struct ct_http_request *request, int status, struct ct_http_shared *shared)
{
	struct fake_exchange *exchange = request->exchange;
	CT_ASSERT(status == 200 || status == 304);
	exchange->status = status;
	exchange->was_shared = true;
	exchange->size_bytes = shared->body.size_bytes;
	memcpy(exchange->headers, shared->headers, sizeof(exchange->headers));
	exchange->body =
	    copy_part(shared, true, 0, has_body(request, status) ? shared->body.size_bytes : 0);
	finish(request);
	return CT_HTTP_ANSWERED;
}
