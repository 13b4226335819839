/*
 * Each file is two answers, plain and packed, that all requests share.
 */
#include "page/page.h"
#include "page/assets.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "http/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOCUMENT "index.html"
#define ETAG_BYTES 32
#define MAX_HEADERS 9
/* Nothing but the page's own files runs, and nothing frames it. blob: is the preview of a file that
 * was chosen, and of an original that needs a key. */
#define POLICY                                                                            \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; " \
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

enum coding { PLAIN, GZIP, CODING_COUNT };

struct answer {
	char etag[ETAG_BYTES];
	struct ct_http_shared *shared;
};

struct ct_page {
	/* set once */
	struct answer (*answers)[CODING_COUNT]; /* as ct_page_assets */
};

/* ---- building ---- */

static size_t set_headers(const struct ct_page_asset *asset, enum coding coding, const char *etag,
    struct ct_http_header_field fields[MAX_HEADERS])
{
	bool is_document = strcmp(asset->name, DOCUMENT) == 0;
	const struct ct_http_header_field all[] = {
		{ "Content-Type", asset->type },
		{ "ETag", etag },
		{ "Cache-Control",
		    is_document ? "no-cache" : "public, max-age=31536000, immutable" },
		{ "Vary", "Accept-Encoding" },
		{ "Content-Security-Policy", POLICY },
		{ "Referrer-Policy", "no-referrer" },
		{ "Cross-Origin-Resource-Policy", "same-origin" },
		{ "Cross-Origin-Opener-Policy", "same-origin" },
		{ "Content-Encoding", "gzip" },
	};
	size_t count = sizeof(all) / sizeof(all[0]) - (coding == GZIP ? 0 : 1);
	_Static_assert(sizeof(all) / sizeof(all[0]) <= MAX_HEADERS, "room for all");
	memcpy(fields, all, count * sizeof(all[0]));
	return count;
}

static int build_answer(
    const struct ct_page_asset *asset, enum coding coding, struct answer *ret_answer)
{
	struct ct_http_header_field fields[MAX_HEADERS];
	const struct ct_http_body body = {
		.data = coding == GZIP ? asset->gzip : asset->plain,
		.fd = -1,
		.size_bytes = coding == GZIP ? asset->gzip_bytes : asset->plain_bytes,
	};
	int length = snprintf(ret_answer->etag, sizeof(ret_answer->etag), "\"%s%s\"", asset->digest,
	    coding == GZIP ? "-gz" : "");
	CT_ASSERT(length > 0 && (size_t)length < sizeof(ret_answer->etag));
	size_t count = set_headers(asset, coding, ret_answer->etag, fields);
	return ct_http_shared_new(&body, fields, count, &ret_answer->shared);
}

CT_DEFINE_CLEANUP(cleanup_page, struct ct_page *, ct_page_free)

int ct_page_new(struct ct_page **ret_page)
{
	ct_cleanup(cleanup_page) struct ct_page *page = calloc(1, sizeof(*page));
	if (page == NULL)
		return -ENOMEM;
	page->answers = calloc(ct_page_asset_count, sizeof(*page->answers));
	if (page->answers == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < ct_page_asset_count; i++) {
		for (int coding = 0; coding < CODING_COUNT; coding++) {
			int r = build_answer(
			    &ct_page_assets[i], (enum coding)coding, &page->answers[i][coding]);
			if (r < 0)
				return r;
		}
	}
	*ret_page = ct_steal(page);
	return 0;
}

void ct_page_free(struct ct_page *page)
{
	if (page == NULL)
		return;
	for (size_t i = 0; page->answers != NULL && i < ct_page_asset_count; i++) {
		ct_http_shared_unref(page->answers[i][PLAIN].shared);
		ct_http_shared_unref(page->answers[i][GZIP].shared);
	}
	free(page->answers);
	free(page);
}

/* ---- answering ---- */

/* "q=0", "q=0.0", "q=0.000": not acceptable. */
static bool is_refused(struct ct_slice parameters)
{
	while (parameters.data != NULL) {
		struct ct_slice value = ct_slice_cut(&parameters, ';');
		struct ct_slice name = ct_slice_trim(ct_slice_cut(&value, '='));
		if (!ct_slice_equal_ignore_case(name, "q") || value.data == NULL)
			continue;
		value = ct_slice_trim(value);
		size_t zeros = 0;
		while (
		    zeros < value.length && (value.data[zeros] == '0' || value.data[zeros] == '.'))
			zeros++;
		return zeros == value.length;
	}
	return false;
}

bool ct_page_takes_gzip(struct ct_slice accept_encoding)
{
	bool takes_any = false;
	while (accept_encoding.data != NULL) {
		struct ct_slice rest = ct_slice_cut(&accept_encoding, ',');
		struct ct_slice name = ct_slice_trim(ct_slice_cut(&rest, ';'));
		if (ct_slice_equal_ignore_case(name, "gzip"))
			return !is_refused(rest); /* named, it counts before the star */
		if (ct_slice_equal(name, "*"))
			takes_any = !is_refused(rest);
	}
	return takes_any;
}

static enum ct_http_next answer(
    struct ct_http_request *request, const struct ct_page *page, const char *name)
{
	size_t i = 0;
	while (i < ct_page_asset_count && strcmp(ct_page_assets[i].name, name) != 0)
		i++;
	if (i == ct_page_asset_count)
		return ct_http_answer(request,
		    ct_http_problem(request, CT_ERROR_NOT_FOUND, "the page has no such file"));
	bool packed = ct_page_takes_gzip(ct_http_header(request, "Accept-Encoding"));
	const struct answer *chosen = &page->answers[i][packed ? GZIP : PLAIN];
	bool known = ct_http_etag_matches(
	    ct_http_header(request, "If-None-Match"), chosen->etag, CT_HTTP_WEAK);
	return ct_http_answer_shared(request, known ? 304 : 200, chosen->shared);
}

static enum ct_http_next on_document(struct ct_http_request *request, void *context)
{
	return answer(request, context, DOCUMENT);
}

static enum ct_http_next on_asset(struct ct_http_request *request, void *context)
{
	const char *name = ct_http_parameter(request, "name");
	if (strcmp(ct_http_parameter(request, "version"), ct_page_version) != 0)
		return ct_http_answer(
		    request, ct_http_problem(request, CT_ERROR_NOT_FOUND,
				 "this is of another version of the page; load / again"));
	/* The document has no immutable address. */
	return answer(request, context, strcmp(name, DOCUMENT) == 0 ? "" : name);
}

int ct_page_add_routes(struct ct_page *page, struct ct_http_server *server)
{
	static const struct ct_http_handler document = { .head = on_document };
	static const struct ct_http_handler asset = { .head = on_asset };
	const struct ct_http_route routes[] = {
		{ CT_HTTP_GET, "/", 0, &document, page },
		{ CT_HTTP_GET, "/page/{version}/{name}", 0, &asset, page },
	};
	return ct_http_server_add(server, routes, sizeof(routes) / sizeof(routes[0]));
}
