/* A worker that says of itself that seccomp does not hold, and would take any image. */
#include "imaging/protocol.h"
#include "imaging/sandbox.h"

#include <sys/socket.h>

int main(void)
{
	struct ct_worker_hello hello;
	struct ct_worker_request request;
	const struct ct_worker_reply ready = { .version = CT_WORKER_PROTOCOL_VERSION,
		.layers = CT_SANDBOX_ALL & ~CT_SANDBOX_BIT(CT_SANDBOX_SECCOMP) };
	if (recv(CT_WORKER_SOCKET, &hello, sizeof(hello), 0) != (ssize_t)sizeof(hello))
		return 1;
	if (send(CT_WORKER_SOCKET, &ready, sizeof(ready), MSG_NOSIGNAL) < 0)
		return 1;
	return recv(CT_WORKER_SOCKET, &request, sizeof(request), 0) > 0 ? 3 : 0;
}
