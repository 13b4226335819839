/* What becomes of each kind of picture, by the real worker. */
#include "support.h"
#include "calotype/error.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANY_MORE UINT64_MAX /* than the limit: it depends on the encoder */

struct expectation {
	const char *name;
	const char *type;
	int width;
	int height;
	int frames;
	size_t prints;
};

static void assert_developed(
    const struct expectation *expected, const struct ct_developed *developed)
{
	const char *name = expected->name;
	struct ct_plan plan;
	cr_assert_eq(developed->width, expected->width, "%s: width %d", name, developed->width);
	cr_assert_eq(developed->height, expected->height, "%s: %d", name, developed->height);
	cr_assert_eq(developed->frames, expected->frames, "%s: %d frames", name, developed->frames);
	cr_assert_str_eq(developed->type, expected->type);
	cr_assert_eq(strlen(developed->blurhash), 28, "%s: %s", name, developed->blurhash);
	cr_assert_eq(developed->print_count, expected->prints, "%s", name);
	cr_assert_eq(ct_plan_prints(developed->width, developed->height, ct_plan_widths,
			 ct_plan_width_count, &plan),
	    0);
	cr_assert_eq(plan.count, developed->print_count);
	for (size_t i = 0; i < plan.count; i++) {
		cr_assert_eq(developed->prints[i].width, plan.prints[i].width);
		cr_assert_eq(developed->prints[i].height, plan.prints[i].height);
		cr_assert_str_eq(developed->prints[i].type, "image/webp");
		(void)print_colour(&developed->prints[i], 50, 50); /* decodes at its size */
	}
}

Test(develop, every_format)
{
	static const struct expectation pictures[] = {
		{ "photo.jpg", "image/jpeg", 3000, 4000, 1, 3 },
		{ "progressive.jpg", "image/jpeg", 3000, 4000, 1, 3 },
		{ "small.jpg", "image/jpeg", 800, 600, 1, 3 },
		{ "small.png", "image/png", 800, 600, 1, 3 },
		{ "small.webp", "image/webp", 800, 600, 1, 3 },
		{ "small.gif", "image/gif", 800, 600, 1, 3 },
		{ "tiny.png", "image/png", 1, 1, 1, 1 },
		{ "tiny.jpg", "image/jpeg", 100, 100, 1, 1 },
		{ "tall.png", "image/png", 40, 20000, 1, 1 },
		{ "grey.png", "image/png", 800, 600, 1, 3 },
		{ "grey.jpg", "image/jpeg", 800, 600, 1, 3 },
		{ "deep.png", "image/png", 800, 600, 1, 3 },
		{ "cmyk.jpg", "image/jpeg", 800, 600, 1, 3 },
		{ "alpha.png", "image/png", 800, 600, 1, 3 },
		{ "alpha.webp", "image/webp", 800, 600, 1, 3 },
		{ "animated.gif", "image/gif", 200, 150, 5, 1 },
		{ "animated.webp", "image/webp", 200, 150, 5, 1 },
		{ "small.heic", "image/heic", 800, 600, 1, 3 },
		{ "small.heic", "image/heif", 800, 600, 1, 3 },
		{ "small.avif", "image/avif", 800, 600, 1, 3 },
		{ "small.tif", "image/tiff", 800, 600, 1, 3 },
		{ "pages.tif", "image/tiff", 200, 150, 3, 1 },
		{ "interlaced.png", "image/png", 1000, 1000, 1, 3 },
		{ "many.gif", "image/gif", 400, 300, 20, 2 },
	};
	struct ct_imaging_pool *pool = pool_of((struct ct_imaging_options){ .max_workers = 1 });
	for (size_t i = 0; i < sizeof(pictures) / sizeof(pictures[0]); i++) {
		struct ct_developed developed;
		char message[CT_IMAGING_MESSAGE_BYTES];
		int r = develop(pool, pictures[i].name, pictures[i].type, &developed, message);
		cr_assert_eq(r, 0, "%s: %s: %s", pictures[i].name, ct_error_name(r), message);
		assert_developed(&pictures[i], &developed);
		ct_developed_done(&developed);
	}
	ct_imaging_pool_free(pool);
}

static bool is_near(struct colour colour, int r, int g, int b)
{
	return abs(colour.r - r) < 40 && abs(colour.g - g) < 40 && abs(colour.b - b) < 40;
}

Test(develop, all_orientations_come_out_upright)
{
	struct ct_imaging_pool *pool = pool_of((struct ct_imaging_options){ .max_workers = 1 });
	for (int orientation = 1; orientation <= 8; orientation++) {
		struct ct_developed developed;
		char message[CT_IMAGING_MESSAGE_BYTES];
		char name[32];
		(void)snprintf(name, sizeof(name), "orientation-%d.jpg", orientation);
		cr_assert_eq(develop(pool, name, "image/jpeg", &developed, message), 0);
		cr_assert_eq(developed.orientation, orientation);
		cr_assert_eq(developed.width, 400);
		cr_assert_eq(developed.height, 300);
		cr_assert_eq(developed.print_count, 2);
		for (size_t i = 0; i < developed.print_count; i++) {
			const struct ct_developed_print *print = &developed.prints[i];
			cr_assert(is_near(print_colour(print, 5, 5), 230, 20, 20), "%s", name);
			cr_assert(is_near(print_colour(print, 95, 5), 20, 230, 20), "%s", name);
			cr_assert(is_near(print_colour(print, 5, 95), 20, 20, 230), "%s", name);
			cr_assert(is_near(print_colour(print, 95, 95), 250, 250, 250), "%s", name);
		}
		ct_developed_done(&developed);
	}
	ct_imaging_pool_free(pool);
}

Test(develop, transparency_is_kept)
{
	struct ct_imaging_pool *pool = pool_of((struct ct_imaging_options){ .max_workers = 1 });
	struct ct_developed developed;
	char message[CT_IMAGING_MESSAGE_BYTES];
	cr_assert_eq(develop(pool, "alpha.png", "image/png", &developed, message), 0);
	for (size_t i = 0; i < developed.print_count; i++) {
		cr_assert_lt(print_colour(&developed.prints[i], 2, 50).a, 20);
		cr_assert_gt(print_colour(&developed.prints[i], 98, 50).a, 235);
	}
	ct_developed_done(&developed);
	ct_imaging_pool_free(pool);
}

Test(develop, photograph_is_described_without_secrets)
{
	struct ct_imaging_pool *pool = pool_of((struct ct_imaging_options){ .max_workers = 1 });
	struct ct_developed developed;
	char message[CT_IMAGING_MESSAGE_BYTES];
	cr_assert_eq(develop(pool, "photo.jpg", "image/jpeg", &developed, message), 0);
	cr_assert(developed.has_gps);
	cr_assert_str_eq(developed.exif,
	    "{\"make\":\"Calotype Works\",\"model\":\"Talbot 1841\","
	    "\"lens\":\"Calotype 4.25mm f/2.8\",\"taken_at\":\"2024-05-06T05:08:09.000Z\","
	    "\"exposure_time_s\":\"1/250\",\"f_number\":\"2.8\",\"iso\":200,"
	    "\"focal_length_mm\":\"4.25\"}");
	ct_developed_done(&developed);
	cr_assert_eq(develop(pool, "small.webp", "image/webp", &developed, message), 0);
	cr_assert(developed.has_gps);
	ct_developed_done(&developed);
	cr_assert_eq(develop(pool, "animated.gif", "image/gif", &developed, message), 0);
	cr_assert_not(developed.has_gps);
	cr_assert_str_eq(developed.exif, "{}");
	ct_developed_done(&developed);
	cr_assert_eq(develop(pool, "small.heic", "image/heic", &developed, message), 0);
	cr_assert(developed.has_gps);
	cr_assert_not_null(strstr(developed.exif, "Talbot 1841"), "%s", developed.exif);
	ct_developed_done(&developed);
	ct_imaging_pool_free(pool);
}

static void assert_bare(const char *name, const struct ct_developed_print *print)
{
	static const char *const traces[] = { "EXIF", "Exif", "XMP ", "ICCP", "Calotype", "Talbot",
		"SECRET", "Jane" };
	uint8_t *bytes = read_print(print);
	for (size_t i = 0; i < sizeof(traces) / sizeof(traces[0]); i++) {
		cr_assert_null(memmem(bytes, print->size_bytes, traces[i], strlen(traces[i])),
		    "%s has %s", name, traces[i]);
	}
	free(bytes);
}

Test(develop, prints_carry_no_metadata)
{
	static const char *const pictures[][2] = { { "photo.jpg", "image/jpeg" },
		{ "small.jpg", "image/jpeg" }, { "small.png", "image/png" },
		{ "small.webp", "image/webp" }, { "small.heic", "image/heic" },
		{ "small.avif", "image/avif" }, { "small.tif", "image/tiff" } };
	struct ct_imaging_pool *pool = pool_of((struct ct_imaging_options){ .max_workers = 1 });
	for (size_t i = 0; i < sizeof(pictures) / sizeof(pictures[0]); i++) {
		struct ct_developed developed;
		char message[CT_IMAGING_MESSAGE_BYTES];
		cr_assert_eq(develop(pool, pictures[i][0], pictures[i][1], &developed, message), 0);
		for (size_t k = 0; k < developed.print_count; k++)
			assert_bare(pictures[i][0], &developed.prints[k]);
		ct_developed_done(&developed);
	}
	ct_imaging_pool_free(pool);
}

struct refusal {
	const char *name;
	const char *type;
	int error;
	const char *message; /* part of it */
};

Test(develop, refusals)
{
	static const struct refusal refusals[] = {
		{ "truncated.jpg", "image/jpeg", CT_ERROR_UNDECODABLE_IMAGE, "Premature end" },
		{ "truncated.png", "image/png", CT_ERROR_UNDECODABLE_IMAGE, "" },
		{ "truncated.webp", "image/webp", CT_ERROR_UNDECODABLE_IMAGE, "" },
		{ "truncated.gif", "image/gif", CT_ERROR_UNDECODABLE_IMAGE, "" },
		{ "text.jpg", "image/jpeg", CT_ERROR_UNDECODABLE_IMAGE, "not in a known format" },
		{ "empty.jpg", "image/jpeg", CT_ERROR_UNDECODABLE_IMAGE, "empty" },
		{ "small.png", "image/jpeg", CT_ERROR_TYPE_MISMATCH, "image/png" },
		{ "small.jpg", "image/tiff", CT_ERROR_TYPE_MISMATCH, "image/jpeg" },
		{ "small.avif", "image/heic", CT_ERROR_TYPE_MISMATCH, "image/avif" },
		{ "small.heic", "image/avif", CT_ERROR_TYPE_MISMATCH, "image/heic" },
		{ "small.heic", "image/jpeg", CT_ERROR_TYPE_MISMATCH, "image/heif" },
		{ "small.tif", "image/jpeg", CT_ERROR_TYPE_MISMATCH, "image/tiff" },
		{ "bomb.png", "image/png", CT_ERROR_TOO_MANY_PIXELS, "2500000000" },
		{ "60mp.png", "image/png", CT_ERROR_TOO_MANY_PIXELS, "50000000" },
	};
	struct ct_imaging_pool *pool = pool_of((struct ct_imaging_options){ .max_workers = 1 });
	struct ct_developed developed;
	char message[CT_IMAGING_MESSAGE_BYTES];
	cr_assert_eq(develop(pool, "tiny.png", "image/png", &developed, message), 0);
	ct_developed_done(&developed);
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		const struct refusal *refusal = &refusals[i];
		int64_t start = now_ms();
		int r = develop(pool, refusal->name, refusal->type, &developed, message);
		cr_assert_eq(
		    r, refusal->error, "%s: %s: %s", refusal->name, ct_error_name(r), message);
		cr_assert_not_null(
		    strstr(message, refusal->message), "%s: %s", refusal->name, message);
		cr_assert_neq(message[0], '\0');
		cr_assert_null(strchr(message, '\n'));
		if (r == CT_ERROR_TOO_MANY_PIXELS)
			cr_assert_lt(now_ms() - start, 200, "%s was decoded", refusal->name);
	}
	cr_assert_eq(ct_imaging_pool_workers(pool), 1, "a refusal costs no worker");
	ct_imaging_pool_free(pool);
}

Test(develop, limit_of_pixels_is_inclusive)
{
	struct ct_imaging_pool *pool =
	    pool_of((struct ct_imaging_options){ .max_workers = 1, .max_pixels = 800 * 600 });
	struct ct_imaging_pool *smaller =
	    pool_of((struct ct_imaging_options){ .max_workers = 1, .max_pixels = 800 * 600 - 1 });
	struct ct_developed developed;
	char message[CT_IMAGING_MESSAGE_BYTES];
	cr_assert_eq(develop(pool, "small.jpg", "image/jpeg", &developed, message), 0);
	ct_developed_done(&developed);
	cr_assert_eq(develop(smaller, "small.jpg", "image/jpeg", &developed, message),
	    CT_ERROR_TOO_MANY_PIXELS);
	ct_imaging_pool_free(pool);
	ct_imaging_pool_free(smaller);
}

/* Each has its own code, and says the limit and what passed it. */
Test(develop, limits_beside_pixels)
{
	static const struct {
		struct ct_imaging_options options;
		struct refusal refusal;
		const char *limit_text;
		uint64_t limit, value;
	} cases[] = {
		{ { .max_all_pixels = 2399999 },
		    { "many.gif", "image/gif", CT_ERROR_TOO_MANY_FRAMES, "20 frames" }, "2399999",
		    2399999, 2400000 },
		{ { .memory_mib = 180, .max_pixels = 100000000 },
		    { "interlaced-5000.png", "image/png", CT_ERROR_INTERLACED_TOO_LARGE,
			"100000000 bytes" },
		    "94371840", 94371840, 100000000 },
		{ { .max_print_bytes = 3000 },
		    { "small.jpg", "image/jpeg", CT_ERROR_PRINT_TOO_LARGE, "800 x 600" }, "3000",
		    3000, ANY_MORE },
		{ { .memory_mib = 180 },
		    { "progressive.jpg", "image/jpeg", CT_ERROR_WORKER_MEMORY, "memory" },
		    "180 MiB", 180 << 20, 0 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct refusal *refusal = &cases[i].refusal;
		struct ct_imaging_pool *pool = pool_of(cases[i].options);
		struct ct_developed developed;
		struct ct_imaging_failure failure;
		const char *message = failure.message;
		int r = develop_failing(pool, refusal->name, refusal->type, &developed, &failure);
		cr_assert_eq(
		    r, refusal->error, "%s: %s: %s", refusal->name, ct_error_name(r), message);
		cr_assert_not_null(strstr(message, refusal->message), "%s", message);
		cr_assert_not_null(strstr(message, cases[i].limit_text), "%s", message);
		cr_assert_eq(failure.limit, cases[i].limit, "%s", message);
		if (cases[i].value == ANY_MORE)
			cr_assert_gt(failure.value, failure.limit, "%s", message);
		else
			cr_assert_eq(failure.value, cases[i].value, "%s", message);
		cr_assert_eq(ct_imaging_pool_workers(pool), 1);
		ct_imaging_pool_free(pool);
	}
}

Test(develop, limits_are_inclusive)
{
	struct ct_imaging_pool *pool =
	    pool_of((struct ct_imaging_options){ .max_workers = 1, .max_all_pixels = 2400000 });
	struct ct_developed developed;
	char message[CT_IMAGING_MESSAGE_BYTES];
	cr_assert_eq(develop(pool, "many.gif", "image/gif", &developed, message), 0);
	ct_developed_done(&developed);
	ct_imaging_pool_free(pool);
}
