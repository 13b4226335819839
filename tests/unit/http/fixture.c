#include "fixture.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread_pool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_TIMEOUT_MS 8000

struct script script;
struct counts counts;

static struct ct_thread_pool *workers;
static _Atomic(struct ct_http_request *) held;

void sleep_ms(int ms)
{
	struct timespec time = { ms / 1000, (long)(ms % 1000) * 1000000 };
	(void)nanosleep(&time, NULL);
}

/* ---- the scripted handler ---- */

static struct ct_http_response *make_answer(const struct ct_http_request *request)
{
	if (script.status < 0)
		return NULL;
	struct ct_http_response *response =
	    ct_http_response_new(script.status != 0 ? script.status : 200);
	size_t length = script.answer_bytes;
	(void)request;
	char *text = malloc(length + 6);
	if (length == 0) {
		length = 5;
		memcpy(text, "done\n", length);
	} else {
		memset(text, 'a', length);
	}
	ct_http_response_body(response, "text/plain", text, length);
	return response;
}

static void do_answer(void *arg)
{
	if (script.delay_ms > 0)
		sleep_ms(script.delay_ms);
	(void)ct_http_answer(arg, make_answer(arg));
}

static void do_proceed(void *arg)
{
	if (script.delay_ms > 0)
		sleep_ms(script.delay_ms);
	ct_http_proceed(arg);
}

static void *run_answer(void *arg)
{
	(void)ct_http_answer(arg, make_answer(arg));
	return NULL;
}

static void *run_proceed(void *arg)
{
	ct_http_proceed(arg);
	return NULL;
}

static void run_elsewhere(void *(*run)(void *arg), void *arg)
{
	pthread_t thread;
	CT_ASSERT(pthread_create(&thread, NULL, run, arg) == 0);
	CT_ASSERT(pthread_join(thread, NULL) == 0);
}

static enum ct_http_next act(struct ct_http_request *request, enum act what)
{
	switch (what) {
	case ACT_PROCEED: return CT_HTTP_PROCEED;
	case ACT_ANSWER: return ct_http_answer(request, make_answer(request));
	case ACT_WAIT_ANSWER:
		CT_ASSERT(ct_thread_pool_submit(workers, do_answer, request) == 0);
		break;
	case ACT_WAIT_PROCEED:
		CT_ASSERT(ct_thread_pool_submit(workers, do_proceed, request) == 0);
		break;
	case ACT_BEFORE_ANSWER: run_elsewhere(run_answer, request); break;
	case ACT_BEFORE_PROCEED: run_elsewhere(run_proceed, request); break;
	case ACT_WAIT_HELD: atomic_store(&held, request); break;
	}
	return CT_HTTP_WAIT;
}

void rig_release(void)
{
	struct ct_http_request *request = atomic_exchange(&held, NULL);
	CT_ASSERT(request != NULL);
	(void)ct_http_answer(request, make_answer(request));
}

static enum ct_http_next scripted_head(struct ct_http_request *request, void *context)
{
	(void)context;
	ct_http_set_user(request, &counts);
	counts.head++;
	return act(request, script.head);
}

static enum ct_http_next scripted_body(
    struct ct_http_request *request, const void *data, size_t length, void *context)
{
	const unsigned char *bytes = data;
	uint32_t sum = 0;
	(void)context;
	CT_ASSERT(ct_http_user(request) == &counts && length > 0);
	bool keeps = script.body_take > 0 && length > script.body_take;
	if (keeps) {
		ct_http_keep_rest(request, length - script.body_take);
		length = script.body_take;
	}
	for (size_t i = 0; i < length; i++)
		sum += bytes[i];
	counts.body_sum += sum;
	counts.body++;
	counts.body_bytes += length;
	if (!keeps && (counts.body_bytes < script.body_act_at || script.body_take > 0))
		return CT_HTTP_PROCEED;
	return act(request, script.body);
}

static enum ct_http_next scripted_end(struct ct_http_request *request, void *context)
{
	(void)context;
	int calls = ++counts.end;
	if (script.end == ACT_WAIT_PROCEED || script.end == ACT_BEFORE_PROCEED)
		return act(request, calls < 3 ? script.end : ACT_ANSWER);
	return act(request, script.end == ACT_PROCEED ? ACT_ANSWER : script.end);
}

static void scripted_gone(struct ct_http_request *request, void *context)
{
	(void)context;
	if (ct_http_was_answered(request))
		counts.answered++;
	counts.gone++;
}

static const struct ct_http_handler scripted = {
	.head = scripted_head, .body = scripted_body, .end = scripted_end, .gone = scripted_gone
};

static const struct ct_http_route scripted_routes[] = {
	{ CT_HTTP_GET, "/s/{name}", 0, &scripted, NULL },
	{ CT_HTTP_PUT, "/s/{name}", 0, &scripted, NULL },
	{ CT_HTTP_POST, "/s/{name}", 0, &scripted, NULL },
	{ CT_HTTP_PATCH, "/s/{name}", 0, &scripted, NULL },
	{ CT_HTTP_DELETE, "/s/{name}", 0, &scripted, NULL },
};

/* ---- the server ---- */

void rig_build(struct rig *rig, const struct ct_http_options *options,
    const struct ct_http_route *routes, size_t count)
{
	struct ct_http_options mine = *options;
	struct ct_thread_pool_options pool = { .name = "test", .threads = 4, .max_queued = 1024 };
	if (mine.listen == NULL)
		mine.listen = "127.0.0.1:0";
	if (mine.loops == 0)
		mine.loops = 2;
	CT_ASSERT(ct_thread_pool_new(&pool, &workers) == 0);
	CT_ASSERT(ct_http_server_new(&mine, &rig->server) == 0);
	CT_ASSERT(ct_http_server_add(rig->server, scripted_routes,
		      sizeof(scripted_routes) / sizeof(scripted_routes[0])) == 0);
	if (count > 0)
		CT_ASSERT(ct_http_server_add(rig->server, routes, count) == 0);
}

void rig_begin(struct rig *rig)
{
	CT_ASSERT(ct_http_server_start(rig->server) == 0);
	const char *colon = strrchr(ct_http_server_url(rig->server), ':');
	rig->port = (int)strtol(colon + 1, NULL, 10);
}

void rig_start_with(struct rig *rig, const struct ct_http_options *options,
    const struct ct_http_route *routes, size_t count)
{
	rig_build(rig, options, routes, count);
	rig_begin(rig);
}

void rig_start(struct rig *rig, const struct ct_http_options *options)
{
	static const struct ct_http_options defaults;
	rig_start_with(rig, options != NULL ? options : &defaults, NULL, 0);
}

void rig_stop(struct rig *rig)
{
	ct_http_server_stop(rig->server, 3000);
	ct_thread_pool_free(workers);
	workers = NULL;
	ct_http_server_free(rig->server);
}

bool wait_for(const atomic_int *counter, int value)
{
	for (int i = 0; i < 1000 && atomic_load(counter) < value; i++)
		sleep_ms(5);
	return atomic_load(counter) == value;
}

/* ---- clients ---- */

int client_open_from(const struct rig *rig, const char *address)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)rig->port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CT_ASSERT(fd >= 0);
	CT_ASSERT(inet_pton(AF_INET, address, &from.sin_addr) == 1);
	CT_ASSERT(inet_pton(AF_INET, "127.0.0.1", &to.sin_addr) == 1);
	CT_ASSERT(bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0);
	CT_ASSERT(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	return fd;
}

int client_open(const struct rig *rig)
{
	return client_open_from(rig, "127.0.0.1");
}

void client_reset(int fd)
{
	struct linger now = { 1, 0 };
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	(void)close(fd);
}

bool client_try_send(int fd, const void *data, size_t length)
{
	const char *bytes = data;
	while (length > 0) {
		ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		bytes += n;
		length -= (size_t)n;
	}
	return true;
}

void client_send(int fd, const void *data, size_t length)
{
	CT_ASSERT(client_try_send(fd, data, length));
}

void client_say(int fd, const char *text)
{
	client_send(fd, text, strlen(text));
}

static ssize_t read_some(int fd, char *data, size_t length, int timeout_ms)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	if (poll(&wait, 1, timeout_ms) <= 0)
		return -1;
	ssize_t n = recv(fd, data, length, 0);
	return n < 0 ? 0 : n;
}

const char *reply_header(struct reply *reply, const char *name)
{
	size_t length = strlen(name);
	reply->value[0] = '\0';
	for (const char *line = reply->head; line != NULL && *line != '\0';) {
		if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
			const char *end = strstr(line, "\r\n");
			(void)snprintf(reply->value, sizeof(reply->value), "%.*s",
			    (int)(end - line - (ssize_t)length - 2), line + length + 2);
			break;
		}
		line = strstr(line, "\r\n");
		line = line != NULL ? line + 2 : NULL;
	}
	return reply->value;
}

bool client_read(int fd, bool is_head, struct reply *reply)
{
	size_t length = 0;
	memset(reply, 0, sizeof(*reply));
	/* Byte by byte: what follows the head is not ours yet. */
	while (length < 4 || memcmp(reply->head + length - 4, "\r\n\r\n", 4) != 0) {
		if (length == sizeof(reply->head) - 1 ||
		    read_some(fd, reply->head + length, 1, READ_TIMEOUT_MS) != 1)
			return false;
		length++;
	}
	reply->status = (int)strtol(reply->head + 9, NULL, 10);
	size_t expected = (size_t)strtoull(reply_header(reply, "Content-Length"), NULL, 10);
	if (is_head || reply->status == 304 || reply->status == 204 || reply->status < 200)
		expected = 0;
	CT_ASSERT(expected < sizeof(reply->body));
	while (reply->body_length < expected) {
		ssize_t n = read_some(fd, reply->body + reply->body_length,
		    expected - reply->body_length, READ_TIMEOUT_MS);
		if (n <= 0)
			return false;
		reply->body_length += (size_t)n;
	}
	return true;
}

ssize_t client_read_all(int fd, char *text, size_t capacity)
{
	size_t length = 0;
	while (length < capacity - 1) {
		ssize_t n = read_some(fd, text + length, capacity - 1 - length, READ_TIMEOUT_MS);
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		length += (size_t)n;
	}
	text[length] = '\0';
	return (ssize_t)length;
}

bool client_is_closed(int fd, int ms)
{
	char byte;
	return read_some(fd, &byte, 1, ms) == 0;
}

void ask(const struct rig *rig, const char *request, struct reply *reply)
{
	int fd = client_open(rig);
	client_say(fd, request);
	CT_ASSERT(client_read(fd, strncmp(request, "HEAD", 4) == 0, reply));
	(void)close(fd);
}
