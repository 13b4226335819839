#include "imaging/pool_priv.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "calotype/error.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

void ct_message_set(char *ret_message, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(ret_message, CT_IMAGING_MESSAGE_BYTES, format, arguments); /* may be cut */
	va_end(arguments);
}

/*
 * Only the socket and standard error go along; also what a library opened without close-on-exec
 * stays here. The caller blocks signals; the worker must not inherit that.
 */
static int set_up_actions(posix_spawn_file_actions_t *actions, int socket)
{
	int r = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(actions, 1, "/dev/null", O_WRONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(actions, socket, CT_WORKER_SOCKET);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(actions, CT_WORKER_SOCKET + 1);
	return r;
}

static int set_up_attributes(posix_spawnattr_t *attributes)
{
	sigset_t none;
	sigset_t all;
	CT_ASSERT(sigemptyset(&none) == 0);
	CT_ASSERT(sigfillset(&all) == 0);
	/* A session of its own: Ctrl-C is for the server, which then ends its workers. */
	int r = posix_spawnattr_setflags(
	    attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
	if (r == 0)
		r = posix_spawnattr_setsigmask(attributes, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(attributes, &all);
	return r;
}

/* An environment of its own: the server's may hold secrets. */
static int spawn(const char *path, int socket, pid_t *ret_pid)
{
	static char locale[] = "LC_ALL=C";
	static char name[] = "calotype-worker";
	char *const arguments[] = { name, NULL };
	char *const environment[] = { locale, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;

	int r = posix_spawn_file_actions_init(&actions);
	if (r != 0)
		return -r;
	r = posix_spawnattr_init(&attributes);
	if (r == 0) {
		r = set_up_actions(&actions, socket);
		if (r == 0)
			r = set_up_attributes(&attributes);
		if (r == 0)
			r = posix_spawn(
			    ret_pid, path, &actions, &attributes, arguments, environment);
		CT_ASSERT(posix_spawnattr_destroy(&attributes) == 0);
	}
	CT_ASSERT(posix_spawn_file_actions_destroy(&actions) == 0);
	return -r;
}

/* The hard limit stays: it may be lower than ours, and the next image needs the soft one again. */
static int set_limit(pid_t pid, enum __rlimit_resource resource, rlim_t soft)
{
	struct rlimit limit;
	if (prlimit(pid, resource, NULL, &limit) < 0)
		return -errno;
	limit.rlim_cur = limit.rlim_max < soft ? limit.rlim_max : soft;
	return prlimit(pid, resource, &limit, NULL) < 0 ? -errno : 0;
}

/* Of all its threads, rounded up. */
static int used_cpu_s(pid_t pid, rlim_t *ret_seconds)
{
	clockid_t clock;
	struct timespec used;
	int r = clock_getcpuclockid(pid, &clock);
	if (r != 0)
		return -r;
	if (clock_gettime(clock, &used) < 0)
		return -errno;
	*ret_seconds = (rlim_t)used.tv_sec + 1;
	return 0;
}

int ct_child_limit(pid_t pid, const struct ct_child_limits *limits)
{
	rlim_t used = 0;
	int r = used_cpu_s(pid, &used);
	if (r == 0)
		r = set_limit(pid, RLIMIT_AS, limits->memory_bytes);
	if (r == 0)
		r = set_limit(pid, RLIMIT_FSIZE, limits->file_bytes);
	/* It counts over the life of the process, so each image moves it on. */
	if (r == 0)
		r = set_limit(pid, RLIMIT_CPU, used + limits->cpu_s);
	return r;
}

/* Limited first: it does nothing before it has heard from us. */
static int greet(const struct ct_child *child, const struct ct_child_limits *limits, bool codecs)
{
	const struct ct_worker_hello hello = { .version = CT_WORKER_PROTOCOL_VERSION,
		.without_codecs = !codecs };
	int r = ct_child_limit(child->pid, limits);
	if (r < 0)
		return r;
	ssize_t sent;
	do
		sent = send(child->socket, &hello, sizeof(hello), MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

static int not_started(int error, char *ret_message)
{
	ct_message_set(ret_message, "the image worker did not start: %s", ct_error_name(error));
	return CT_ERROR_WORKER_UNAVAILABLE;
}

int ct_child_start(const char *path, const struct ct_child_limits *limits, bool with_codecs,
    struct ct_child *ret_child, char *ret_message)
{
	int pair[2];
	struct ct_child child = { .pid = -1 };

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return not_started(-errno, ret_message);
	ct_cleanup(ct_close_fd) int ours = pair[0];
	ct_cleanup(ct_close_fd) int theirs = pair[1];
	int r = spawn(path, theirs, &child.pid);
	if (r < 0)
		return not_started(r, ret_message);
	child.socket = ct_steal_fd(&ours);
	r = greet(&child, limits, with_codecs);
	if (r < 0) {
		int status;
		ct_child_end(&child, &status);
		return not_started(r, ret_message);
	}
	*ret_child = child;
	return 0;
}

bool ct_child_is_stale(const struct ct_child *child)
{
	struct pollfd wait = { .fd = child->socket, .events = POLLIN };
	return poll(&wait, 1, 0) != 0;
}

int ct_child_send(const struct ct_child *child, const struct ct_worker_request *request,
    const int *fds, size_t fd_count)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * CT_WORKER_MAX_FDS)] = { 0 };
	struct iovec piece = { (void *)request, sizeof(*request) };
	struct msghdr message = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count),
	};
	ssize_t sent;

	CT_ASSERT(fd_count >= 1 && fd_count <= CT_WORKER_MAX_FDS);
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	CT_ASSERT(header != NULL);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
	memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
	/* One message at a time is under way, so there is room: it never waits. */
	do
		sent = sendmsg(child->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	return sent == (ssize_t)sizeof(*request) ? 0 : -EPROTO;
}

static int wait_readable(int fd, int64_t deadline_ms)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	for (;;) {
		int64_t left = deadline_ms - ct_clock_monotonic_ms();
		if (left <= 0)
			return -ETIMEDOUT;
		int r = poll(&wait, 1, (int)(left < 60000 ? left : 60000));
		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

int ct_child_receive(
    const struct ct_child *child, int64_t deadline_ms, struct ct_worker_reply *ret_reply)
{
	/* Descriptors are not asked for: the kernel drops any that it sends. */
	struct iovec piece = { ret_reply, sizeof(*ret_reply) };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	ssize_t got;

	int r = wait_readable(child->socket, deadline_ms);
	if (r < 0)
		return r;
	do
		got = recvmsg(child->socket, &message, MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	if (got == 0 || (got < 0 && errno == ECONNRESET))
		return -EPIPE;
	if (got < 0)
		return -errno;
	if ((size_t)got != sizeof(*ret_reply) || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return -EPROTO;
	return ret_reply->version == CT_WORKER_PROTOCOL_VERSION ? 0 : -EPROTO;
}

void ct_child_end(struct ct_child *child, int *ret_status)
{
	pid_t ended;
	int status = -1;

	CT_ASSERT(child->pid > 0);
	(void)kill(child->pid, SIGKILL); /* not reaped yet, so the number is still its own */
	do
		ended = waitpid(child->pid, &status, 0);
	while (ended < 0 && errno == EINTR);
	/* ECHILD: the program ignores SIGCHLD; then nobody knows how it ended. */
	*ret_status = ended == child->pid ? status : -1;
	(void)close(child->socket); /* nothing is written behind */
	*child = (struct ct_child){ .pid = -1, .socket = -1 };
}

uint64_t ct_child_resident_bytes(const struct ct_child *child)
{
	char path[40];
	char text[80];
	unsigned long long pages = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)child->pid);
	ct_cleanup(ct_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t got = read(fd, text, sizeof(text) - 1);
	text[got > 0 ? got : 0] = '\0';
	return sscanf(text, "%*u %llu", &pages) == 1
		   ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE)
		   : 0;
}

int ct_child_explain(int status, unsigned cpu_s, char *ret_message)
{
	if (status == -1) {
		ct_message_set(ret_message, "the image worker went away");
		return CT_ERROR_WORKER_CRASHED;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == CT_WORKER_EXIT_MEMORY)
		return CT_ERROR_WORKER_MEMORY;
	if (WIFEXITED(status)) {
		ct_message_set(
		    ret_message, "the image worker ended with status %d", WEXITSTATUS(status));
		return CT_ERROR_WORKER_CRASHED;
	}
	int number = WTERMSIG(status);
	if (number == SIGXCPU) {
		ct_message_set(
		    ret_message, "the image took more processor time than the limit, %u s", cpu_s);
		return CT_ERROR_WORKER_TIMEOUT;
	}
	const char *name = sigabbrev_np(number);
	ct_message_set(ret_message, "the image worker was ended by signal %d (SIG%s)", number,
	    name != NULL ? name : "?");
	return CT_ERROR_WORKER_CRASHED;
}
