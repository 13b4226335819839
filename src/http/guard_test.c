/*
 * The guard's self-test. It rests on how libmicrohttpd keeps a head in memory, which nothing
 * promises; so before the server listens, a daemon of its own is shown heads that must pass and
 * heads that must not, over a pair of sockets.
 */
#include "http/guard_priv.h"
#include "base/cleanup.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_WAIT_MS 5000
#define PASSED 204
#define REFUSED 403 /* libmicrohttpd itself never says so */

struct trial {
	const char *head;
	size_t length;
	int status; /* 0: anything but PASSED */
};

#define TRIAL(text, status)                    \
	{                                      \
		text, sizeof(text) - 1, status \
	}

static const struct trial trials[] = {
	TRIAL("GET / HTTP/1.0\r\n\r\n", PASSED),
	TRIAL("GET /a?b=c%20d&e HTTP/1.1\r\nHost: a\r\nX:\r\nY:b\r\nZ: \t c d \r\n\r\n", PASSED),
	TRIAL("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", PASSED),
	TRIAL("GET / HTTP/1.1\r\n\r\n", REFUSED),
	TRIAL("GET / HTTP/1.1\nHost: a\r\n\r\n", REFUSED),
	TRIAL("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", REFUSED),
	TRIAL("GET / HTTP/1.1\r\nHost: a\r\n\n", REFUSED),
	TRIAL("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", REFUSED),
	TRIAL("GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n", REFUSED),
	TRIAL("GET /\0b HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
	TRIAL("GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", REFUSED),
	TRIAL("GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 0\r\n\r\n", REFUSED),
	TRIAL("GET / HTTP/1.1\r\nHost: a\nX: b\r\nY:  \tc\r\n\r\n", REFUSED),
	TRIAL("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", 0),
	TRIAL(
	    "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
	    0),
	TRIAL("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 0),
};

struct tester {
	const char *target;
	char target_copy[64];
};

static void *see_target(void *cls, const char *target, struct MHD_Connection *mhd)
{
	struct tester *tester = cls;
	(void)mhd;
	tester->target = target;
	/* A longer one is not among the trials; cut, it is refused. */
	(void)ct_slice_copy(
	    ct_slice_from_string(target), tester->target_copy, sizeof(tester->target_copy));
	return tester;
}

static size_t leave_escaped(void *cls, struct MHD_Connection *mhd, char *text)
{
	(void)cls;
	(void)mhd;
	return strlen(text);
}

static enum MHD_Result judge(void *cls, struct MHD_Connection *mhd, const char *url,
    const char *method, const char *version, const char *upload_data, size_t *upload_size,
    void **context)
{
	struct tester *tester = cls;
	const char *why;
	(void)url;
	(void)upload_data;
	(void)upload_size;
	(void)context;
	ct_cleanup(ct_free_pointer) struct ct_http_head *head = malloc(sizeof(*head));
	if (head == NULL)
		return MHD_NO;
	const struct ct_http_line line = {
		.method = method,
		.version = version,
		.target = tester->target,
		.target_copy = tester->target_copy,
		.target_length = strlen(tester->target_copy),
	};
	int r = ct_http_guard_check(mhd, &line, head, &why);
	struct MHD_Response *response =
	    MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
	if (response == NULL)
		return MHD_NO;
	enum MHD_Result queued = MHD_queue_response(mhd, r == 0 ? PASSED : REFUSED, response);
	MHD_destroy_response(response);
	return queued;
}

/* The status of the answer, 0 when the connection ended without one. */
static int read_status(int fd, int *ret_status)
{
	char line[13]; /* HTTP/1.1 204 */
	size_t length = 0;
	while (length < sizeof(line) - 1) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		if (poll(&wait, 1, ANSWER_WAIT_MS) <= 0)
			return -ETIMEDOUT;
		ssize_t n = read(fd, line + length, sizeof(line) - 1 - length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			*ret_status = 0;
			return 0;
		}
		length += (size_t)n;
	}
	uint64_t status;
	int r = ct_slice_to_u64((struct ct_slice){ line + 9, 3 }, 999, &status);
	if (r == 0)
		*ret_status = (int)status;
	return r;
}

static int run_trial(struct MHD_Daemon *daemon, const struct trial *trial)
{
	int pair[2];
	int status;
	const struct sockaddr address = { .sa_family = AF_UNIX };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ct_cleanup(ct_close_fd) int client = pair[0];
	if (MHD_add_connection(daemon, pair[1], &address, sizeof(address)) != MHD_YES)
		return -ENOMEM;
	if (send(client, trial->head, trial->length, MSG_NOSIGNAL) != (ssize_t)trial->length)
		return -EPIPE;
	int r = read_status(client, &status);
	if (r < 0)
		return r;
	bool right = trial->status != 0 ? status == trial->status : status != PASSED;
	return right ? 0 : -EPROTONOSUPPORT;
}

static void keep_quiet(void *cls, const char *format, va_list arguments)
{
	(void)cls;
	(void)format;
	(void)arguments;
}

int ct_http_guard_self_test(void)
{
	struct tester tester = { .target = NULL };
	struct MHD_Daemon *daemon =
	    MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC |
				 MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG,
		0, NULL, NULL, judge, &tester, MHD_OPTION_EXTERNAL_LOGGER, keep_quiet, NULL,
		MHD_OPTION_URI_LOG_CALLBACK, see_target, &tester, MHD_OPTION_UNESCAPE_CALLBACK,
		leave_escaped, NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)CT_HTTP_SMALL_POOL_BYTES, MHD_OPTION_END);
	if (daemon == NULL)
		return errno != 0 ? -errno : -ENOMEM;
	int r = 0;
	for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]) && r == 0; i++)
		r = run_trial(daemon, &trials[i]);
	MHD_stop_daemon(daemon);
	return r;
}
