/*
 * For the sanitizers, without a test framework: clients of every kind at once, most of whose
 * requests sleep and are woken by other threads. Ends with 0 when all that began has ended, once.
 */
#include "fixture.h"

#include "base/clock.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS 8
#define WORKERS 3
#define MAX_TASKS 4096
#define ANSWER_BYTES 3000

enum style { STYLE_PLAIN, STYLE_WAITS, STYLE_COUNT };

/* ---- workers: a queue of sleeping requests, each to be answered or let go on ---- */

struct task {
	struct ct_http_request *request;
	bool answers;
};

static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t queue_changed = PTHREAD_COND_INITIALIZER;
static struct task queue[MAX_TASKS];
static size_t queue_first, queue_length;
static bool queue_ends;

static atomic_int heads, gones, answers, bodies_right, bodies_wrong, failures;
static struct ct_http_shared *shared;
static struct rig rig;

static struct ct_http_response *make_answer(int status)
{
	struct ct_http_response *response = ct_http_response_new(status);
	char *data = malloc(ANSWER_BYTES);
	memset(data, 'x', ANSWER_BYTES);
	ct_http_response_body(response, "text/plain", data, ANSWER_BYTES);
	return response;
}

static void submit(struct ct_http_request *request, bool does_answer)
{
	pthread_mutex_lock(&queue_lock);
	if (queue_length == MAX_TASKS)
		abort();
	queue[(queue_first + queue_length++) % MAX_TASKS] = (struct task){ request, does_answer };
	pthread_cond_signal(&queue_changed);
	pthread_mutex_unlock(&queue_lock);
}

static void *work(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	for (;;) {
		pthread_mutex_lock(&queue_lock);
		while (queue_length == 0 && !queue_ends)
			pthread_cond_wait(&queue_changed, &queue_lock);
		if (queue_length == 0) {
			pthread_mutex_unlock(&queue_lock);
			return NULL;
		}
		struct task task = queue[queue_first];
		queue_first = (queue_first + 1) % MAX_TASKS;
		queue_length--;
		pthread_mutex_unlock(&queue_lock);
		if (rand_r(&seed) % 4 == 0)
			sleep_ms(1);
		if (!task.answers)
			ct_http_proceed(task.request);
		else if (rand_r(&seed) % 2 == 0)
			(void)ct_http_answer_shared(task.request, 200, shared);
		else
			(void)ct_http_answer(task.request, make_answer(200));
	}
}

/* ---- handlers ---- */

struct state {
	uint64_t bytes;
	uint32_t sum;
	unsigned seed;
};

static enum ct_http_next stress_head(struct ct_http_request *request, void *context)
{
	struct state *state = calloc(1, sizeof(*state));
	heads++;
	state->seed = (unsigned)atomic_load(&heads);
	ct_http_set_user(request, state);
	(void)context;
	if (ct_http_method(request) == CT_HTTP_GET) {
		if (rand_r(&state->seed) % 2 == 0)
			return ct_http_answer_shared(request, 200, shared);
		submit(request, true);
		return CT_HTTP_WAIT;
	}
	const char *name = ct_http_parameter(request, "name");
	if (strcmp(name, "refused") == 0)
		return ct_http_answer(request, make_answer(413));
	if (rand_r(&state->seed) % 2 == 0)
		return CT_HTTP_PROCEED;
	submit(request, false);
	return CT_HTTP_WAIT;
}

static enum ct_http_next stress_body(
    struct ct_http_request *request, const void *data, size_t length, void *context)
{
	struct state *state = ct_http_user(request);
	const unsigned char *bytes = data;
	(void)context;
	for (size_t i = 0; i < length; i++)
		state->sum = state->sum * 31 + bytes[i];
	state->bytes += length;
	if (strcmp(ct_http_parameter(request, "name"), "midway") == 0 && state->bytes > 100000) {
		submit(request, true);
		return CT_HTTP_WAIT;
	}
	if (rand_r(&state->seed) % 3 != 0)
		return CT_HTTP_PROCEED;
	submit(request, false);
	return CT_HTTP_WAIT;
}

static enum ct_http_next stress_end(struct ct_http_request *request, void *context)
{
	struct state *state = ct_http_user(request);
	struct ct_slice sum = ct_http_header(request, "X-Sum");
	char text[16];
	(void)context;
	(void)snprintf(text, sizeof(text), "%u", state->sum);
	if (ct_slice_equal(sum, text))
		bodies_right++;
	else
		bodies_wrong++;
	submit(request, true);
	return CT_HTTP_WAIT;
}

static void stress_gone(struct ct_http_request *request, void *context)
{
	(void)context;
	if (ct_http_was_answered(request))
		answers++;
	free(ct_http_user(request));
	gones++;
}

static const struct ct_http_handler handler = {
	.head = stress_head, .body = stress_body, .end = stress_end, .gone = stress_gone
};
static const struct ct_http_route routes[] = {
	{ CT_HTTP_GET, "/t/{name}", 0, &handler, NULL },
	{ CT_HTTP_PUT, "/t/{name}", 0, &handler, NULL },
};

/* ---- clients ---- */

static bool send_body(
    int fd, const char *body, size_t length, bool chunked, bool ends, unsigned *seed)
{
	char line[32];
	size_t at = 0;
	while (at < length) {
		size_t piece = 1 + (size_t)rand_r(seed) % 20000;
		if (piece > length - at)
			piece = length - at;
		int n = snprintf(line, sizeof(line), "%zx\r\n", piece);
		if ((chunked && !client_try_send(fd, line, (size_t)n)) ||
		    !client_try_send(fd, body + at, piece) ||
		    (chunked && !client_try_send(fd, "\r\n", 2)))
			return false;
		at += piece;
	}
	return !chunked || !ends || client_try_send(fd, "0\r\n\r\n", 5);
}

static bool put(int fd, const char *name, const char *body, size_t length, bool chunked,
    bool leaves, unsigned *seed)
{
	char head[256];
	uint32_t sum = 0;
	for (size_t i = 0; i < length; i++)
		sum = sum * 31 + (unsigned char)body[i];
	int n = snprintf(
	    head, sizeof(head), "PUT /t/%s HTTP/1.1\r\nHost: h\r\nX-Sum: %u\r\n", name, sum);
	if (chunked)
		n += snprintf(
		    head + n, sizeof(head) - (size_t)n, "Transfer-Encoding: chunked\r\n\r\n");
	else
		n += snprintf(
		    head + n, sizeof(head) - (size_t)n, "Content-Length: %zu\r\n\r\n", length);
	if (!client_try_send(fd, head, (size_t)n))
		return false;
	return send_body(fd, body, leaves ? length / 2 : length, chunked, !leaves, seed);
}

/* -1: the server has stopped. */
static int open_quietly(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)rig.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool one_connection(unsigned *seed, const char *body, size_t length, struct reply *reply)
{
	static const char get[] = "GET /t/a HTTP/1.1\r\nHost: h\r\n\r\n";
	static const char *const names[] = { "all", "all", "all", "midway", "refused" };
	int fd = open_quietly();
	if (fd < 0)
		return false;
	for (int i = 0; i < 6; i++) {
		const char *name = names[rand_r(seed) % 5];
		bool chunked = rand_r(seed) % 2 == 0;
		bool leaves = rand_r(seed) % 8 == 0;
		bool ok;
		if (rand_r(seed) % 3 == 0)
			ok = client_try_send(fd, get, sizeof(get) - 1);
		else
			ok = put(fd, name, body, 1 + (size_t)rand_r(seed) % length, chunked, leaves,
			    seed);
		if (leaves) {
			if (rand_r(seed) % 2 == 0)
				client_reset(fd);
			else
				close(fd);
			return true;
		}
		/* Early answers to chunked bodies close the connection. */
		bool may_close = chunked && strcmp(name, "all") != 0;
		if (!ok || !client_read(fd, false, reply)) {
			if (!may_close)
				failures++;
			break;
		}
		if (strcmp(reply_header(reply, "Connection"), "close") == 0)
			break;
	}
	close(fd);
	return true;
}

struct client {
	pthread_t thread;
	unsigned seed;
	int64_t until_ms;
};

static void *be_client(void *arg)
{
	struct client *client = arg;
	size_t length = 400000;
	char *body = malloc(length);
	struct reply *reply = malloc(sizeof(*reply));
	for (size_t i = 0; i < length; i++)
		body[i] = (char)rand_r(&client->seed);
	while (ct_clock_monotonic_ms() < client->until_ms) {
		if (!one_connection(&client->seed, body, length, reply))
			break;
	}
	free(reply);
	free(body);
	return NULL;
}

int main(int argc, char **argv)
{
	int64_t seconds = argc > 1 ? strtol(argv[1], NULL, 10) : 3;
	struct ct_http_body data = {
		.data = malloc(ANSWER_BYTES), .fd = -1, .size_bytes = ANSWER_BYTES, .free = free
	};
	struct ct_http_options options = {
		.loops = 2, .head_deadline_ms = 2000, .body_grace_ms = 2000
	};
	pthread_t workers[WORKERS];
	struct client clients[CLIENTS];

	memset((void *)(uintptr_t)data.data, 's', ANSWER_BYTES);
	data.arg = (void *)(uintptr_t)data.data;
	if (ct_http_shared_new(&data, NULL, 0, &shared) != 0)
		return 1;
	for (int i = 0; i < WORKERS; i++)
		if (pthread_create(&workers[i], NULL, work, (void *)(uintptr_t)(i + 1)) != 0)
			return 1;
	rig_start_with(&rig, &options, routes, 2);
	for (int i = 0; i < CLIENTS; i++) {
		clients[i].seed = (unsigned)(i + 100);
		clients[i].until_ms = ct_clock_monotonic_ms() + seconds * 1000;
		if (pthread_create(&clients[i].thread, NULL, be_client, &clients[i]) != 0)
			return 1;
	}
	/* The stop comes while they still ask. */
	sleep_ms((int)seconds * 900);
	int failed_before = failures;
	ct_http_server_stop(rig.server, 5000);
	rig_stop(&rig);
	for (int i = 0; i < CLIENTS; i++)
		(void)pthread_join(clients[i].thread, NULL);
	pthread_mutex_lock(&queue_lock);
	queue_ends = true;
	pthread_cond_broadcast(&queue_changed);
	pthread_mutex_unlock(&queue_lock);
	for (int i = 0; i < WORKERS; i++)
		(void)pthread_join(workers[i], NULL);
	ct_http_shared_unref(shared);
	(void)printf("heads %d gones %d answered %d bodies right %d wrong %d failures %d\n", heads,
	    gones, answers, bodies_right, bodies_wrong, failed_before);
	return heads == gones && bodies_wrong == 0 && bodies_right > 0 && failed_before == 0 ? 0
											     : 1;
}
