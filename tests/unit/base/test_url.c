#include "base/url.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(url, normalizes)
{
	static const struct {
		const char *text, *normal;
	} good[] = {
		{ "http://localhost:8080/", "http://localhost:8080" },
		{ "https://a.example/photos//", "https://a.example/photos" },
		{ "http://[::1]:80", "http://[::1]:80" },
		{ "http://[2001:db8::1]", "http://[2001:db8::1]" },
		{ "http://10.0.0.1:65535/a/b", "http://10.0.0.1:65535/a/b" },
	};
	char url[CT_URL_MAX];
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		cr_expect_eq(
		    ct_url_normalize(good[i].text, url, sizeof(url)), 0, "%s", good[i].text);
		cr_expect_str_eq(url, good[i].normal);
	}
}

Test(url, refuses_what_is_no_server)
{
	static const char *const bad[] = { "", "localhost", "localhost:8080", "ftp://a", "http://",
		"http:///", "http:///x", "http://:80", "http://a b", "http://a\n", "http://a?b",
		"http://a#b", "http://user@a", "http://user:pw@a", "http://a:", "http://a:0",
		"http://a:65536", "http://a:port", "http://a:80:80", "http://[::1", "http://::1",
		"http://[]", "http://[x]", "http://a\"", "http://a<", "http://a\xc3\xa4",
		"https//a", "http:/a", "//a", "/", "http://a/{id}" };
	char url[CT_URL_MAX];
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(ct_url_normalize(bad[i], url, sizeof(url)), -EINVAL, "%s", bad[i]);
}

Test(url, too_long)
{
	char text[CT_URL_MAX + 1], url[CT_URL_MAX];
	memset(text, 'a', CT_URL_MAX);
	memcpy(text, "http://a/", strlen("http://a/"));
	text[CT_URL_MAX] = '\0';
	cr_assert_eq(ct_url_normalize(text, url, sizeof(url)), -ENAMETOOLONG);
	text[CT_URL_MAX - 1] = '\0';
	cr_assert_eq(ct_url_normalize(text, url, sizeof(url)), 0);
}

Test(url, joins_a_base_and_a_path)
{
	static const struct {
		const char *base, *joined;
	} rows[] = {
		{ NULL, "/i/7?w=320" },
		{ "", "/i/7?w=320" },
		{ "/", "/i/7?w=320" },
		{ "https://a.example", "https://a.example/i/7?w=320" },
		{ "https://a.example/", "https://a.example/i/7?w=320" },
		{ "https://a.example/photos", "https://a.example/photos/i/7?w=320" },
		{ "https://a.example/photos///", "https://a.example/photos/i/7?w=320" },
	};
	char url[64];
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_expect_eq(
		    ct_url_under(url, sizeof(url), rows[i].base, "/i/%d?w=%s", 7, "320"), 0);
		cr_expect_str_eq(url, rows[i].joined);
	}
	cr_expect_eq(ct_url_under(url, 13, "http://a/", "/%s", "123"), 0);
	cr_expect_str_eq(url, "http://a/123");
	cr_expect_eq(ct_url_under(url, 12, "http://a/", "/%s", "123"), -ENAMETOOLONG);
	cr_expect_eq(ct_url_under(url, 8, "http://a/", "/%s", "123"), -ENAMETOOLONG);
	cr_expect_eq(ct_url_under(url, 3, NULL, "/%s", "123"), -ENAMETOOLONG);
}

Test(url, splits_an_authority)
{
	struct ct_slice host;
	uint64_t port;
	cr_assert_eq(ct_url_split_authority(CT_SLICE_OF("[::1]:80"), &host, &port), 0);
	cr_assert(ct_slice_equal(host, "::1"));
	cr_assert_eq(port, 80);
	cr_assert_eq(ct_url_split_authority(CT_SLICE_OF("a.example"), &host, &port), 0);
	cr_assert(ct_slice_equal(host, "a.example"));
	cr_assert_eq(port, UINT64_MAX);
	cr_assert_eq(ct_url_split_authority(CT_SLICE_OF(":0"), &host, &port), 0);
	cr_assert_eq(host.length, 0);
	cr_assert_eq(port, 0);
	cr_assert_eq(ct_url_split_authority(CT_SLICE_OF("a:65536"), &host, &port), -ERANGE);
	cr_assert_eq(ct_url_split_authority(CT_SLICE_OF("a:"), &host, &port), -EINVAL);
	cr_assert_eq(ct_url_split_authority(CT_SLICE_OF("a/b:1"), &host, &port), -EINVAL);
}
