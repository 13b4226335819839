#include "notify.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int ct_notify(const char *state)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (name == NULL || name[0] == '\0')
		return 0;
	size_t chars = strlen(name);
	if (chars >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, name, chars);
	if (name[0] == '@') /* an abstract address, which has no file */
		address.sun_path[0] = '\0';
	socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + chars);

	ct_cleanup(ct_close_fd) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	ssize_t sent = sendto(
	    fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address, length);
	return sent < 0 ? -errno : 0;
}
