/*
 * The two libmicrohttpd daemons: one with small pools for what has no body, one with large ones.
 * A pool is cleared whole at each request of a kept-alive connection, which makes a large one dear
 * for small requests, while bodies need room. Neither daemon listens; the acceptor feeds them.
 */
#include "http/server_priv.h"
#include "base/assert.h"
#include "base/log.h"

#include <errno.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPARE_CONNECTIONS 64 /* of each loop: its count falls a little after ours */

static void log_message(void *cls, const char *format, va_list arguments)
{
	/* The rest tells what clients did, which the access log does too. */
	static const char *const ours[] = { "Call to ", "Error allocating", "Failed to create",
		"Failed to signal", "Failed to start", "Server reached", "Fatal" };
	char text[256];
	enum ct_log_level level = CT_LOG_DEBUG;
	(void)cls;
	int length = vsnprintf(text, sizeof(text), format, arguments);
	if (length < 0)
		return;
	text[strcspn(text, "\n")] = '\0';
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		if (strncmp(text, ours[i], strlen(ours[i])) == 0)
			level = CT_LOG_WARNING;
	}
	ct_log(level, "http.engine", CT_LOG_TEXT("text", text));
}

static void panic(void *cls, const char *file, unsigned int line, const char *reason)
{
	(void)cls;
	ct_log(CT_LOG_ERROR, "http.panic", CT_LOG_TEXT("file", file), CT_LOG_NUMBER("line", line),
	    CT_LOG_TEXT("reason", reason));
	abort();
}

/* The target as it came: libmicrohttpd cuts it up later. */
static void *see_target(void *cls, const char *target, struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct ct_http_connection *connection = info != NULL ? info->socket_context : NULL;
	(void)cls;
	if (connection == NULL)
		return NULL;
	ct_http_request_begin(connection, mhd, target);
	return &connection->request;
}

static size_t leave_escaped(void *cls, struct MHD_Connection *mhd, char *text)
{
	(void)cls;
	(void)mhd;
	return strlen(text);
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *mhd, const char *url,
    const char *method, const char *version, const char *upload_data, size_t *upload_size,
    void **context)
{
	(void)cls;
	(void)mhd;
	(void)url;
	if (*context == NULL)
		return MHD_NO;
	return ct_http_request_step(*context, method, version, upload_data, upload_size) != 0
		   ? MHD_YES
		   : MHD_NO;
}

static void complete(
    void *cls, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode code)
{
	(void)cls;
	(void)mhd;
	(void)code; /* ct_http_was_answered says what a handler needs */
	if (*context != NULL)
		ct_http_request_finish(*context);
	*context = NULL;
}

static void notice_connection(void *cls, struct MHD_Connection *mhd, void **socket_context,
    enum MHD_ConnectionNotificationCode code)
{
	struct ct_http_server *server = cls;
	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (*socket_context != NULL)
			ct_http_connection_remove(*socket_context);
		*socket_context = NULL;
		return;
	}
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	int fd = info != NULL ? info->connect_fd : -1;
	*socket_context = ct_http_connection_of(server, fd);
	/* A stop that came in between has not seen it. */
	if (atomic_load(&server->stopping) && fd >= 0)
		(void)shutdown(fd, SHUT_RDWR); /* may be gone already */
}

static unsigned backstop_s(const struct ct_http_options *options)
{
	int64_t longest_ms = options->idle_timeout_ms > options->body_grace_ms
				 ? options->idle_timeout_ms
				 : options->body_grace_ms;
	return (unsigned)(longest_ms / 1000) + 10;
}

/* Signals are for the thread that waits for them. */
static struct MHD_Daemon *start_without_signals(
    unsigned flags, struct ct_http_server *server, const struct MHD_OptionItem *items)
{
	sigset_t all;
	sigset_t before;
	CT_ASSERT(sigfillset(&all) == 0);
	CT_ASSERT(sigdelset(&all, SIGSEGV) == 0 && sigdelset(&all, SIGBUS) == 0);
	CT_ASSERT(sigdelset(&all, SIGILL) == 0 && sigdelset(&all, SIGFPE) == 0);
	CT_ASSERT(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	struct MHD_Daemon *daemon = MHD_start_daemon(flags, 0, NULL, NULL, handle, server,
	    MHD_OPTION_EXTERNAL_LOGGER, log_message, NULL, MHD_OPTION_ARRAY, items, MHD_OPTION_END);
	CT_ASSERT(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
	return daemon;
}

int ct_http_daemon_start(
    struct ct_http_server *server, size_t pool_bytes, struct MHD_Daemon **ret_daemon)
{
	const struct ct_http_options *options = &server->options;
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_USE_NO_LISTEN_SOCKET |
			 MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
	/* The limit is shared out to the loops; ours is the one that counts. */
	intptr_t limit =
	    (intptr_t)(options->max_connections + SPARE_CONNECTIONS) * (intptr_t)options->loops;
	struct MHD_OptionItem items[] = {
		{ MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)pool_bytes, NULL },
		{ MHD_OPTION_CONNECTION_LIMIT, limit < INT32_MAX ? limit : INT32_MAX, NULL },
		{ MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)backstop_s(options), NULL },
		{ MHD_OPTION_THREAD_STACK_SIZE, CT_HTTP_STACK_BYTES, NULL },
		{ MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)complete, server },
		{ MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)notice_connection, server },
		{ MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)see_target, server },
		{ MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)leave_escaped, server },
		/* "1" is not a pool: the daemon's own thread. */
		{ options->loops > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END,
		    (intptr_t)options->loops, NULL },
		{ MHD_OPTION_END, 0, NULL },
	};
	MHD_set_panic_func(panic, NULL);
	*ret_daemon = start_without_signals(flags, server, items);
	return *ret_daemon != NULL ? 0 : errno != 0 ? -errno : -ENOMEM;
}

void ct_http_daemon_stop(struct MHD_Daemon *daemon)
{
	if (daemon != NULL)
		MHD_stop_daemon(daemon);
}

bool ct_http_daemon_take(struct MHD_Daemon *daemon, struct ct_http_connection *connection,
    const struct sockaddr_storage *address, socklen_t length)
{
	/* It closes the socket in any case; nobody else opens sockets of ours in between. */
	if (MHD_add_connection(daemon, connection->fd, (const struct sockaddr *)address, length) ==
	    MHD_YES)
		return true;
	ct_log(CT_LOG_WARNING, "http.connection_refused", CT_LOG_NUMBER("errno", errno));
	ct_http_connection_remove(connection);
	return false;
}
