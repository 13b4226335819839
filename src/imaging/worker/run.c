#include "imaging/worker/run.h"
#include "base/assert.h"
#include "imaging/worker/confine.h"
#include "imaging/worker/decode.h"
#include "imaging/worker/failure.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXIT_START 2
#define EXIT_REQUEST 3
#define MALLOC_ARENAS 2

struct work {
	struct ct_worker_request request;
	int fds[CT_WORKER_MAX_FDS];
	size_t fd_count;
};

static void take_fds(struct msghdr *message, struct work *work)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
		return;
	size_t bytes = header->cmsg_len - CMSG_LEN(0);
	CT_ASSERT(bytes <= sizeof(work->fds));
	memcpy(work->fds, CMSG_DATA(header), bytes);
	work->fd_count = bytes / sizeof(work->fds[0]);
}

/* 1 with work, 0 at the end, -errno. */
static int receive(struct work *work)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(work->fds))];
	struct iovec piece = { &work->request, sizeof(work->request) };
	struct msghdr message = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t got;

	do
		got = recvmsg(CT_WORKER_SOCKET, &message, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		return got < 0 ? -errno : 0;
	work->fd_count = 0;
	take_fds(&message, work);
	if ((size_t)got != sizeof(work->request) || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return -EPROTO;
	if (work->request.version != CT_WORKER_PROTOCOL_VERSION)
		return -EPROTO;
	if (work->request.width_count > CT_PLAN_MAX_PRINTS ||
	    work->fd_count != 1 + work->request.width_count)
		return -EPROTO;
	return 1;
}

static int reply(const struct ct_worker_reply *reply)
{
	ssize_t sent;
	do
		sent = send(CT_WORKER_SOCKET, reply, sizeof(*reply), MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent == (ssize_t)sizeof(*reply) ? 0 : -EPIPE;
}

static void serve(ct_worker_handle_fn handle, struct work *work, struct ct_worker_reply *ret_reply)
{
	handle(&work->request, work->fds, ret_reply);
	/* Before the answer: a memory file can be sealed only when nobody else writes. */
	for (size_t i = 0; i < work->fd_count; i++)
		(void)close(work->fds[i]); /* nothing is lost: memory files have no late errors */
	(void)malloc_trim(0);		   /* only says whether it found something */
}

static int complain(const char *part, const char *reason)
{
	(void)fprintf(stderr, "calotype-worker: %s: %s\n", part, reason);
	return -1;
}

/* By then the limits have been set from outside. */
static int hear_hello(struct ct_worker_hello *ret_hello)
{
	ssize_t got;
	do
		got = recv(CT_WORKER_SOCKET, ret_hello, sizeof(*ret_hello), 0);
	while (got < 0 && errno == EINTR);
	if (got == 0)
		return -1; /* nobody is there any more */
	if (got != (ssize_t)sizeof(*ret_hello) || ret_hello->version != CT_WORKER_PROTOCOL_VERSION)
		return complain("start", "it is of another build than the server");
	return 0;
}

static int complain_of_codecs(void)
{
	char message[CT_WORKER_MESSAGE_BYTES];
	(void)ct_failure_take(message);
	return complain("libvips", message);
}

/* Modules are loaded before the files go away, threads are started after that. */
static int start(struct ct_worker_reply *ret_ready)
{
	struct ct_worker_hello hello;
	int r = ct_confine_harden();
	if (r < 0)
		return complain("start", strerror(-r));
	if (hear_hello(&hello) < 0)
		return -1;
	/* More arenas than threads at work are address space for nothing. */
	(void)mallopt(M_ARENA_MAX, MALLOC_ARENAS);
	ct_failure_install();
	if (hello.without_codecs == 0 && ct_decode_load() != 0)
		return complain_of_codecs();
	ct_confine_before_codecs(&ret_ready->layers);
	if (hello.without_codecs == 0 && ct_decode_warm_up() != 0)
		return complain_of_codecs();
	/* What libraries say about hostile bytes is nothing for the server's log. */
	if (dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
		return complain("start", strerror(errno));
	ct_confine_after_codecs(&ret_ready->layers);
	return 0;
}

int ct_worker_run(ct_worker_handle_fn handle)
{
	static struct work work;
	static struct ct_worker_reply answer = { .version = CT_WORKER_PROTOCOL_VERSION };
	int r;

	if (start(&answer) != 0 || reply(&answer) < 0)
		return EXIT_START;
	while ((r = receive(&work)) > 0) {
		serve(handle, &work, &answer);
		if (reply(&answer) < 0)
			return 0; /* nobody is there any more */
	}
	return r < 0 ? EXIT_REQUEST : 0;
}
