#include "support.h"
#include "base/clock.h"
#include "base/file.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <webp/decode.h>

static const char *variable(const char *name)
{
	const char *value = getenv(name);
	cr_assert_not_null(value, "%s is not set: run by meson test", name);
	return value;
}

struct ct_imaging_pool *pool_of(struct ct_imaging_options options)
{
	struct ct_imaging_pool *pool = NULL;
	if (options.worker_path == NULL)
		options.worker_path = variable("CALOTYPE_TEST_WORKER");
	cr_assert_eq(ct_imaging_pool_new(&options, &pool), 0);
	return pool;
}

int open_picture(const char *name)
{
	char path[4096];
	cr_assert_eq(ct_path_join(variable("CALOTYPE_TEST_PICTURES"), name, path, sizeof(path)), 0);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0, "%s", path);
	return fd;
}

int develop_failing(struct ct_imaging_pool *pool, const char *name, const char *type,
    struct ct_developed *ret_developed, struct ct_imaging_failure *ret_failure)
{
	int fd = open_picture(name);
	int r = ct_imaging_pool_develop(
	    pool, fd, type, ct_plan_widths, ct_plan_width_count, NULL, ret_developed, ret_failure);
	cr_assert_eq(close(fd), 0);
	return r;
}

int develop(struct ct_imaging_pool *pool, const char *name, const char *type,
    struct ct_developed *ret_developed, char ret_message[CT_IMAGING_MESSAGE_BYTES])
{
	struct ct_imaging_failure failure;
	int r = develop_failing(pool, name, type, ret_developed, &failure);
	memcpy(ret_message, failure.message, sizeof(failure.message));
	return r;
}

uint8_t *read_print(const struct ct_developed_print *print)
{
	uint8_t *bytes = malloc(print->size_bytes);
	cr_assert_not_null(bytes);
	cr_assert_eq(ct_file_pread_all(print->fd, bytes, print->size_bytes, 0), 0);
	return bytes;
}

struct colour print_colour(const struct ct_developed_print *print, int percent_x, int percent_y)
{
	int width = 0;
	int height = 0;
	uint8_t *bytes = read_print(print);
	uint8_t *pixels = WebPDecodeRGBA(bytes, print->size_bytes, &width, &height);
	cr_assert_not_null(pixels);
	cr_assert_eq(width, print->width);
	cr_assert_eq(height, print->height);
	size_t x = (size_t)((width - 1) * percent_x / 100);
	size_t y = (size_t)((height - 1) * percent_y / 100);
	const uint8_t *at = pixels + 4 * (y * (size_t)width + x);
	struct colour colour = { at[0], at[1], at[2], at[3] };
	WebPFree(pixels);
	free(bytes);
	return colour;
}

int64_t now_ms(void)
{
	return ct_clock_monotonic_ms();
}
