#include "urls.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define ID "0123456789abcdef0123456789abcdef"

TestSuite(urls);

static void expect_joined(const char *base, const char *reference, const char *expected)
{
	char url[CT_URL_MAX];
	cr_expect_eq(ct_url_join(base, reference, url, sizeof(url)), 0);
	cr_expect_str_eq(url, expected);
}

Test(urls, references_become_absolute)
{
	expect_joined("http://a:1", "/i/x?w=640", "http://a:1/i/x?w=640");
	expect_joined("http://a:1", "i/x", "http://a:1/i/x");
	expect_joined("http://a:1", "https://b/i/x", "https://b/i/x");
}

Test(urls, a_prefix_that_a_proxy_hides_is_put_back_once)
{
	expect_joined("http://a/photos", "/i/x", "http://a/photos/i/x");
	expect_joined("http://a/photos", "/photos/i/x", "http://a/photos/i/x");
	expect_joined("http://a/photos", "/photosets/x", "http://a/photos/photosets/x");
}

Test(urls, a_joined_address_that_is_too_long_is_an_error)
{
	char url[16];
	cr_expect_eq(ct_url_join("http://a", "/123456789", url, sizeof(url)), -ENAMETOOLONG);
}

static int last_id(const char *reference, char *ret_id)
{
	return ct_url_last_id(ct_slice_from_string(reference), "uploads", ret_id);
}

Test(urls, an_id_is_found_at_the_end)
{
	char id[CT_ID_CHARS + 1];
	cr_expect_eq(last_id("/uploads/" ID, id), 0);
	cr_expect_str_eq(id, ID);
	cr_expect_eq(last_id("https://b.example/photos/uploads/" ID, id), 0);
	cr_expect_str_eq(id, ID);
}

Test(urls, what_has_no_id_at_its_end_is_refused)
{
	static const char *const bad[] = { "", "/uploads/", "/uploads/123", "uploads/" ID,
		"/uploads/" ID "0", "/uploads/" ID "/", "/uploads/" ID "?x", "/jobs/" ID,
		"/xuploads/" ID, "/uploads/0123456789ABCDEF0123456789abcdef",
		"/uploads/../456789abcdef0123456789abcdef" };
	char id[CT_ID_CHARS + 1];
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(last_id(bad[i], id), -EINVAL, "%s", bad[i]);
	cr_expect_eq(ct_url_last_id(CT_SLICE_ABSENT, "uploads", id), -EINVAL);
}

static void expect_link(const char *field, const char *relation, const char *expected)
{
	struct ct_slice link = ct_link_find(ct_slice_from_string(field), relation);
	if (expected == NULL)
		cr_expect_null(link.data, "%s", field);
	else
		cr_expect(ct_slice_equal(link, expected), "%s", field);
}

Test(urls, a_link_is_found_by_its_relation)
{
	expect_link("</jobs/1>; rel=\"status\"", "status", "/jobs/1");
	expect_link("</jobs/1>;rel=status", "status", "/jobs/1");
	expect_link(
	    "</a>; rel=next, </b>; title=\"x, <y>; rel=status\"; REL=\"Status\"", "status", "/b");
	expect_link("</a,b;c>; rel=next", "next", "/a,b;c");
}

Test(urls, what_is_no_such_link_is_absent)
{
	expect_link("", "status", NULL);
	expect_link("</a>", "status", NULL);
	expect_link("</a>; rel=next", "status", NULL);
	expect_link("</a; rel=status", "status", NULL);
	expect_link("/a; rel=status", "status", NULL);
	expect_link("</a>; rel=\"", "status", NULL);
	expect_link("</a>; rel", "status", NULL);
	expect_link("<", "status", NULL);
}
