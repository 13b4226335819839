/*
 * Sends PUTs over kept-alive connections, as fast as they are answered, and prints one line:
 *     files seconds megabytes_per_second p99_ms
 * usage: put-load PORT PATH_PREFIX CONNECTIONS FILES SIZE
 * Each file has bytes of its own, so that nothing is saved by knowing them already, and is no
 * image, so that nothing is developed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 256
#define STRIDE 65536 /* a mark of its own in each piece */

static struct {
	int port;
	const char *prefix;
	long connections, files;
	size_t size;
	unsigned long run; /* of this process: names are not used twice */
	atomic_long next;
	double *took_ms;
} options;

static void fail(const char *what)
{
	(void)fprintf(stderr, "put-load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec time;
	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void send_all(int fd, const void *data, size_t length)
{
	const char *at = data;
	while (length > 0) {
		ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			fail("send");
		at += sent;
		length -= (size_t)sent;
	}
}

/* Reads one answer, its body too; it must be a 2xx. */
static void take_answer(int fd)
{
	char head[8192];
	size_t got = 0;
	char *end = NULL;
	while (end == NULL) {
		ssize_t count = recv(fd, head + got, sizeof(head) - 1 - got, 0);
		if (count <= 0)
			fail("the answer did not come");
		got += (size_t)count;
		head[got] = '\0';
		end = strstr(head, "\r\n\r\n");
	}
	if (strncmp(head, "HTTP/1.1 2", 10) != 0) {
		(void)fprintf(stderr, "put-load: %s\n", head);
		exit(1);
	}
	const char *field = strcasestr(head, "\r\nContent-Length:");
	size_t body = field != NULL && field < end ? strtoul(field + 17, NULL, 10) : 0;
	size_t have = got - (size_t)(end + 4 - head);
	while (have < body) {
		ssize_t count = recv(fd, head, sizeof(head), 0);
		if (count <= 0)
			fail("the answer broke off");
		have += (size_t)count;
	}
}

static int connect_server(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)options.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail("connect");
	return fd;
}

static void *run(void *arg)
{
	char head[512];
	char *data = arg;
	int fd = connect_server();
	for (long number; (number = atomic_fetch_add(&options.next, 1)) < options.files;) {
		for (size_t i = 16; i + 16 <= options.size; i += STRIDE)
			(void)snprintf(data + i, 16, "%lx.%lx", options.run & 0xffffff, number);
		int length = snprintf(head, sizeof(head),
		    "PUT %s%lx-%ld.bin HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
		    "application/octet-stream\r\n"
		    "Content-Length: %zu\r\n\r\n",
		    options.prefix, options.run, number, options.size);
		double begun = now();
		send_all(fd, head, (size_t)length);
		send_all(fd, data, options.size);
		take_answer(fd);
		options.took_ms[number] = (now() - begun) * 1000;
	}
	(void)close(fd);
	return NULL;
}

static int compare(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;
	return (a > b) - (a < b);
}

static char *make_data(unsigned seed)
{
	char *data = malloc(options.size + 32);
	if (data == NULL)
		fail("memory");
	for (size_t i = 0; i < options.size; i++) {
		seed = seed * 1664525u + 1013904223u;
		data[i] = (char)(seed >> 24);
	}
	return data;
}

int main(int argc, char **argv)
{
	pthread_t threads[MAX_CONNECTIONS];
	char *buffers[MAX_CONNECTIONS];
	if (argc != 6) {
		(void)fprintf(stderr, "usage: put-load PORT PREFIX CONNECTIONS FILES SIZE\n");
		return 2;
	}
	options.port = (int)strtol(argv[1], NULL, 10);
	options.prefix = argv[2];
	options.connections = strtol(argv[3], NULL, 10);
	options.files = strtol(argv[4], NULL, 10);
	options.size = strtoul(argv[5], NULL, 10);
	if (options.connections < 1 || options.connections > MAX_CONNECTIONS || options.files < 1)
		return 2;
	options.run = (unsigned long)time(NULL) * 1000 + (unsigned long)getpid();
	options.took_ms = calloc((size_t)options.files, sizeof(double));
	if (options.took_ms == NULL)
		fail("memory");
	for (long i = 0; i < options.connections; i++)
		buffers[i] = make_data((unsigned)(options.run + (unsigned long)i));
	double begun = now();
	for (long i = 0; i < options.connections; i++)
		if (pthread_create(&threads[i], NULL, run, buffers[i]) != 0)
			fail("thread");
	for (long i = 0; i < options.connections; i++)
		(void)pthread_join(threads[i], NULL);
	double took = now() - begun;
	qsort(options.took_ms, (size_t)options.files, sizeof(double), compare);
	(void)printf("%ld %.6f %.3f %.3f\n", options.files, took,
	    (double)options.files * (double)options.size / took / 1e6,
	    options.took_ms[(options.files * 99 - 1) / 100]);
	for (long i = 0; i < options.connections; i++)
		free(buffers[i]);
	free(options.took_ms);
	return 0;
}
