/*
 * The work of the image worker in one plain process: FILE is developed N times, in the same calls
 * of the same library, with no server, no queue, no sandbox and no second process around.
 *     plain-develop FILE TYPE N
 */
#include "imaging/worker/decode.h"
#include "imaging/worker/develop.h"
#include "imaging/worker/failure.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int develop(const char *path, const char *type)
{
	static struct ct_worker_reply reply;
	struct ct_worker_request request = {
		.version = CT_WORKER_PROTOCOL_VERSION,
		.width_count = 3,
		.widths = { 320, 640, 1280 },
		.max_pixels = 50000000,
		.max_all_pixels = 100000000,
		.max_whole_bytes = 256 << 20,
		.max_print_bytes = 64 << 20,
	};
	int fds[4] = { open(path, O_RDONLY) };
	struct stat status;
	if (fstat(fds[0], &status) < 0)
		return -1;
	request.input_bytes = (uint64_t)status.st_size;
	(void)snprintf(request.type, sizeof(request.type), "%s", type);
	for (size_t i = 1; i < 4; i++)
		fds[i] = memfd_create("print", 0);
	ct_develop(&request, fds, &reply);
	for (size_t i = 0; i < 4; i++)
		(void)close(fds[i]);
	if (reply.status != 0)
		(void)fprintf(stderr, "plain-develop: %s\n", reply.message);
	return reply.status;
}

int main(int argc, char **argv)
{
	if (argc != 4 || ct_decode_load() != 0 || ct_decode_warm_up() != 0)
		return 2;
	ct_failure_install();
	for (long i = strtol(argv[3], NULL, 10); i > 0; i--)
		if (develop(argv[1], argv[2]) != 0)
			return 1;
	return 0;
}
