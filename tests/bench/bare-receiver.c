/*
 * What receiving costs at least, to measure a server against: one thread a connection, recv, hash,
 * write, answer; no HTTP but the length, no names but a counter, no duplicates, no database.
 *     bare-receiver stream DIR    SHA-256 and write(), nothing made durable
 *     bare-receiver batch DIR     the same, then commits in batches of at most 64: each file is
 *                                 fsynced and linked, the folder fsynced once, one record a file
 *                                 appended to a log that is fdatasynced once; then all are answered
 * Prints its port, ends with SIGTERM.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE (256 * 1024)
#define HEAD_MAX 8192
#define BATCH_MAX 64

struct file {
	int fd;
	long number;
	unsigned char digest[32];
	bool is_durable;
	struct file *next;
};

static bool batches;
static int folder, log_fd;
static atomic_long counter;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER, committed = PTHREAD_COND_INITIALIZER;
static struct file *waiting;

static void fail(const char *what)
{
	(void)fprintf(stderr, "bare-receiver: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void name_of(const struct file *file, const char *suffix, char name[64])
{
	(void)snprintf(name, 64, "%ld%s", file->number, suffix);
}

/* ---- the committer ---- */

static void commit(struct file *first)
{
	char from[64], to[64];
	for (struct file *file = first; file != NULL; file = file->next) {
		name_of(file, ".part", from);
		name_of(file, "", to);
		if (fsync(file->fd) < 0 || renameat(folder, from, folder, to) < 0)
			fail("commit");
	}
	if (fsync(folder) < 0)
		fail("fsync of the folder");
	for (struct file *file = first; file != NULL; file = file->next)
		if (write(log_fd, file->digest, sizeof(file->digest)) < 0)
			fail("log");
	if (fdatasync(log_fd) < 0)
		fail("fdatasync");
}

__attribute__((noreturn)) static void *run_committer(void *arg)
{
	(void)arg;
	(void)pthread_mutex_lock(&lock);
	for (;;) {
		while (waiting == NULL)
			(void)pthread_cond_wait(&arrived, &lock);
		struct file *batch = waiting, **last = &batch;
		for (int i = 0; i < BATCH_MAX && *last != NULL; i++)
			last = &(*last)->next;
		waiting = *last;
		*last = NULL;
		(void)pthread_mutex_unlock(&lock);
		commit(batch);
		(void)pthread_mutex_lock(&lock);
		for (struct file *file = batch; file != NULL; file = file->next)
			file->is_durable = true;
		(void)pthread_cond_broadcast(&committed);
	}
}

static void make_durable(struct file *file)
{
	(void)pthread_mutex_lock(&lock);
	file->next = waiting;
	waiting = file;
	(void)pthread_cond_signal(&arrived);
	while (!file->is_durable)
		(void)pthread_cond_wait(&committed, &lock);
	(void)pthread_mutex_unlock(&lock);
}

/* ---- a connection ---- */

static void take(struct file *file, EVP_MD_CTX *hash, const char *data, size_t length)
{
	if (EVP_DigestUpdate(hash, data, length) != 1)
		fail("hash");
	if (write(file->fd, data, length) != (ssize_t)length)
		fail("write");
}

/* Reads a head into `piece`; the bytes behind it stay there. 0 at the end. */
static size_t read_head(int fd, char *piece, size_t *ret_head, size_t *ret_length)
{
	size_t got = 0;
	for (;;) {
		ssize_t count = recv(fd, piece + got, PIECE - got, 0);
		if (count <= 0)
			return 0;
		got += (size_t)count;
		char *end = memmem(piece, got < HEAD_MAX ? got : HEAD_MAX, "\r\n\r\n", 4);
		if (end == NULL)
			continue;
		const char *field = memmem(piece, got, "Content-Length: ", 16);
		*ret_head = (size_t)(end + 4 - piece);
		*ret_length = field != NULL ? strtoul(field + 16, NULL, 10) : 0;
		return got;
	}
}

static void *serve(void *arg)
{
	static const char answer[] = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
	int fd = (int)(long)arg;
	char *piece = malloc(PIECE), name[64];
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	size_t got, head, length;
	if (piece == NULL || hash == NULL)
		fail("memory");
	while ((got = read_head(fd, piece, &head, &length)) > 0) {
		struct file file = { .number = atomic_fetch_add(&counter, 1) };
		name_of(&file, batches ? ".part" : "", name);
		file.fd = openat(folder, name, O_CREAT | O_WRONLY | O_EXCL, 0600);
		if (file.fd < 0 || EVP_DigestInit_ex(hash, EVP_sha256(), NULL) != 1)
			fail("open");
		take(&file, hash, piece + head, got - head);
		for (size_t left = length - (got - head); left > 0;) {
			ssize_t count = recv(fd, piece, left < PIECE ? left : PIECE, 0);
			if (count <= 0)
				fail("the body broke off");
			take(&file, hash, piece, (size_t)count);
			left -= (size_t)count;
		}
		if (EVP_DigestFinal_ex(hash, file.digest, NULL) != 1)
			fail("hash");
		if (batches)
			make_durable(&file);
		(void)close(file.fd);
		if (send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL) < 0)
			break;
	}
	EVP_MD_CTX_free(hash);
	free(piece);
	(void)close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	pthread_t thread;
	if (argc != 3 || (strcmp(argv[1], "stream") != 0 && strcmp(argv[1], "batch") != 0)) {
		(void)fprintf(stderr, "usage: bare-receiver stream|batch DIR\n");
		return 2;
	}
	batches = strcmp(argv[1], "batch") == 0;
	folder = open(argv[2], O_RDONLY | O_DIRECTORY);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	if (folder < 0 || listener < 0 ||
	    bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 128) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &size) < 0)
		fail("start");
	log_fd = openat(folder, "log", O_CREAT | O_WRONLY | O_APPEND, 0600);
	if (log_fd < 0 || (batches && pthread_create(&thread, NULL, run_committer, NULL) != 0))
		fail("start");
	(void)printf("%d\n", ntohs(address.sin_port));
	(void)fflush(stdout);
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		if (fd < 0 || pthread_create(&thread, NULL, serve, (void *)(long)fd) != 0)
			fail("accept");
		(void)pthread_detach(thread);
	}
}
