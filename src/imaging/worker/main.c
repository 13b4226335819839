/*
 * calotype-worker: decodes images that strangers sent, on behalf of calotyped, and can be killed
 * at any moment. It speaks protocol.h on descriptor 3, opens nothing by itself, and ends when the
 * other side closes. It is the one program that links libvips, and is built without sanitizers,
 * which its limit on address space would break.
 */
#include "base/assert.h"
#include "imaging/protocol.h"
#include "imaging/worker/decode.h"
#include "imaging/worker/develop.h"
#include "imaging/worker/failure.h"
#include "imaging/worker/hooks.h"
#include "imaging/worker/limits.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXIT_START 2

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

static void serve(struct work *work, struct ct_worker_reply *ret_reply)
{
	if (!ct_hook_run(&work->request, ret_reply))
		ct_develop(&work->request, work->fds, ret_reply);
	/* Before the answer: a memory file can be sealed only when nobody else writes. */
	for (size_t i = 0; i < work->fd_count; i++)
		(void)close(work->fds[i]); /* nothing is lost: memory files have no late errors */
	(void)malloc_trim(0);		   /* only says whether it found something */
}

static int start(void)
{
	int r = ct_limits_harden();
	if (r < 0) {
		(void)fprintf(stderr, "calotype-worker: limits: %s\n", strerror(-r));
		return -1;
	}
	/* More arenas than threads at work are address space for nothing. */
	(void)mallopt(M_ARENA_MAX, 2);
	ct_failure_install();
	if (ct_decode_start() != 0) {
		char message[CT_WORKER_MESSAGE_BYTES];
		(void)ct_failure_take(message);
		(void)fprintf(stderr, "calotype-worker: libvips: %s\n", message);
		return -1;
	}
	r = ct_limits_confine();
	if (r < 0) {
		(void)fprintf(stderr, "calotype-worker: confine: %s\n", strerror(-r));
		return -1;
	}
	return 0;
}

int main(void)
{
	static struct work work;
	static struct ct_worker_reply answer = { .version = CT_WORKER_PROTOCOL_VERSION };
	int r;

	if (start() != 0)
		return EXIT_START;
	if (reply(&answer) < 0)
		return EXIT_START;
	while ((r = receive(&work)) > 0) {
		serve(&work, &answer);
		if (reply(&answer) < 0)
			return 0; /* nobody is there any more */
	}
	if (r < 0)
		(void)fprintf(stderr, "calotype-worker: request: %s\n", strerror(-r));
	return r < 0 ? EXIT_START : 0;
}
