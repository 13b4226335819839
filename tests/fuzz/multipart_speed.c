/*
 * Not a test: prints how fast a form's data go through our parser, through libmicrohttpd's and
 * through memcpy, in pieces as the engine gives them. CPU time; best of five.
 */
#include "fuzz.h"
#include "mhd_oracle.h"

#include "uploads/multipart.h"

#include <string.h>
#include <time.h>

#define DATA_BYTES ((size_t)64 << 20)
#define PIECE_BYTES ((size_t)120 << 10)
#define ROUNDS 5

/* Clients' boundaries have some 40 characters; libmicrohttpd's has 6 here (mhd_oracle.h). */
#define BROWSER_BOUNDARY "----WebKitFormBoundary7MA4YWxkTrZu0gW"

static size_t seen;

static void count(void *arg, const char *name, const char *filename, const char *data,
    size_t offset, size_t length)
{
	(void)arg;
	(void)name;
	(void)filename;
	(void)data;
	(void)offset;
	seen += length;
}

static void run_oracle(const char *boundary, struct ct_slice body)
{
	(void)boundary;
	oracle_read(body.data, body.length, PIECE_BYTES, count, NULL);
}

static void run_parser(const char *boundary, struct ct_slice body)
{
	struct ct_multipart *multipart;
	struct ct_multipart_event event;

	FUZZ_CHECK(ct_multipart_new(boundary, &multipart) == 0, "no memory");
	for (size_t at = 0; at < body.length; at += PIECE_BYTES) {
		size_t piece = body.length - at < PIECE_BYTES ? body.length - at : PIECE_BYTES;
		struct ct_slice bytes = { body.data + at, piece };
		do {
			FUZZ_CHECK(ct_multipart_next(multipart, &bytes, &event) == 0, "an error");
			if (event.kind == CT_MULTIPART_DATA)
				seen += event.data.length;
		} while (event.kind != CT_MULTIPART_MORE);
	}
	FUZZ_CHECK(ct_multipart_finish(multipart) == 0, "not ended");
	ct_multipart_free(multipart);
}

static void run_copy(const char *boundary, struct ct_slice body)
{
	static char piece[PIECE_BYTES];

	(void)boundary;
	for (size_t at = 0; at + PIECE_BYTES <= body.length; at += PIECE_BYTES) {
		memcpy(piece, body.data + at, PIECE_BYTES);
		__asm__ volatile("" : : "r"(piece) : "memory");
	}
	seen = DATA_BYTES;
}

static double cpu_seconds(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void measure(const char *what, void (*run)(const char *boundary, struct ct_slice body),
    const char *boundary, const char *data)
{
	static char body[DATA_BYTES + 1024];
	double best = 1e9;

	int head = snprintf(body, 512,
	    "--%s\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\n", boundary);
	memcpy(body + head, data, DATA_BYTES);
	int tail = snprintf(body + head + DATA_BYTES, 512, "\r\n--%s--\r\n", boundary);
	struct ct_slice all = { body, (size_t)head + DATA_BYTES + (size_t)tail };
	for (int i = 0; i < ROUNDS; i++) {
		seen = 0;
		double begun = cpu_seconds();
		run(boundary, all);
		double took = cpu_seconds() - begun;
		FUZZ_CHECK(seen == DATA_BYTES, "%s: %zu bytes", what, seen);
		best = took < best ? took : best;
	}
	(void)printf("  %-24s %8.0f MB/s\n", what, (double)DATA_BYTES / best / 1e6);
}

static void measure_all(const char *what, const char *data)
{
	(void)printf("%s\n", what);
	measure("memcpy", run_copy, ORACLE_BOUNDARY, data);
	measure("ours, browser's boundary", run_parser, BROWSER_BOUNDARY, data);
	measure("ours, short boundary", run_parser, ORACLE_BOUNDARY, data);
	measure("libmicrohttpd", run_oracle, ORACLE_BOUNDARY, data);
}

int main(void)
{
	static char data[DATA_BYTES];
	uint32_t state = 1;

	for (size_t i = 0; i < DATA_BYTES; i++)
		data[i] = (char)(fuzz_random(&state) >> 16);
	measure_all("random bytes, as of a photo", data);
	memset(data, '-', DATA_BYTES);
	measure_all("dashes only", data);
	for (size_t i = 0; i < DATA_BYTES; i++)
		data[i] = "\r\n--AaB03"[i % 9];
	measure_all("delimiters without their last byte", data);
	for (size_t i = 0; i < DATA_BYTES; i++)
		data[i] = "\r\n"[i % 2];
	measure_all("empty lines", data);
	return 0;
}
