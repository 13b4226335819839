/*
 * Listening sockets: "127.0.0.1:8080", "[::1]:0", "unix:/path", or "systemd" for the ones that
 * were handed to the process (sd_listen_fds(3)).
 */
#include "http/server_priv.h"
#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define URL_BYTES 256
/* As many as the kernel allows by default: a SYN that finds no place comes again after 1, 3, 7 s.
 */
#define BACKLOG 4096
#define FIRST_PASSED_FD 3

static int name_socket(int fd, char *ret_url)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	char host[INET6_ADDRSTRLEN];
	if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		return -errno;
	if (address.ss_family == AF_UNIX) {
		const struct sockaddr_un *local = (const struct sockaddr_un *)&address;
		(void)snprintf(ret_url, URL_BYTES, "unix:%s", local->sun_path); /* it fits */
		return 0;
	}
	bool is_v6 = address.ss_family == AF_INET6;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
	const void *bytes = is_v6 ? (const void *)&v6->sin6_addr : (const void *)&v4->sin_addr;
	unsigned port = ntohs(is_v6 ? v6->sin6_port : v4->sin_port);
	if (inet_ntop(address.ss_family, bytes, host, sizeof(host)) == NULL)
		return -errno;
	(void)snprintf(ret_url, URL_BYTES, is_v6 ? "http://[%s]:%u" : "http://%s:%u", host, port);
	return 0;
}

/* A file that a dead server has left behind is removed, a living one's is not. */
static int remove_stale(const struct sockaddr_un *address)
{
	ct_cleanup(ct_close_fd) int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (probe < 0)
		return -errno;
	if (connect(probe, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return -EADDRINUSE;
	if (errno == ENOENT)
		return 0;
	if (errno != ECONNREFUSED)
		return -errno;
	return unlink(address->sun_path) == 0 || errno == ENOENT ? 0 : -errno;
}

static int listen_on(int family, const struct sockaddr *address, socklen_t length, int *ret_fd)
{
	int one = 1;
	ct_cleanup(ct_close_fd) int fd =
	    socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (family != AF_UNIX && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		return -errno;
	if (bind(fd, address, length) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	*ret_fd = ct_steal_fd(&fd);
	return 0;
}

static int listen_unix(const char *path, int *ret_fd)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (ct_slice_copy(ct_slice_from_string(path), address.sun_path, sizeof(address.sun_path)) <
	    0)
		return -ENAMETOOLONG;
	int r = remove_stale(&address);
	if (r < 0)
		return r;
	return listen_on(AF_UNIX, (const struct sockaddr *)&address, sizeof(address), ret_fd);
}

static int listen_tcp(const char *text, int *ret_fd)
{
	char host[256];
	const char *colon = strrchr(text, ':');
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *found = NULL;
	if (colon == NULL || colon[1] == '\0')
		return -EINVAL;
	struct ct_slice name = { text, (size_t)(colon - text) };
	if (name.length >= 2 && name.data[0] == '[' && name.data[name.length - 1] == ']')
		name = (struct ct_slice){ name.data + 1, name.length - 2 };
	if (ct_slice_copy(name, host, sizeof(host)) < 0)
		return -EINVAL;
	if (getaddrinfo(host[0] != '\0' ? host : NULL, colon + 1, &hints, &found) != 0)
		return -EADDRNOTAVAIL;
	int r = listen_on(found->ai_family, found->ai_addr, found->ai_addrlen, ret_fd);
	freeaddrinfo(found);
	return r;
}

/* The count of sockets that systemd has passed. */
static int take_passed(int ret_fds[CT_HTTP_MAX_LISTENERS])
{
	uint64_t pid;
	uint64_t count;
	if (ct_slice_to_u64(ct_slice_from_string(getenv("LISTEN_PID")), INT32_MAX, &pid) < 0 ||
	    ct_slice_to_u64(
		ct_slice_from_string(getenv("LISTEN_FDS")), CT_HTTP_MAX_LISTENERS, &count) < 0 ||
	    pid != (uint64_t)getpid() || count == 0)
		return -EINVAL;
	for (int i = 0; i < (int)count; i++) {
		int fd = FIRST_PASSED_FD + i;
		int flags = fcntl(fd, F_GETFL);
		if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
		    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return -errno;
		ret_fds[i] = fd;
	}
	return (int)count;
}

int ct_http_listen(const char *listen, int ret_fds[CT_HTTP_MAX_LISTENERS], char *ret_url)
{
	struct ct_slice text = ct_slice_from_string(listen);
	int count = 1;
	int r;
	if (ct_slice_equal(text, "systemd"))
		r = count = take_passed(ret_fds);
	else if (ct_slice_starts_with(text, "unix:"))
		r = listen_unix(listen + strlen("unix:"), &ret_fds[0]);
	else
		r = listen_tcp(listen, &ret_fds[0]);
	if (r < 0)
		return r;
	r = name_socket(ret_fds[0], ret_url);
	if (r < 0) {
		ct_http_unlisten(listen, ret_fds, count);
		return r;
	}
	return count;
}

void ct_http_unlisten(const char *listen, const int *fds, int count)
{
	for (int i = 0; i < count; i++)
		(void)close(fds[i]); /* nothing was written to it */
	if (count > 0 && strncmp(listen, "unix:", strlen("unix:")) == 0)
		(void)unlink(listen + strlen("unix:")); /* somebody has tidied up before us */
}
