/* Ranges, entity tags, preconditions: tables, and what goes out over one entry. */
#include "cache_support.h"
#include "base/hash.h"
#include "calotype/error.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Test(range, table)
{
	static const struct {
		const char *field;
		uint64_t size;
		enum ct_cache_range result;
		uint64_t first, length;
	} rows[] = {
		{ "bytes=0-0", 10, CT_CACHE_RANGE_ONE, 0, 1 },
		{ "bytes=0-9", 10, CT_CACHE_RANGE_ONE, 0, 10 },
		{ "bytes=3-5", 10, CT_CACHE_RANGE_ONE, 3, 3 },
		{ "bytes=3-", 10, CT_CACHE_RANGE_ONE, 3, 7 },
		{ "bytes=9-", 10, CT_CACHE_RANGE_ONE, 9, 1 },
		{ "bytes=3-10", 10, CT_CACHE_RANGE_ONE, 3, 7 },
		{ "bytes=3-99999999999999999999999", 10, CT_CACHE_RANGE_ONE, 3, 7 },
		{ "bytes=3-18446744073709551615", 10, CT_CACHE_RANGE_ONE, 3, 7 },
		{ "bytes=0-18446744073709551615", 10, CT_CACHE_RANGE_ONE, 0, 10 },
		{ "bytes=-1", 10, CT_CACHE_RANGE_ONE, 9, 1 },
		{ "bytes=-10", 10, CT_CACHE_RANGE_ONE, 0, 10 },
		{ "bytes=-11", 10, CT_CACHE_RANGE_ONE, 0, 10 },
		{ "bytes=-99999999999999999999999", 10, CT_CACHE_RANGE_ONE, 0, 10 },
		{ "BYTES=3-5", 10, CT_CACHE_RANGE_ONE, 3, 3 },
		{ "bytes= 3-5 ", 10, CT_CACHE_RANGE_ONE, 3, 3 },
		{ "bytes=0000003-5", 10, CT_CACHE_RANGE_ONE, 3, 3 },
		{ "bytes=4294967296-4294967297", 1ull << 40, CT_CACHE_RANGE_ONE, 1ull << 32, 2 },

		{ "bytes=10-", 10, CT_CACHE_RANGE_OUTSIDE, 0, 0 },
		{ "bytes=10-20", 10, CT_CACHE_RANGE_OUTSIDE, 0, 0 },
		{ "bytes=99999999999999999999999-", 10, CT_CACHE_RANGE_OUTSIDE, 0, 0 },
		{ "bytes=-0", 10, CT_CACHE_RANGE_OUTSIDE, 0, 0 },
		{ "bytes=0-", 0, CT_CACHE_RANGE_OUTSIDE, 0, 0 },
		{ "bytes=0-0", 0, CT_CACHE_RANGE_OUTSIDE, 0, 0 },
		{ "bytes=-5", 0, CT_CACHE_RANGE_OUTSIDE, 0, 0 },

		{ NULL, 10, CT_CACHE_RANGE_NONE, 0, 0 },
		{ "", 10, CT_CACHE_RANGE_NONE, 0, 0 },
		{ "bytes", 10, CT_CACHE_RANGE_NONE, 0, 0 },
		{ "bytes=", 10, CT_CACHE_RANGE_NONE, 0, 0 },
		{ "bytes=-", 10, CT_CACHE_RANGE_NONE, 0, 0 },
		{ "bytes=5", 10, CT_CACHE_RANGE_NONE, 0, 0 },
		{ "bytes=5-2", 10, CT_CACHE_RANGE_NONE, 0, 0 },
		{ "bytes=5--2", 10, CT_CACHE_RANGE_NONE, 0, 0 },
		{ "bytes=--2", 10, CT_CACHE_RANGE_NONE, 0, 0 },
		{ "bytes=+1-2", 10, CT_CACHE_RANGE_NONE, 0, 0 },
		{ "bytes=1 -2", 10, CT_CACHE_RANGE_NONE, 0, 0 },
		{ "bytes=0x1-2", 10, CT_CACHE_RANGE_NONE, 0, 0 },
		{ "bytes=a-b", 10, CT_CACHE_RANGE_NONE, 0, 0 },
		{ "bytes=0-1,3-4", 10, CT_CACHE_RANGE_NONE, 0, 0 },
		{ "bytes=0-,-1", 10, CT_CACHE_RANGE_NONE, 0, 0 },
		{ "bytes=1-2-3", 10, CT_CACHE_RANGE_NONE, 0, 0 },
		{ "bytes==1-2", 10, CT_CACHE_RANGE_NONE, 0, 0 },
		{ "bytes =1-2", 10, CT_CACHE_RANGE_NONE, 0, 0 },
		{ "lines=1-2", 10, CT_CACHE_RANGE_NONE, 0, 0 },
		{ "=1-2", 10, CT_CACHE_RANGE_NONE, 0, 0 },
		{ "1-2", 10, CT_CACHE_RANGE_NONE, 0, 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t first = 77, length = 77;
		enum ct_cache_range result = ct_cache_parse_range(
		    ct_slice_from_string(rows[i].field), rows[i].size, &first, &length);
		cr_expect_eq(result, rows[i].result, "%s", rows[i].field);
		cr_expect_eq(
		    first, result == CT_CACHE_RANGE_ONE ? rows[i].first : 77, "%s", rows[i].field);
		cr_expect_eq(length, result == CT_CACHE_RANGE_ONE ? rows[i].length : 77, "%s",
		    rows[i].field);
	}
}

Test(etag, table)
{
	static const struct {
		const char *list;
		bool weak, strong;
	} rows[] = {
		{ "\"ab\"", true, true },
		{ "W/\"ab\"", true, false },
		{ "*", true, true },
		{ " * ", true, true },
		{ "\"x\", \"ab\"", true, true },
		{ "\"x\",\"ab\",\"y\"", true, true },
		{ "\"x\" ,\t\"ab\" , W/\"y\"", true, true },
		{ "W/\"x\", W/\"ab\"", true, false },
		{ ",,\"ab\"", true, true },
		{ "\"ab\",", true, true },
		{ "", false, false },
		{ ",", false, false },
		{ "ab", false, false },
		{ "\"a\"", false, false },
		{ "\"abc\"", false, false },
		{ "\"ab", false, false },
		{ "\"AB\"", false, false },
		{ "w/\"ab\"", false, false },
		{ "W/ \"ab\"", false, false },
		{ "W/W/\"ab\"", false, false },
		{ "\"x,ab\"", false, false },
		{ "\"*\"", false, false },
		{ "\"x\", *", false, false },
		{ "**", false, false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ct_slice list = ct_slice_from_string(rows[i].list);
		cr_expect_eq(ct_http_etag_matches(list, "\"ab\"", CT_HTTP_WEAK), rows[i].weak, "%s",
		    rows[i].list);
		cr_expect_eq(ct_http_etag_matches(list, "\"ab\"", CT_HTTP_STRONG), rows[i].strong,
		    "%s", rows[i].list);
	}
}

/* ---- over an entry ---- */

#define BODY "0123456789"
#define UNMET "precondition_failed: the content has the entity tag " ETAG
#define ETAG "\"84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882\""
#define REPR_DIGEST "sha-256=:hNiYd/DUBB77a/kaFvAkjy/Vc+avBcGflr7bn4gveII=:"

static struct ct_cache_entry *make_entry(void)
{
	struct ct_cache_entry *entry = NULL;
	struct ct_cache_content content = {
		.data = strdup(BODY),
		.fd = -1,
		.size_bytes = strlen(BODY),
		.type = "image/png",
		.etag = ETAG,
		.cache_control = "public, max-age=1",
		.disposition = "inline",
	};
	ct_hash_once(content.data, content.size_bytes, &content.digest);
	cr_assert_eq(ct_cache_entry_new("calotype", "key", &content, NULL, &entry), 0);
	return entry;
}

static void answer(
    struct fake_exchange *exchange, const struct fake_ask *what, enum ct_cache_way way)
{
	struct ct_cache_entry *entry = make_entry();
	fake_exchange_init(exchange);
	struct ct_http_request *request = fake_request(exchange, what);
	cr_assert_eq(ct_cache_answer_entry(request, entry, "calotype", way), CT_HTTP_ANSWERED);
	ct_cache_entry_unref(entry);
	cr_expect_eq(fake_live_shared(), 0u);
	cr_expect_eq(fake_live_requests(), 0u);
}

static void expect_header(
    const struct fake_exchange *exchange, const char *name, const char *expected)
{
	char value[512];
	cr_expect_str_eq(fake_header(exchange, name, value), expected, "%s: %s", name, value);
}

static void expect_content_headers(const struct fake_exchange *exchange, const char *way)
{
	expect_header(exchange, "Content-Type", "image/png");
	expect_header(exchange, "ETag", ETAG);
	expect_header(exchange, "Cache-Control", "public, max-age=1");
	expect_header(exchange, "Content-Disposition", "inline");
	expect_header(exchange, "Accept-Ranges", "bytes");
	expect_header(exchange, "Content-Security-Policy", "default-src 'none'; sandbox");
	expect_header(exchange, "X-Content-Type-Options", "nosniff");
	expect_header(exchange, "Cross-Origin-Resource-Policy", "cross-origin");
	expect_header(exchange, "Repr-Digest", REPR_DIGEST);
	expect_header(exchange, "Cache-Status", way);
}

Test(answer, headers_of_every_way)
{
	static const struct {
		enum ct_cache_way way;
		const char *text;
	} ways[] = {
		{ CT_CACHE_HIT, "calotype; hit" },
		{ CT_CACHE_STORED, "calotype; fwd=miss; stored" },
		{ CT_CACHE_COLLAPSED, "calotype; fwd=miss; collapsed" },
		{ CT_CACHE_PASSED, "calotype; fwd=miss" },
	};
	static const struct fake_ask asks[] = {
		{ .method = CT_HTTP_GET },
		{ .method = CT_HTTP_HEAD },
		{ .method = CT_HTTP_GET, .range = "bytes=2-4" },
		{ .method = CT_HTTP_GET, .if_none_match = ETAG },
	};
	static const int statuses[] = { 200, 200, 206, 304 };
	static const char *const bodies[] = { BODY, "", "234", "" };
	for (int i = 0; i < 16; i++) {
		struct fake_exchange exchange;
		answer(&exchange, &asks[i / 4], ways[i % 4].way);
		cr_expect_eq(exchange.status, statuses[i / 4]);
		cr_expect_str_eq(exchange.body, bodies[i / 4]);
		cr_expect_eq(exchange.size_bytes, i / 4 == 2 ? 3u : 10u);
		expect_content_headers(&exchange, ways[i % 4].text);
		expect_header(&exchange, "Content-Range", i / 4 == 2 ? "bytes 2-4/10" : "");
		cr_expect_eq(exchange.was_shared, i % 4 == 0 && i / 4 != 2);
		fake_exchange_done(&exchange);
	}
}

/* RFC 9110 section 13.2.2. */
Test(answer, order_of_preconditions)
{
	static const struct {
		struct fake_ask ask;
		int status;
		const char *body;
	} rows[] = {
		{ { .range = "bytes=0-1" }, 206, "01" },
		{ { .range = "bytes=0-1", .method = CT_HTTP_HEAD }, 200, "" },
		{ { .range = "bytes=20-", .method = CT_HTTP_HEAD }, 200, "" },
		{ { .range = "bytes=0-1,5-6" }, 200, BODY },
		{ { .range = "bytes=0-1", .if_range = ETAG }, 206, "01" },
		{ { .range = "bytes=0-1", .if_range = "W/" ETAG }, 200, BODY },
		{ { .range = "bytes=0-1", .if_range = "\"x\"" }, 200, BODY },
		{ { .range = "bytes=0-1", .if_range = "" }, 200, BODY },
		{ { .range = "bytes=0-1", .if_range = "Tue, 24 Nov 2026 06:54:19 GMT" }, 200,
		    BODY },
		{ { .range = "bytes=20-", .if_range = "\"x\"" }, 200, BODY },
		{ { .if_range = "\"x\"" }, 200, BODY },
		{ { .if_none_match = "\"x\"" }, 200, BODY },
		{ { .if_none_match = "*", .method = CT_HTTP_HEAD }, 304, "" },
		{ { .if_none_match = "\"x\"", .range = "bytes=8-" }, 206, "89" },
		{ { .if_none_match = "W/" ETAG, .range = "bytes=8-" }, 304, "" },
		{ { .if_none_match = ETAG, .range = "bytes=20-" }, 304, "" },
		{ { .if_match = ETAG }, 200, BODY },
		{ { .if_match = "*" }, 200, BODY },
		{ { .if_match = "\"x\", " ETAG, .range = "bytes=8-" }, 206, "89" },
		{ { .if_match = "\"x\"" }, 412, UNMET },
		{ { .if_match = "W/" ETAG }, 412, UNMET },
		{ { .if_match = "\"x\"", .if_none_match = ETAG, .range = "bytes=8-" }, 412, UNMET },
		{ { .if_match = ETAG, .if_none_match = ETAG }, 304, "" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fake_exchange exchange;
		answer(&exchange, &rows[i].ask, CT_CACHE_HIT);
		cr_expect_eq(exchange.status, rows[i].status, "row %zu: %d", i, exchange.status);
		cr_expect_str_eq(exchange.body, rows[i].body, "row %zu", i);
		expect_header(&exchange, "ETag", ETAG);
		fake_exchange_done(&exchange);
	}
}

Test(answer, unsatisfiable_range)
{
	const struct fake_ask what = { .range = "bytes=10-" };
	struct fake_exchange exchange;
	answer(&exchange, &what, CT_CACHE_HIT);
	cr_expect_eq(exchange.status, 416);
	expect_header(&exchange, "Content-Range", "bytes */10");
	cr_expect_str_eq(exchange.body, "range_not_satisfiable: the content has 10 bytes");
	fake_exchange_done(&exchange);
}
