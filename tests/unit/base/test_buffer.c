#include "base/buffer.h"
#include "base/cleanup.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(buffer, appends_bytes_strings_and_formats)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer buffer;
	ct_buffer_init(&buffer, 100);
	ct_buffer_append(&buffer, "a\0b", 3);
	ct_buffer_append_string(&buffer, "cd");
	ct_buffer_printf(&buffer, "%d-%s", 42, "x");
	cr_assert_eq(ct_buffer_error(&buffer), 0);
	cr_assert_eq(buffer.length, 9);
	cr_assert_eq(memcmp(buffer.data, "a\0bcd42-x", 10), 0);
}

Test(buffer, takes_exactly_its_maximum)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer buffer;
	ct_buffer_init(&buffer, 1000);
	for (int i = 0; i < 1000; i++)
		ct_buffer_append(&buffer, "x", 1);
	cr_assert_eq(ct_buffer_error(&buffer), 0);
	cr_assert_eq(buffer.length, 1000);
	cr_assert_eq(buffer.data[1000], '\0');
	cr_assert_leq(buffer.capacity, 1001);
	ct_buffer_append(&buffer, "x", 1);
	cr_assert_eq(ct_buffer_error(&buffer), -EMSGSIZE);
	cr_assert_eq(buffer.length, 1000);
}

Test(buffer, error_latches)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer buffer;
	ct_buffer_init(&buffer, 4);
	ct_buffer_append_string(&buffer, "abc");
	ct_buffer_printf(&buffer, "%d", 12);
	cr_assert_eq(ct_buffer_error(&buffer), -EMSGSIZE);
	ct_buffer_append(&buffer, "d", 1);
	cr_assert_eq(buffer.length, 3);
	cr_assert_str_eq(buffer.data, "abc");
	size_t length = 77;
	cr_assert_null(ct_buffer_steal(&buffer, &length));
	cr_assert_eq(length, 77);
}

Test(buffer, gives_its_bytes_away)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer buffer;
	ct_buffer_init(&buffer, 4);
	ct_buffer_append_string(&buffer, "abcd");
	size_t length = 0;
	ct_cleanup(ct_free_pointer) char *text = ct_buffer_steal(&buffer, &length);
	cr_assert_str_eq(text, "abcd");
	cr_assert_eq(length, 4);
	cr_assert_eq(buffer.length, 0);
	cr_assert_null(buffer.data);
	ct_buffer_append_string(&buffer, "efgh");
	cr_assert_eq(ct_buffer_error(&buffer), 0);
}

Test(buffer, empty_one_is_an_empty_string)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer buffer;
	ct_buffer_init(&buffer, 0);
	ct_cleanup(ct_free_pointer) char *text = ct_buffer_steal(&buffer, NULL);
	cr_assert_str_eq(text, "");
	ct_buffer_append(&buffer, "x", 1);
	cr_assert_eq(ct_buffer_error(&buffer), -EMSGSIZE);
}
