#include "mhd_oracle.h"
#include "fuzz.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES 4096

static struct MHD_Connection *connection;

struct reading {
	oracle_part_fn part;
	void *arg;
};

static enum MHD_Result handle(void *cls, struct MHD_Connection *mhd, const char *url,
    const char *method, const char *version, const char *data, size_t *size, void **context)
{
	(void)cls;
	(void)url;
	(void)method;
	(void)version;
	(void)data;
	(void)size;
	(void)context;
	connection = mhd;
	return MHD_YES;
}

static void open_connection(void)
{
	static const char head[] =
	    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n"
	    "Content-Type: multipart/form-data; boundary=" ORACLE_BOUNDARY "\r\n\r\n";
	struct sockaddr_in address = { .sin_family = AF_INET };
	int pair[2];

	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0, "socketpair");
	struct MHD_Daemon *daemon =
	    MHD_start_daemon(MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, handle, NULL, MHD_OPTION_END);
	FUZZ_CHECK(daemon != NULL, "MHD_start_daemon");
	FUZZ_CHECK(MHD_add_connection(
		       daemon, pair[0], (struct sockaddr *)&address, sizeof(address)) == MHD_YES,
	    "MHD_add_connection");
	FUZZ_CHECK(write(pair[1], head, sizeof(head) - 1) == (ssize_t)sizeof(head) - 1, "write");
	for (int i = 0; i < 100 && connection == NULL; i++)
		FUZZ_CHECK(MHD_run(daemon) == MHD_YES, "MHD_run");
	FUZZ_CHECK(connection != NULL, "libmicrohttpd did not take the head");
}

static enum MHD_Result iterate(void *cls, enum MHD_ValueKind kind, const char *name,
    const char *filename, const char *type, const char *encoding, const char *data, uint64_t offset,
    size_t size)
{
	struct reading *reading = cls;

	(void)kind;
	(void)type;
	(void)encoding;
	reading->part(reading->arg, name, filename, data, offset, size);
	return MHD_YES;
}

void oracle_read(const void *body, size_t length, size_t step, oracle_part_fn part, void *arg)
{
	struct reading reading = { part, arg };
	const char *bytes = body;

	if (connection == NULL)
		open_connection();
	struct MHD_PostProcessor *processor =
	    MHD_create_post_processor(connection, BUFFER_BYTES, iterate, &reading);
	FUZZ_CHECK(processor != NULL, "MHD_create_post_processor");
	for (size_t at = 0; at < length; at += step)
		(void)MHD_post_process(
		    processor, bytes + at, step < length - at ? step : length - at);
	(void)MHD_destroy_post_processor(processor); /* tells nothing that can be relied on */
}
