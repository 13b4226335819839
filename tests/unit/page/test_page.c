/*
 * The files as embed.py made them, and who takes gzip. How they are served is tested over sockets
 * (tests/scenario/test_page.py).
 */
#include "page/assets.h"
#include "page/page.h"

#include <criterion/criterion.h>
#include <string.h>

static bool takes(const char *value)
{
	return ct_page_takes_gzip(ct_slice_from_string(value));
}

Test(page, takes_gzip)
{
	static const char *const yes[] = { "gzip", "gzip, deflate, br", "br, GZIP ;q=0.5", "*",
		"deflate , gzip; q=1.000", "br;q=0, *", "*;q=0, gzip" };
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		cr_expect(takes(yes[i]), "%s", yes[i]);
	cr_expect(takes("gzip;q=0.001"));
}

Test(page, takes_no_gzip)
{
	static const char *const no[] = { "", "identity", "br, deflate", "gzip;q=0", "gzip;q=0.000",
		"gzip ; Q=0.0, *", "*;q=0", "xgzip", "gzipx", "gzip;q=" };
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		cr_expect_not(takes(no[i]), "%s", no[i]);
	cr_expect_not(ct_page_takes_gzip(CT_SLICE_ABSENT));
}

static const struct ct_page_asset *find(const char *name)
{
	for (size_t i = 0; i < ct_page_asset_count; i++) {
		if (strcmp(ct_page_assets[i].name, name) == 0)
			return &ct_page_assets[i];
	}
	return NULL;
}

static size_t count(const struct ct_page_asset *asset, const char *text)
{
	size_t found = 0;
	for (size_t i = 0; i + strlen(text) <= asset->plain_bytes; i++)
		found += memcmp(asset->plain + i, text, strlen(text)) == 0;
	return found;
}

Test(page, document_names_its_version)
{
	char address[64] = "page/";
	const struct ct_page_asset *document = find("index.html");
	cr_assert_not_null(document);
	cr_assert_eq(strlen(ct_page_version), 16);
	strncat(address, ct_page_version, 32);
	cr_expect_geq(count(document, address), 3);
	cr_expect_eq(count(document, "@version@"), 0);
}

/* What the policy would block, and what would need a policy that is less strict. */
Test(page, nothing_inline_and_nothing_from_elsewhere)
{
	static const char *const never[] = { "style=", " onclick", " onload", "<style",
		"javascript:", "src=\"http", "href=\"http", "href=\"//", "src=\"//" };
	const struct ct_page_asset *document = find("index.html");
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		cr_expect_eq(count(document, never[i]), 0, "%s", never[i]);
	cr_expect_eq(count(document, "<script"), count(document, "<script type=\"module\" src="));
	cr_expect_eq(count(find("style.css"), "url("), 0);
}

Test(page, all_is_small)
{
	size_t plain = 0, packed = 0;
	for (size_t i = 0; i < ct_page_asset_count; i++) {
		plain += ct_page_assets[i].plain_bytes;
		packed += ct_page_assets[i].gzip_bytes;
		cr_expect_eq(ct_page_assets[i].gzip[0], 0x1f);
	}
	cr_expect_leq(plain, 80u << 10);
	cr_expect_leq(packed, 32u << 10);
}
