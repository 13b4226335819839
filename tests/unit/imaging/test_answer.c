/* A worker that an image has taken over: each lie is noticed. */
#include "imaging/pool_priv.h"
#include "calotype/error.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PRINT_BYTES 16

struct answer {
	struct ct_worker_request request;
	struct ct_worker_reply reply;
	int fds[CT_PLAN_MAX_PRINTS];
};

static int make_print(const char *bytes)
{
	int fd = memfd_create("print", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, bytes, PRINT_BYTES), PRINT_BYTES);
	return fd;
}

/* An honest one: 1000x500, prints of 320 and 640. */
static struct answer honest(void)
{
	struct answer answer = {
		.request = { .width_count = 2,
		    .widths = { 320, 640 },
		    .max_pixels = 1000000,
		    .max_all_pixels = 5000000,
		    .max_print_bytes = 1000,
		    .type = "image/png" },
		.reply = { .width = 1000,
		    .height = 500,
		    .frames = 1,
		    .orientation = 1,
		    .print_count = 2,
		    .prints = { { 320, 160, PRINT_BYTES }, { 640, 320, PRINT_BYTES } },
		    .blurhash = "L00000fQfQfQfQfQfQfQfQfQfQfQ" },
	};
	for (int i = 0; i < 2; i++)
		answer.fds[i] = make_print("RIFF\x08\0\0\0WEBPVP8 ");
	return answer;
}

static int accept_answer(struct answer *answer, struct ct_developed *ret_developed)
{
	struct ct_imaging_failure failure = { 0 };
	int r = ct_answer_accept(
	    &answer->request, &answer->reply, answer->fds, ret_developed, &failure);
	cr_assert(r == 0 || failure.message[0] != '\0');
	for (int i = 0; i < 2; i++) {
		if (answer->fds[i] >= 0)
			cr_assert_eq(close(answer->fds[i]), 0);
	}
	return r;
}

static void assert_refused(struct answer answer, const char *why)
{
	struct ct_developed developed;
	cr_assert_eq(accept_answer(&answer, &developed), CT_ERROR_PEER_PROTOCOL, "%s", why);
}

Test(answer, honest_one)
{
	struct answer answer = honest();
	struct ct_developed developed;
	cr_assert_eq(accept_answer(&answer, &developed), 0);
	cr_assert_eq(developed.print_count, 2);
	cr_assert_eq(answer.fds[0], -1);
	cr_assert_eq(developed.prints[1].width, 640);
	cr_assert_eq(developed.prints[1].size_bytes, PRINT_BYTES);
	cr_assert_str_eq(developed.type, "image/png");
	cr_assert_str_eq(developed.exif, "{}");
	cr_assert_neq(fcntl(developed.prints[0].fd, F_GET_SEALS) & F_SEAL_WRITE, 0);
	ct_developed_done(&developed);
}

#define REFUSED(change)                          \
	do {                                     \
		struct answer answer = honest(); \
		change;                          \
		assert_refused(answer, #change); \
	} while (0)

Test(answer, numbers_that_lie)
{
	REFUSED(answer.reply.width = 0);
	REFUSED(answer.reply.height = -5);
	REFUSED(answer.reply.height = 2000); /* more pixels than are allowed */
	REFUSED(answer.reply.width = INT32_MAX);
	REFUSED(answer.reply.frames = 0);
	REFUSED(answer.reply.orientation = 9);
	REFUSED(answer.reply.print_count = 0);
	REFUSED(answer.reply.print_count = 3);
	REFUSED(answer.reply.print_count = UINT32_MAX);
	REFUSED(answer.reply.prints[0].width = 321);
	REFUSED(answer.reply.prints[1].height = 1);
	REFUSED(answer.reply.prints[0].size_bytes = 0);
	REFUSED(answer.reply.prints[0].size_bytes = PRINT_BYTES + 1);
	REFUSED(answer.reply.prints[0].size_bytes = UINT64_MAX);
	REFUSED(answer.reply.status = 1);
	REFUSED(answer.reply.status = CT_ERROR_UNAUTHORIZED);
}

Test(answer, texts_that_lie)
{
	REFUSED(memset(answer.reply.blurhash, 'x', sizeof(answer.reply.blurhash)));
	REFUSED(answer.reply.blurhash[3] = '\x1b');
	REFUSED(memset(answer.reply.exif.make, 'x', sizeof(answer.reply.exif.make)));
	REFUSED(answer.reply.exif.lens[0] = '\n');
	REFUSED(memset(answer.reply.exif.taken_at, '0', sizeof(answer.reply.exif.taken_at)));
	REFUSED(memset(answer.reply.exif.utc_offset, '0', sizeof(answer.reply.exif.utc_offset)));
}

Test(answer, print_that_is_no_webp)
{
	struct answer answer = honest();
	cr_assert_eq(close(answer.fds[1]), 0);
	answer.fds[1] = make_print("<script>alert(1)");
	assert_refused(answer, "script");
}

/* Whoever still maps it could change the print after it was looked at. */
Test(answer, print_that_is_still_mapped)
{
	struct answer answer = honest();
	void *map = mmap(NULL, PRINT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, answer.fds[0], 0);
	cr_assert_neq(map, MAP_FAILED);
	assert_refused(answer, "mapped");
	cr_assert_eq(munmap(map, PRINT_BYTES), 0);
}

/* Found by EIO at each system call of a job: it was held against the worker, and the job failed. */
Test(answer, print_that_cannot_be_read_is_no_fault_of_the_worker)
{
	struct answer answer = honest();
	struct ct_developed developed;
	char path[32];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", answer.fds[1]);
	int write_only = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert_geq(write_only, 0);
	cr_assert_eq(close(answer.fds[1]), 0);
	answer.fds[1] = write_only;
	cr_assert_eq(accept_answer(&answer, &developed), -EBADF);
}

Test(answer, reasons_are_passed_on_when_they_are_text)
{
	struct answer answer = honest();
	struct ct_developed developed;
	struct ct_imaging_failure failure = { 0 };
	answer.reply.status = CT_ERROR_UNDECODABLE_IMAGE;
	(void)snprintf(answer.reply.message, sizeof(answer.reply.message), "cut off");
	cr_assert_eq(
	    ct_answer_accept(&answer.request, &answer.reply, answer.fds, &developed, &failure),
	    CT_ERROR_UNDECODABLE_IMAGE);
	cr_assert_str_eq(failure.message, "cut off");
	memset(answer.reply.message, 'x', sizeof(answer.reply.message));
	cr_assert_eq(
	    ct_answer_accept(&answer.request, &answer.reply, answer.fds, &developed, &failure),
	    CT_ERROR_UNDECODABLE_IMAGE);
	cr_assert_null(strchr(failure.message, 'x'));
	(void)accept_answer(&answer, &developed); /* closes */
}

static void assert_exif(struct ct_worker_exif exif, const char *expected)
{
	struct answer answer = honest();
	struct ct_developed developed;
	answer.reply.exif = exif;
	cr_assert_eq(accept_answer(&answer, &developed), 0);
	cr_assert_str_eq(developed.exif, expected);
	ct_developed_done(&developed);
}

Test(answer, times)
{
	assert_exif((struct ct_worker_exif){ .taken_at = "2024:05:06 07:08:09" },
	    "{\"taken_at\":\"2024-05-06T07:08:09\"}");
	assert_exif(
	    (struct ct_worker_exif){ .taken_at = "2024:01:01 00:30:00", .utc_offset = "+02:00" },
	    "{\"taken_at\":\"2023-12-31T22:30:00.000Z\"}");
	assert_exif(
	    (struct ct_worker_exif){ .taken_at = "2024:01:01 00:30:00", .utc_offset = "-09:30" },
	    "{\"taken_at\":\"2024-01-01T10:00:00.000Z\"}");
	assert_exif((struct ct_worker_exif){ .taken_at = "2024:13:01 00:30:00" }, "{}");
	assert_exif((struct ct_worker_exif){ .taken_at = "0000:00:00 00:00:00" }, "{}");
	assert_exif((struct ct_worker_exif){ .taken_at = "yesterday" }, "{}");
	assert_exif(
	    (struct ct_worker_exif){ .taken_at = "2024:01:01 00:30:00", .utc_offset = "+99:00" },
	    "{\"taken_at\":\"2024-01-01T00:30:00\"}");
}

Test(answer, fractions)
{
	assert_exif((struct ct_worker_exif){ .exposure_time = { 10, 2500 } },
	    "{\"exposure_time_s\":\"1/250\"}");
	assert_exif(
	    (struct ct_worker_exif){ .exposure_time = { 4, 2 } }, "{\"exposure_time_s\":\"2\"}");
	assert_exif((struct ct_worker_exif){ .exposure_time = { 16667, 1000000 } },
	    "{\"exposure_time_s\":\"1/60\"}");
	assert_exif((struct ct_worker_exif){ .exposure_time = { 1, 0 } }, "{}");
	assert_exif((struct ct_worker_exif){ .f_number = { 28, 10 } }, "{\"f_number\":\"2.8\"}");
	assert_exif((struct ct_worker_exif){ .f_number = { 8, 1 } }, "{\"f_number\":\"8\"}");
	assert_exif(
	    (struct ct_worker_exif){ .focal_length = { 100, 1 } }, "{\"focal_length_mm\":\"100\"}");
	assert_exif((struct ct_worker_exif){ .focal_length = { UINT32_MAX, 1 } },
	    "{\"focal_length_mm\":\"4294967295\"}");
	assert_exif((struct ct_worker_exif){ .iso = 100 }, "{\"iso\":100}");
	assert_exif((struct ct_worker_exif){ .make = "A \"quoted\" one" },
	    "{\"make\":\"A \\\"quoted\\\" one\"}");
}
