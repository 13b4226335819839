/* Bodies that are made while they are sent: how they end, and that they are freed once. */
#include "fixture.h"

#include "base/assert.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE 16000000 /* more than the sockets of both sides hold */
#define PRIME 251     /* so that no two neighbouring places of the engine's buffer look alike */

static struct rig rig;
static struct reply reply;

/* What the next stream does. */
static uint64_t fails_at; /* 0: never */
static size_t piece;	  /* at most so many bytes a call; 0: all that is asked for */
static atomic_int reads, freed;
static atomic_uint_fast64_t expected_offset;

static ssize_t read_bytes(void *arg, uint64_t offset, void *ret_data, size_t capacity)
{
	unsigned char *data = ret_data;
	uint64_t end = fails_at > 0 ? fails_at : SIZE;
	(void)arg;
	(void)atomic_fetch_add(&reads, 1);
	CT_ASSERT(offset == atomic_load(&expected_offset)); /* in order, nothing twice */
	if (offset >= end)
		return -EIO;
	size_t count = capacity < end - offset ? capacity : (size_t)(end - offset);
	if (piece > 0 && count > piece)
		count = piece;
	for (size_t i = 0; i < count; i++)
		data[i] = (unsigned char)((offset + i) % PRIME);
	atomic_store(&expected_offset, offset + count);
	return (ssize_t)count;
}

static void count_free(void *arg)
{
	CT_ASSERT(arg == &rig);
	(void)atomic_fetch_add(&freed, 1);
}

static enum ct_http_next on_stream(struct ct_http_request *request, void *context)
{
	struct ct_http_response *response = ct_http_response_new(200);
	(void)context;
	atomic_store(&expected_offset, 0);
	ct_http_response_header(response, "Content-Type", "application/octet-stream");
	ct_http_response_stream(response,
	    &(struct ct_http_stream){
		.size_bytes = SIZE, .read = read_bytes, .free = count_free, .arg = &rig });
	return ct_http_answer(request, response);
}

static const struct ct_http_handler handler = { .head = on_stream };

static void start(void)
{
	static const struct ct_http_route routes[] = { { CT_HTTP_GET, "/stream", 0, &handler,
	    NULL } };
	rig_start_with(&rig, &(struct ct_http_options){ 0 }, routes, 1);
}

static void stop(void)
{
	rig_stop(&rig);
}

TestSuite(stream, .init = start, .fini = stop, .timeout = 60);

/* The body's first bytes, up to the end of the connection or of the body; checks each. */
static size_t read_body(int fd)
{
	char *text = malloc(SIZE + 8192);
	cr_assert_not_null(text);
	size_t length = 0, head = 0;
	while (head == 0 || length < head + SIZE) {
		ssize_t count = read(fd, text + length, SIZE + 8191 - length);
		if (count <= 0)
			break;
		length += (size_t)count;
		text[length] = '\0';
		const char *end = head == 0 ? strstr(text, "\r\n\r\n") : NULL;
		if (end != NULL)
			head = (size_t)(end - text) + 4;
	}
	cr_assert_gt(head, 0);
	cr_assert_not_null(strstr(text, "\r\nContent-Length: 16000000\r\n"));
	for (size_t i = head; i < length; i++)
		cr_assert_eq((unsigned char)text[i], (i - head) % PRIME);
	free(text);
	return length - head;
}

static int get(void)
{
	int fd = client_open(&rig);
	client_say(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
	return fd;
}

Test(stream, whole_and_the_connection_lives_on)
{
	const size_t pieces[] = { 0, 1000, 65536, 131072 };
	int fd = client_open(&rig);
	for (int i = 0; i < 4; i++) {
		piece = pieces[i];
		client_say(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
		cr_assert_eq(read_body(fd), SIZE);
		cr_assert(wait_for(&freed, i + 1));
	}
	close(fd);
}

Test(stream, an_error_cuts_the_connection)
{
	const uint64_t places[] = { 1, 65536, SIZE - 1 };
	for (int i = 0; i < 3; i++) {
		fails_at = places[i];
		int fd = get();
		size_t length = read_body(fd);
		cr_assert_leq(length, places[i]);
		cr_assert(client_is_closed(fd, 2000));
		close(fd);
		cr_assert(wait_for(&freed, i + 1));
	}
}

Test(stream, a_client_that_leaves)
{
	int fd = get();
	char some[1000];
	cr_assert_gt(read(fd, some, sizeof(some)), 0);
	client_reset(fd);
	cr_assert(wait_for(&freed, 1));
	cr_assert_lt(atomic_load(&expected_offset), SIZE);
}

Test(stream, a_head_reads_nothing)
{
	int fd = client_open(&rig);
	client_say(fd, "HEAD /stream HTTP/1.1\r\nHost: h\r\n\r\n");
	cr_assert(client_read(fd, true, &reply));
	cr_assert_eq(reply.status, 200);
	cr_assert_str_eq(reply_header(&reply, "Content-Length"), "16000000");
	cr_assert(wait_for(&freed, 1));
	cr_assert_eq(reads, 0);
	client_say(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
	cr_assert_eq(read_body(fd), SIZE); /* nothing of the HEAD's body came before it */
	close(fd);
}

/* Many bytes wait in the server: it ends all the same, and nothing is left over. */
Test(stream, the_server_stops_in_the_middle)
{
	int fd = get();
	char some[1000];
	cr_assert_gt(read(fd, some, sizeof(some)), 0);
	rig_stop(&rig);
	cr_assert_eq(freed, 1);
	close(fd);
	start();
}

Test(stream, without_a_response_it_is_freed)
{
	const struct ct_http_stream stream = {
		.size_bytes = SIZE, .read = read_bytes, .free = count_free, .arg = &rig
	};
	ct_http_response_stream(NULL, &stream);
	cr_assert_eq(freed, 1);
	struct ct_http_response *response = ct_http_response_new(200);
	ct_http_response_stream(response, &stream);
	ct_http_response_free(response);
	cr_assert_eq(freed, 2);
}
