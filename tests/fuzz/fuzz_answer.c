/*
 * What the image worker says when it is in the hands of an image. The input lies over an honest
 * answer, byte by byte (exclusive or), and over the head of its one print. Whatever is taken keeps
 * within what was asked for, and its texts can be shown.
 */
#include "fuzz.h"

#include "base/json.h"
#include "calotype/error.h"
#include "imaging/pool_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PRINT_BYTES 16

static const struct ct_worker_request request = {
	.width_count = 2,
	.widths = { 320, 640 },
	.max_pixels = 1000000,
	.max_print_bytes = 1000,
	.type = "image/png",
};

static const struct ct_worker_reply honest = {
	.version = CT_WORKER_PROTOCOL_VERSION,
	.width = 1000,
	.height = 500,
	.frames = 1,
	.orientation = 1,
	.print_count = 2,
	.prints = { { 320, 160, PRINT_BYTES }, { 640, 320, PRINT_BYTES } },
	.blurhash = "L00000fQfQfQfQfQfQfQfQfQfQfQ",
	.exif = { .make = "Make",
	    .taken_at = "2024:05:06 07:08:09",
	    .utc_offset = "+02:00",
	    .exposure_time = { 1, 250 },
	    .f_number = { 28, 10 },
	    .focal_length = { 425, 100 },
	    .iso = 100 },
};

static void lay_over(struct fuzz_input *input, void *object, size_t length)
{
	uint8_t *bytes = object;

	/* Places, then what lies there: so that each byte is near. */
	for (int i = 0; i < 64 && input->length >= 3; i++) {
		size_t at = (size_t)(fuzz_byte(input) << 8);
		at = (at | fuzz_byte(input)) % length;
		bytes[at] ^= fuzz_byte(input);
	}
}

static int make_print(const uint8_t bytes[PRINT_BYTES])
{
	int fd = memfd_create("print", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	FUZZ_CHECK(fd >= 0 && write(fd, bytes, PRINT_BYTES) == PRINT_BYTES, "memfd");
	return fd;
}

static bool is_printable(const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text < ' ' || *text > '~')
			return false;
	}
	return true;
}

static void check_exif(const char *text)
{
	static const char *const keys[] = { "make", "model", "lens", "taken_at", "exposure_time_s",
		"f_number", "focal_length_mm" };
	struct ct_json *exif = NULL;

	FUZZ_CHECK(ct_json_parse(ct_slice_from_string(text), &exif) == 0, "%s", text);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *value = ct_json_get_text(exif, keys[i]);
		FUZZ_CHECK(value == NULL ||
			       (value[0] != '\0' && strlen(value) < 64 && is_printable(value)),
		    "%s", text);
	}
	const char *taken_at = ct_json_get_text(exif, "taken_at");
	if (taken_at != NULL)
		FUZZ_CHECK(
		    strlen(taken_at) == 19 || (strlen(taken_at) == 24 && taken_at[23] == 'Z'), "%s",
		    taken_at);
	ct_json_free(exif);
}

static void check_taken(const struct ct_developed *developed)
{
	FUZZ_CHECK(developed->width > 0 && developed->height > 0, "a size");
	FUZZ_CHECK((uint64_t)developed->width * (uint64_t)developed->height <= request.max_pixels,
	    "%d x %d", developed->width, developed->height);
	FUZZ_CHECK(developed->orientation >= 1 && developed->orientation <= 8, "orientation");
	FUZZ_CHECK(developed->frames >= 1, "frames");
	FUZZ_CHECK(memchr(developed->blurhash, '\0', sizeof(developed->blurhash)) != NULL &&
		       is_printable(developed->blurhash),
	    "blurhash");
	FUZZ_CHECK(developed->print_count <= 2, "%zu prints", developed->print_count);
	for (size_t i = 0; i < developed->print_count; i++) {
		const struct ct_developed_print *print = &developed->prints[i];
		FUZZ_CHECK(print->fd >= 0 && print->size_bytes == PRINT_BYTES, "print %zu", i);
		FUZZ_CHECK(print->width > 0 && print->width <= developed->width, "print %zu", i);
	}
	check_exif(developed->exif);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	struct ct_worker_reply reply = honest;
	uint8_t head[PRINT_BYTES] = "RIFF\x08\0\0\0WEBPVP8 ";
	struct ct_imaging_failure failure = { 0 };
	struct ct_developed developed;
	int fds[CT_PLAN_MAX_PRINTS];

	if (fuzz_byte(&input) % 8 == 7)
		lay_over(&input, head, sizeof(head));
	lay_over(&input, &reply, sizeof(reply));
	for (size_t i = 0; i < CT_PLAN_MAX_PRINTS; i++)
		fds[i] = i < request.width_count ? make_print(head) : -1;
	int r = ct_answer_accept(&request, &reply, fds, &developed, &failure);
	if (r == 0) {
		check_taken(&developed);
		ct_developed_done(&developed);
	} else {
		FUZZ_CHECK(
		    r == -ENOMEM || (failure.message[0] != '\0' && is_printable(failure.message)),
		    "%d", r);
	}
	for (size_t i = 0; i < CT_PLAN_MAX_PRINTS; i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
	}
	return 0;
}
