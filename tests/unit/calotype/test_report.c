#include "report.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(report);

static void expect_line(const char *json, const char *expected)
{
	struct ct_buffer line;
	struct ct_json *image = NULL;
	ct_buffer_init(&line, 4096);
	cr_assert_eq(ct_json_parse(ct_slice_from_string(json), &image), 0);
	ct_image_make_absolute(image, "http://a:1");
	ct_report_format_ready("photo.jpg", "ready", image, &line);
	cr_expect_str_eq(line.data, expected);
	ct_json_free(image);
	ct_buffer_done(&line);
}

Test(report, the_middle_print_is_shown)
{
	expect_line("{\"id\":\"7\",\"width\":4000,\"height\":3000,\"url\":\"/i/7\",\"prints\":["
		    "{\"w\":320,\"url\":\"/i/7?w=320\"},{\"w\":640,\"url\":\"/i/7?w=640\"}]}",
	    "photo.jpg ready 4000x3000 image=7 http://a:1/i/7?w=640");
}

Test(report, without_it_the_image)
{
	expect_line("{\"id\":\"7\",\"url\":\"http://b/i/7\",\"prints\":[{\"w\":320,\"url\":1},3]}",
	    "photo.jpg ready image=7 http://b/i/7");
	expect_line("{\"id\":\"7\",\"prints\":null}", "photo.jpg ready image=7");
	expect_line("{}", "photo.jpg ready");
}

Test(report, hostile_answers_are_escaped)
{
	expect_line("{\"id\":\"\\u001b[2J\",\"url\":\"/\\u0007\"}",
	    "photo.jpg ready image=\\x1b[2J http://a:1/\\x07");
}
