/*
 * Blobs, prints and originals over a real database, a store on disk and the real cache. Stand-ins:
 * the HTTP engine, and the process that makes prints again.
 */
#include "fake_engine.h"
#include "support_images.h"
#include "base/file.h"
#include "calotype/blob_open.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include "delivery/delivery_priv.h"
#include "imaging/process.h"
#include "metadata/api_keys.h"
#include "metadata/api_keys.h"
#include "metadata/images.h"
#include "metadata/prints.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct ct_thread_pool *pool;
static struct ct_cache *cache;
static struct ct_delivery *delivery;

/* ---- prints made again: "print<width>" of 320 and 640, as insert_print() has them ---- */

static struct {
	int calls;
	int error;
	bool makes_nothing;
	int deletes_image; /* meanwhile */
} process;

static void delete_image(int number, bool blob_hidden);

bool ct_process_is_decodable(const char *type)
{
	return strcmp(type, "image/jpeg") == 0;
}

int ct_process_remake_prints(struct ct_process *unused, const struct ct_digest *source)
{
	cr_assert_eq((void *)unused, (void *)&process);
	process.calls++;
	if (process.deletes_image > 0)
		delete_image(process.deletes_image, true);
	if (process.error < 0 || process.makes_nothing)
		return process.error;
	(void)insert_print(source, 320);
	(void)insert_print(source, 640);
	return 0;
}

/* ---- the server ---- */

static void start(bool public)
{
	const struct ct_thread_pool_options pool_options = { "fill", 2, 64 };
	char data[128];
	database_setup();
	(void)snprintf(data, sizeof(data), "%s/data", fixture.directory);
	const struct ct_disk_options disk_options = { .directory = data, .reserve_bytes = 1 };
	cr_assert_eq(ct_blob_store_open_disk(&disk_options, &store), 0);
	cr_assert_eq(ct_thread_pool_new(&pool_options, &pool), 0);
	const struct ct_cache_options cache_options = { .fill_pool = pool };
	cr_assert_eq(ct_cache_new(&cache_options, &cache), 0);
	const struct ct_delivery_options options = {
		.metadata = fixture.metadata,
		.store = store,
		.cache = cache,
		.process = (struct ct_process *)&process,
		.originals_public = public,
		.blobs_public = public,
	};
	cr_assert_eq(ct_delivery_new(&options, &delivery), 0);
	cr_assert_eq(ct_delivery_add_routes(delivery, fake_server()), 0);
}

static void setup(void)
{
	start(false);
}

static void teardown(void)
{
	ct_thread_pool_free(pool);
	ct_delivery_free(delivery);
	ct_cache_free(cache);
	images_teardown();
	cr_expect_eq(fake_live_requests(), 0u);
	cr_expect_eq(fake_live_shared(), 0u);
}

TestSuite(delivery, .init = setup, .fini = teardown);

static void call(
    struct fake_exchange *exchange, const char *pattern, const char *parameter, const char *width)
{
	const struct fake_ask ask = {
		.method = CT_HTTP_GET,
		.parameter = parameter,
		.width = width,
	};
	const struct ct_http_route *route = fake_route(pattern);
	fake_exchange_init(exchange);
	(void)route->handler->head(fake_request(exchange, &ask), route->context);
	fake_wait(exchange);
}

/* `way` NULL: a problem, of which the body is the beginning. */
static void expect(const char *pattern, const char *parameter, const char *width, int status,
    const char *way, const char *body)
{
	struct fake_exchange exchange;
	char value[512], expected[64];
	call(&exchange, pattern, parameter, width);
	cr_expect_eq(exchange.status, status, "%s %s: %d", parameter, width, exchange.status);
	(void)snprintf(expected, sizeof(expected), "%s%s", way ? "calotype; " : "", way ? way : "");
	cr_expect_str_eq(fake_header(&exchange, "Cache-Status", value), expected);
	cr_expect_eq(
	    strncmp(exchange.body, body, strlen(body) + (way != NULL)), 0, "%.200s", exchange.body);
	fake_exchange_done(&exchange);
}

static void expect_header(
    const char *pattern, const char *parameter, const char *name, const char *expected)
{
	struct fake_exchange exchange;
	char value[512];
	call(&exchange, pattern, parameter, NULL);
	cr_expect_str_eq(fake_header(&exchange, name, value), expected, "%s", value);
	fake_exchange_done(&exchange);
}

static const char *id(int number)
{
	static char ids[4][CT_ID_CHARS + 1];
	return id_of(number, ids[number % 4]);
}

static const char *hex_of(const struct ct_digest *digest)
{
	static char hex[CT_DIGEST_HEX_CHARS + 1];
	ct_digest_to_hex(digest, hex);
	return hex;
}

static int run_delete(struct ct_metadata_view *view, void *arg)
{
	return ct_image_delete(view, arg);
}

static void delete_image(int number, bool blob_hidden)
{
	struct ct_image_row row;
	char copy[CT_ID_CHARS + 1];
	cr_assert_eq(find_image(number, &row), 0);
	write_database(run_delete, (void *)id_of(number, copy));
	ct_delivery_forget(delivery, copy, &row.digest, blob_hidden);
}

static struct ct_digest insert_photo(int number)
{
	struct ct_digest digest = put_bytes(CT_BLOB_ORIGINAL, "photo");
	insert_image(number, &digest, "image/jpeg", CT_IMAGE_READY, 1000);
	return digest;
}

static void path_of(const char *folder, const struct ct_digest *digest, char ret_path[256])
{
	const char *hex = hex_of(digest);
	(void)snprintf(
	    ret_path, 256, "%s/data/%s/%.2s/%s", fixture.directory, folder, hex, hex + 2);
}

static void damage(const char *folder, const struct ct_digest *digest, off_t at)
{
	char path[256];
	path_of(folder, digest, path);
	cr_assert_eq(chmod(path, 0600), 0);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, "#", 1, at), 1);
	cr_assert_eq(close(fd), 0);
}

/* It is answered with 200, but breaks off with what lies before the last block. */
static void expect_cut(const char *pattern, const char *parameter, size_t size)
{
	struct fake_exchange exchange;
	call(&exchange, pattern, parameter, NULL);
	cr_expect_eq(exchange.status, 200);
	cr_expect_eq(exchange.size_bytes, size);
	cr_expect(exchange.cut);
	cr_expect_eq(strlen(exchange.body), size - 1);
	fake_exchange_done(&exchange);
}

/* ---- pure parts ---- */

Test(parts, choose)
{
	static const struct ct_print_row rows[] = {
		{ .width = 320 },
		{ .width = 500 },
		{ .width = 1280 },
	};
	static const struct {
		int count, width, chosen;
	} cases[] = {
		{ 3, 320, 320 },
		{ 3, 321, 500 },
		{ 3, 1, 320 },
		{ 3, 640, 1280 },
		{ 3, 1280, 1280 },
		{ 3, 1281, 1280 },
		{ 3, 0, 1280 },
		{ 2, 640, 500 },
		{ 2, 0, 500 },
		{ 1, 1280, 320 },
		{ 0, 320, -1 },
		{ 0, 0, -1 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ct_print_row row = { .width = -1 };
		int r = ct_delivery_choose(rows, cases[i].count, cases[i].width, &row);
		cr_expect_eq(r, cases[i].count > 0 ? 0 : CT_ERROR_NOT_FOUND);
		cr_expect_eq(row.width, cases[i].chosen, "case %zu: %d", i, row.width);
	}
}

Test(parts, disposition)
{
	static const struct {
		const char *type, *filename, *text;
	} cases[] = {
		{ "image/jpeg", "a.jpg", "inline; filename*=UTF-8''a.jpg" },
		{ "image/png", "", "inline" },
		{ "image/webp", "a b\"c.webp", "inline; filename*=UTF-8''a%20b%22c.webp" },
		{ "image/gif", "\r\nX: y", "inline; filename*=UTF-8''%0D%0AX%3A%20y" },
		{ "image/jpeg", "\xc3\xbc.jpg", "inline; filename*=UTF-8''%C3%BC.jpg" },
		{ "image/svg+xml", "a.svg", "attachment; filename*=UTF-8''a.svg" },
		{ "text/html", "", "attachment" },
		{ "image/jpegx", "", "attachment" },
		{ "", "", "attachment" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[320];
		ct_delivery_disposition(cases[i].type, cases[i].filename, text, sizeof(text));
		cr_expect_str_eq(text, cases[i].text, "%s", text);
	}
}

Test(parts, long_names_keep_their_end)
{
	char name[CT_FILENAME_MAX + 1], text[320], expected[320];
	size_t at = (size_t)snprintf(expected, sizeof(expected), "inline; filename*=UTF-8''");
	/* 2 bytes each; 80 - 5 is odd, so the cut would fall into one. */
	for (int i = 0; i < 100; i++)
		memcpy(name + 2 * i, "\xc3\xbc", 2);
	memcpy(name + 200, "x.jpg", 6);
	for (int i = 0; i < 37; i++, at += 6)
		memcpy(expected + at, "%C3%BC", 6);
	memcpy(expected + at, "x.jpg", 6);
	ct_delivery_disposition("image/jpeg", name, text, sizeof(text));
	cr_expect_str_eq(text, expected, "%s", text);
	memset(name, '"', CT_FILENAME_MAX);
	name[CT_FILENAME_MAX] = '\0';
	ct_delivery_disposition("text/plain", name, text, sizeof(text));
	cr_expect_eq(strlen(text), strlen("attachment; filename*=UTF-8''") + 80 * 3);
}

/* ---- blobs and originals ---- */

Test(delivery, blob)
{
	struct ct_digest digest = insert_photo(1);
	const char *hex = hex_of(&digest);
	char etag[80], upper[CT_DIGEST_HEX_CHARS + 1];
	expect("/blobs/{sha256}", hex, NULL, 200, "fwd=miss; stored", "photo");
	expect("/blobs/{sha256}", hex, NULL, 200, "hit", "photo");
	(void)snprintf(etag, sizeof(etag), "\"%s\"", hex);
	expect_header("/blobs/{sha256}", hex, "ETag", etag);
	expect_header("/blobs/{sha256}", hex, "Content-Type", "image/jpeg");
	expect_header("/blobs/{sha256}", hex, "Content-Disposition", "inline");
	expect_header(
	    "/blobs/{sha256}", hex, "Cache-Control", "private, max-age=31536000, immutable");
	cr_expect_eq(fake_route("/blobs/{sha256}")->scope, CT_SCOPE_READ);

	for (size_t i = 0; i <= CT_DIGEST_HEX_CHARS; i++)
		upper[i] = (char)(hex[i] >= 'a' ? hex[i] - 'a' + 'A' : hex[i]);
	expect("/blobs/{sha256}", upper, NULL, 404, NULL, "not_found: a blob is named by");
	expect("/blobs/{sha256}", hex + 1, NULL, 404, NULL, "not_found: a blob is named by");
	expect("/blobs/{sha256}", "", NULL, 404, NULL, "not_found: a blob is named by");
	digest.bytes[0] ^= 1;
	expect("/blobs/{sha256}", hex_of(&digest), NULL, 404, NULL, "not_found: no image");
}

Test(delivery, blob_is_hidden_until_an_image_is_ready)
{
	struct ct_digest digest = put_bytes(CT_BLOB_ORIGINAL, "photo");
	insert_image(1, &digest, "image/jpeg", CT_IMAGE_PENDING, 1000);
	insert_image(2, &digest, "image/jpeg", CT_IMAGE_FAILED, 1000);
	expect("/blobs/{sha256}", hex_of(&digest), NULL, 404, NULL, "not_found: no image");
	expect("/i/{id}", id(1), NULL, 404, NULL, "not_found: there is no image");
	expect("/i/{id}/original", id(2), NULL, 404, NULL, "not_found: there is no image");
	insert_image(3, &digest, "image/jpeg", CT_IMAGE_READY, 1000);
	expect("/blobs/{sha256}", hex_of(&digest), NULL, 200, "fwd=miss; stored", "photo");
}

Test(delivery, shared_blob_stays_until_the_last_image_goes)
{
	struct ct_digest digest = insert_photo(1);
	(void)insert_photo(2);
	expect("/blobs/{sha256}", hex_of(&digest), NULL, 200, "fwd=miss; stored", "photo");
	expect("/i/{id}/original", id(1), NULL, 200, "fwd=miss; stored", "photo");
	expect("/i/{id}/original", id(2), NULL, 200, "fwd=miss; stored", "photo");
	delete_image(1, false);
	expect("/i/{id}/original", id(1), NULL, 404, NULL, "not_found: there is no image");
	expect("/i/{id}/original", id(2), NULL, 200, "hit", "photo");
	expect("/blobs/{sha256}", hex_of(&digest), NULL, 200, "hit", "photo");
	delete_image(2, true);
	expect("/i/{id}/original", id(2), NULL, 404, NULL, "not_found: there is no image");
	expect("/blobs/{sha256}", hex_of(&digest), NULL, 404, NULL, "not_found: no image");
}

Test(delivery, original)
{
	(void)insert_photo(1);
	expect("/i/{id}/original", id(1), NULL, 200, "fwd=miss; stored", "photo");
	expect_header(
	    "/i/{id}/original", id(1), "Content-Disposition", "inline; filename*=UTF-8''a.jpg");
	expect_header("/i/{id}/original", id(1), "Cache-Control", "private, no-cache");
	expect("/i/{id}/original", "..", NULL, 404, NULL, "not_found: there is no such image");
	cr_expect_eq(fake_route("/i/{id}/original")->scope, CT_SCOPE_READ);
	cr_expect_eq(fake_route("/i/{id}")->scope, 0u);
}

Test(public, scopes_and_cache_control)
{
	start(true);
	struct ct_digest digest = insert_photo(1);
	expect_header("/blobs/{sha256}", hex_of(&digest), "Cache-Control",
	    "public, max-age=31536000, immutable");
	expect_header("/i/{id}/original", id(1), "Cache-Control", "public, max-age=3600");
	cr_expect_eq(fake_route("/blobs/{sha256}")->scope, 0u);
	cr_expect_eq(fake_route("/i/{id}/original")->scope, 0u);
	teardown();
}

Test(delivery, any_file_is_an_attachment)
{
	struct ct_digest digest = put_bytes(CT_BLOB_ORIGINAL, "<script>");
	insert_image(1, &digest, "text/html", CT_IMAGE_READY, 1000);
	expect_header("/blobs/{sha256}", hex_of(&digest), "Content-Disposition", "attachment");
	expect_header(
	    "/i/{id}/original", id(1), "Content-Disposition", "attachment; filename*=UTF-8''a.jpg");
	expect(
	    "/i/{id}", id(1), NULL, 404, NULL, "not_found: a file of type text/html has no prints");
}

Test(delivery, damaged_original_is_never_served)
{
	struct ct_digest digest = insert_photo(1);
	damage("objects", &digest, 2);
	expect("/blobs/{sha256}", hex_of(&digest), NULL, 500, NULL, "digest_mismatch: ");
	expect("/i/{id}/original", id(1), NULL, 500, NULL, "digest_mismatch: ");
	expect("/blobs/{sha256}", hex_of(&digest), NULL, 500, NULL, "digest_mismatch: ");
}

/* It is not as if it had never been there. */
Test(delivery, lost_original_is_a_fault)
{
	struct ct_digest digest = insert_photo(1);
	char path[256];
	path_of("objects", &digest, path);
	cr_assert_eq(unlink(path), 0);
	expect("/blobs/{sha256}", hex_of(&digest), NULL, 500, NULL,
	    "content_lost: the stored original is missing or was damaged and put aside; uploading "
	    "the same file again heals this");
	expect("/i/{id}/original", id(1), NULL, 500, NULL,
	    "content_lost: the stored original is missing or was damaged and put aside; uploading "
	    "the same file again heals this");
}

/* Above CT_CACHE_MEMORY_MAX: it stays in its file, and is looked at again whenever it is sent. */
Test(delivery, large_original)
{
	size_t size = CT_CACHE_MEMORY_MAX + 1;
	char *text = malloc(size + 1);
	cr_assert_not_null(text);
	memset(text, 'x', size);
	text[size] = '\0';
	struct ct_digest digest = put_bytes(CT_BLOB_ORIGINAL, text);
	insert_image(1, &digest, "image/jpeg", CT_IMAGE_READY, 1000);
	expect("/i/{id}/original", id(1), NULL, 200, "fwd=miss; stored", text);
	expect("/i/{id}/original", id(1), NULL, 200, "hit", text);
	cr_expect_eq(fake_live_bytes(), 0u);
	cr_expect_eq(fake_live_shared(), 1u);
	damage("objects", &digest, (off_t)size - 1);
	expect_cut("/i/{id}/original", id(1), size);
	expect_cut("/i/{id}/original", id(1), size); /* it was dropped, and is not kept again */
	expect_cut("/blobs/{sha256}", hex_of(&digest), size);
	free(text);
}

/* ---- prints ---- */

Test(delivery, print)
{
	struct ct_digest source = insert_photo(1);
	char etag[80];
	(void)insert_print(&source, 320);
	struct ct_digest digest = insert_print(&source, 640);
	expect("/i/{id}", id(1), "320", 200, "fwd=miss; stored", "print320");
	expect("/i/{id}", id(1), "640", 200, "fwd=miss; stored", "print640");
	expect("/i/{id}", id(1), "1280", 200, "fwd=miss; stored", "print640");
	expect("/i/{id}", id(1), NULL, 200, "fwd=miss; stored", "print640");
	expect("/i/{id}", id(1), NULL, 200, "hit", "print640");
	expect("/i/{id}", id(1), "320", 200, "hit", "print320");
	(void)snprintf(etag, sizeof(etag), "\"%s\"", hex_of(&digest));
	expect_header("/i/{id}", id(1), "ETag", etag);
	expect_header("/i/{id}", id(1), "Content-Type", "image/webp");
	expect_header("/i/{id}", id(1), "Content-Disposition", "");
	expect_header("/i/{id}", id(1), "Cache-Control",
	    "public, max-age=3600, stale-while-revalidate=86400");
	delete_image(1, true);
	expect("/i/{id}", id(1), "320", 404, NULL, "not_found: there is no image");
	expect("/i/{id}", id(1), NULL, 404, NULL, "not_found: there is no image");
	cr_expect_eq(process.calls, 0);
}

Test(delivery, wrong_widths)
{
	static const char *const widths[] = { "", "0", "1", "319", "-320", "320px", "3 20",
		"99999999999999999999" };
	struct ct_digest source = insert_photo(1);
	(void)insert_print(&source, 320);
	for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++)
		expect("/i/{id}", id(1), widths[i], 400, NULL,
		    "invalid_parameter: w may be 320, 640 or 1280");
	expect("/i/{id}", "x", "320", 404, NULL, "not_found: there is no such image");
	expect("/i/{id}", id(2), "320", 404, NULL, "not_found: there is no image");
}

/* The list of an image's prints names it. */
Test(delivery, own_width_of_a_narrow_image)
{
	struct ct_digest source = insert_photo(1);
	(void)insert_print(&source, 320);
	(void)insert_print(&source, 500);
	expect("/i/{id}", id(1), "500", 200, "fwd=miss; stored", "print500");
	expect("/i/{id}", id(1), "640", 200, "fwd=miss; stored", "print500");
	expect("/i/{id}", id(1), "499", 400, NULL, "invalid_parameter: w may be 320, 640 or 1280");
	expect("/i/{id}", id(1), "501", 200, "fwd=miss; stored", "print500");
	for (int i = 0; i < 2; i++) /* not kept: there are endless numbers */
		expect("/i/{id}", id(1), "5000", 200, "fwd=miss", "print500");
	cr_expect_eq(process.calls, 0);
}

Test(delivery, lost_print_is_made_again)
{
	struct ct_digest source = insert_photo(1);
	char path[256];
	struct ct_digest small = insert_print(&source, 320), large = insert_print(&source, 640);
	path_of("prints", &small, path);
	cr_assert_eq(unlink(path), 0);
	expect("/i/{id}", id(1), "320", 200, "fwd=miss; stored", "print320");
	cr_expect_eq(process.calls, 1);
	cr_expect(has_bytes(CT_BLOB_PRINT, &small));
	damage("prints", &large, 0);
	process.makes_nothing = true; /* the damage stays */
	expect("/i/{id}", id(1), "640", 500, NULL,
	    "digest_mismatch: the print is lost and could not be made again");
	cr_expect_eq(process.calls, 2);
	process.makes_nothing = false;
	cr_assert_eq(ct_blob_remove(store, CT_BLOB_PRINT, &large), 0);
	expect("/i/{id}", id(1), "640", 200, "fwd=miss; stored", "print640");
	cr_expect_eq(process.calls, 3);
}

Test(delivery, image_without_rows_gets_its_prints)
{
	(void)insert_photo(1);
	expect("/i/{id}", id(1), "77", 400, NULL, "invalid_parameter: w may be 320, 640 or 1280");
	cr_expect_eq(process.calls, 1);
	expect("/i/{id}", id(1), NULL, 200, "fwd=miss; stored", "print640");
	cr_expect_eq(process.calls, 1);
}

/* What the decoder says of it now is no fault of who asks. */
Test(delivery, failed_remake)
{
	static const struct {
		int error, status;
		const char *body;
	} cases[] = {
		{ CT_ERROR_WORKER_CRASHED, 500,
		    "internal: the print is lost and could not be made again: the image crashed" },
		{ CT_ERROR_UNDECODABLE_IMAGE, 500, "internal: the print is lost" },
		{ CT_ERROR_NOT_FOUND, 500, "internal: the print is lost" },
		{ CT_ERROR_DIGEST_MISMATCH, 500, "digest_mismatch: the print is lost" },
		{ CT_ERROR_SHUTTING_DOWN, 503, "shutting_down: " },
		{ CT_ERROR_INSUFFICIENT_SPACE, 507, "insufficient_space: the print is lost" },
		{ -EIO, 500, "internal: the print is lost" },
	};
	(void)insert_photo(1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		process.error = cases[i].error;
		expect("/i/{id}", id(1), NULL, cases[i].status, NULL, cases[i].body);
		cr_expect_eq(process.calls, (int)i + 1);
	}
}

Test(delivery, deleted_while_its_prints_are_made)
{
	(void)insert_photo(1);
	process.error = CT_ERROR_NOT_FOUND;
	process.deletes_image = 1;
	expect("/i/{id}", id(1), NULL, 404, NULL, "not_found: there is no image");
	/* The prints were just made when it was deleted: served once, not kept. */
	(void)insert_photo(2);
	process.error = 0;
	process.deletes_image = 2;
	expect("/i/{id}", id(2), NULL, 200, "fwd=miss", "print640");
	expect("/i/{id}", id(2), NULL, 404, NULL, "not_found: there is no image");
	cr_expect_eq(process.calls, 2);
}
