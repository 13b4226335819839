#include "progress.h"

#include "format.h"
#include <criterion/criterion.h>
#include <string.h>

TestSuite(progress);

static void expect_line(const struct ct_progress *progress, size_t columns, const char *expected)
{
	struct ct_buffer line;
	ct_buffer_init(&line, 4096);
	ct_progress_format(progress, columns, &line);
	cr_expect_str_eq(line.data, expected);
	ct_buffer_done(&line);
}

static const struct ct_progress half = {
	.name = "photo.jpg",
	.done = 6 << 20,
	.total = 12 << 20,
	.bytes_per_second = 2 << 20,
};

Test(progress, a_line_shows_what_fits)
{
	expect_line(&half, 80,
	    "photo.jpg [#########.........]   50%     6.0 MiB / 12.0 MiB     2.0 MiB/s   0:03");
	expect_line(&half, 60, "photo.jpg   50%     6.0 MiB / 12.0 MiB     2.0 MiB/s   0:03");
	expect_line(&half, 50, "photo.jpg   50%     6.0 MiB / 12.0 MiB");
	expect_line(&half, 30, "photo.jpg [######......]   50%");
	expect_line(&half, 15, "photo...   50%");
	expect_line(&half, 5, "pho..");
}

Test(progress, no_line_is_wider_than_its_columns)
{
	static const struct ct_progress lines[] = {
		{ .name = "x", .done = UINT64_MAX, .total = UINT64_MAX, .bytes_per_second = 1e18 },
		{ .name = "a rather long name of a photo that somebody took.jpg", .total = 1 },
		{ .name = "photo.jpg", .state = "processing 100%" },
		{ .name = "", .total = 0 },
	};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		for (size_t columns = 1; columns < 200; columns++) {
			struct ct_buffer line;
			ct_buffer_init(&line, 4096);
			ct_progress_format(&lines[i], columns, &line);
			struct ct_slice text = { line.data, line.length };
			cr_expect_leq(ct_text_columns(text), columns);
			ct_buffer_done(&line);
		}
	}
}

Test(progress, a_state_stands_for_the_numbers)
{
	struct ct_progress progress = { .name = "photo.jpg", .state = "processing" };
	expect_line(&progress, 80, "photo.jpg  processing");
	expect_line(&progress, 15, "photo.jpg      ");
}

Test(progress, an_unknown_rate_is_not_shown)
{
	struct ct_progress progress = half;
	progress.bytes_per_second = 0;
	expect_line(&progress, 70,
	    "photo.jpg [##############...............]   50%     6.0 MiB / 12.0 MiB");
}

Test(progress, a_rate_follows_slowly)
{
	struct ct_rate rate;
	ct_rate_start(&rate, 1000, 500);
	cr_expect_eq(rate.bytes_per_second, 0);
	ct_rate_sample(&rate, 1100, 1500); /* too early to tell */
	cr_expect_eq(rate.bytes_per_second, 0);
	ct_rate_sample(&rate, 2000, 1500);
	cr_expect_float_eq(rate.bytes_per_second, 1000, 0.1);
	ct_rate_sample(&rate, 3000, 1500); /* a stall */
	cr_expect_float_eq(rate.bytes_per_second, 750, 0.1);
	ct_rate_sample(&rate, 4000, 100); /* begun anew: left out */
	cr_expect_float_eq(rate.bytes_per_second, 750, 0.1);
}
