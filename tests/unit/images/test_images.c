/* The image resource on a real database and a store in memory, without the engine. */
#include "fake_http.h"
#include "support_images.h"
#include "base/thread_pool.h"
#include "calotype/error.h"
#include "images/images.h"
#include "metadata/api_keys.h"
#include "metadata/images.h"
#include "metadata/prints.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ct_images *images;
static struct ct_thread_pool *readers;

static struct {
	int count;
	char id[CT_ID_CHARS + 1];
	struct ct_digest digest;
	bool blob_hidden;
	bool prints_were_there;
	struct ct_digest print;
} told;

static void tell(void *arg, const char *image_id, const struct ct_digest *digest, bool blob_hidden)
{
	cr_assert_eq(arg, &told);
	struct ct_image_row row;
	told.count++;
	memcpy(told.id, image_id, sizeof(told.id));
	told.digest = *digest;
	told.blob_hidden = blob_hidden;
	told.prints_were_there = has_bytes(CT_BLOB_PRINT, &told.print);
	cr_expect_eq(find_image((int)strtol(image_id, NULL, 16), &row), CT_ERROR_NOT_FOUND);
}

static void start(const char *public_url)
{
	const struct ct_thread_pool_options pool_options = { "reader", 2, 8 };
	cr_assert_eq(ct_thread_pool_new(&pool_options, &readers), 0);
	const struct ct_images_options options = {
		.metadata = fixture.metadata,
		.store = store,
		.readers = readers,
		.public_url = public_url,
		.deleted = tell,
		.deleted_arg = &told,
	};
	cr_assert_eq(ct_images_new(&options, &images), 0);
	cr_assert_eq(ct_images_add_routes(images, fake_server()), 0);
}

static void stop(void)
{
	ct_thread_pool_free(readers);
	ct_images_free(images);
}

TestSuite(images, .init = images_setup, .fini = images_teardown, .timeout = 60);

static struct fake_answer call(const char *method, int number)
{
	char text[128];
	char id[CT_ID_CHARS + 1];
	(void)snprintf(text, sizeof(text), "%s /images/%s", method, id_of(number, id));
	return fake_call(text, NULL);
}

static int status_of(const char *method, int number)
{
	struct fake_answer answer = call(method, number);
	int status = answer.status;
	fake_answer_done(&answer);
	return status;
}

#define ID_1 "00000000000000000000000000000001"

static int fill(struct ct_metadata_view *view, void *arg)
{
	(void)arg;
	struct ct_image_row row;
	int r = ct_image_get(view, ID_1, &row);
	if (r < 0)
		return r;
	row.state = CT_IMAGE_READY;
	row.width = 4000;
	row.height = 3000;
	row.frames = 1;
	row.orientation = 6;
	memcpy(row.blurhash, "LKO2", 5);
	memcpy(row.exif, "{\"iso\":100}", 12);
	return ct_image_update(view, &row);
}

static void expect_text(const struct fake_answer *answer, const char *format, const char *hex)
{
	char expected[2048];
	char *text = ct_json_to_text(answer->json);
	cr_assert_not_null(text);
	(void)snprintf(expected, sizeof(expected), format, hex);
	cr_expect_str_eq(text, expected, "%s", text);
	free(text);
}

Test(images, ready_image_with_prints)
{
	char hex[CT_DIGEST_HEX_CHARS + 1];
	const struct ct_digest digest = put_bytes(CT_BLOB_ORIGINAL, "photo");
	start("https://photos.example/");
	insert_image(1, &digest, "image/jpeg", CT_IMAGE_PENDING, 1700000000123);
	(void)insert_print(&digest, 640);
	(void)insert_print(&digest, 320);
	write_database(fill, NULL);
	ct_digest_to_hex(&digest, hex);
	struct fake_answer answer = call("GET", 1);
	cr_expect_eq(answer.status, 200);
	expect_text(&answer,
	    "{\"id\":\"" ID_1 "\",\"state\":\"ready\",\"sha256\":\"%s\",\"size\":1234,"
	    "\"type\":\"image/jpeg\",\"filename\":\"a.jpg\",\"width\":4000,\"height\":3000,"
	    "\"frames\":1,\"orientation\":6,\"blurhash\":\"LKO2\","
	    "\"created_at\":\"2023-11-14T22:13:20.123Z\","
	    "\"url\":\"https://photos.example/i/" ID_1 "\","
	    "\"original\":\"https://photos.example/i/" ID_1 "/original\",\"prints\":["
	    "{\"w\":320,\"h\":160,\"type\":\"image/webp\",\"size\":8,"
	    "\"url\":\"https://photos.example/i/" ID_1 "?w=320\"},"
	    "{\"w\":640,\"h\":320,\"type\":\"image/webp\",\"size\":8,"
	    "\"url\":\"https://photos.example/i/" ID_1 "?w=640\"}],"
	    "\"exif\":{\"iso\":100}}",
	    hex);
	fake_answer_done(&answer);
	stop();
}

Test(images, failed_image_has_no_address)
{
	char hex[CT_DIGEST_HEX_CHARS + 1];
	const struct ct_digest digest = put_bytes(CT_BLOB_ORIGINAL, "photo");
	start(NULL);
	insert_image(1, &digest, "image/jpeg", CT_IMAGE_FAILED, 1700000000123);
	/* Of another, ready image of the same bytes. */
	insert_image(2, &digest, "image/jpeg", CT_IMAGE_READY, 1700000000123);
	(void)insert_print(&digest, 320);
	ct_digest_to_hex(&digest, hex);
	struct fake_answer answer = call("GET", 1);
	expect_text(&answer,
	    "{\"id\":\"" ID_1 "\",\"state\":\"failed\",\"sha256\":\"%s\",\"size\":1234,"
	    "\"type\":\"image/jpeg\",\"filename\":\"a.jpg\",\"width\":null,\"height\":null,"
	    "\"frames\":null,\"orientation\":null,\"blurhash\":null,"
	    "\"created_at\":\"2023-11-14T22:13:20.123Z\","
	    "\"url\":null,\"original\":null,\"prints\":[],\"exif\":null}",
	    hex);
	fake_answer_done(&answer);
	stop();
}

Test(images, file_without_prints_has_only_an_original)
{
	const struct ct_digest digest = put_bytes(CT_BLOB_ORIGINAL, "text");
	start(NULL);
	insert_image(1, &digest, "text/plain", CT_IMAGE_READY, 1);
	struct fake_answer answer = call("GET", 1);
	cr_expect_null(ct_json_get_text(answer.json, "url"));
	cr_expect_str_eq(ct_json_get_text(answer.json, "original"), "/i/" ID_1 "/original");
	fake_answer_done(&answer);
	stop();
}

/* The last digits of the ids, in order. */
static void list(const char *query, const char *expected, char ret_next[64])
{
	char text[256];
	char found[64] = "";
	(void)snprintf(text, sizeof(text), "GET /images%s", query);
	struct fake_answer answer = fake_call(text, NULL);
	cr_assert_eq(answer.status, 200, "%s", query);
	struct ct_json *items = ct_json_get(answer.json, "items");
	for (size_t i = 0; i < ct_json_length(items); i++) {
		struct ct_json *item = ct_json_at(items, i);
		(void)snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s",
		    ct_json_get_text(item, "id") + CT_ID_CHARS - 1);
		ct_json_free(item);
	}
	cr_expect_str_eq(found, expected, "%s: %s", query, found);
	const char *next = ct_json_get_text(answer.json, "next");
	(void)snprintf(ret_next, 64, "%s", next != NULL ? next : "");
	ct_json_free(items);
	fake_answer_done(&answer);
}

Test(images, list_by_pages)
{
	char next[64];
	char query[128];
	const struct ct_digest digest = put_bytes(CT_BLOB_ORIGINAL, "photo");
	start(NULL);
	for (int i = 1; i <= 5; i++)
		insert_image(i, &digest, "image/png", CT_IMAGE_READY, 100 + (i == 4 ? 3 : i));
	insert_image(6, &digest, "image/png", CT_IMAGE_PENDING, 200);
	insert_image(7, &digest, "image/png", CT_IMAGE_FAILED, 200);
	list("", "54321", next);
	cr_expect_str_eq(next, "");
	list("?limit=2", "54", next);
	(void)snprintf(query, sizeof(query), "?limit=2&cursor=%s", next);
	list(query, "32", next);
	(void)snprintf(query, sizeof(query), "?limit=2&cursor=%s", next);
	list(query, "1", next);
	list("?state=pending", "6", next);
	list("?state=failed", "7", next);
	struct fake_answer answer = fake_call("GET /images?state=queued", NULL);
	cr_expect_eq(answer.status, 400);
	fake_answer_done(&answer);
	stop();
}

Test(images, scopes)
{
	start(NULL);
	cr_expect_eq(fake_scope("GET /images"), CT_SCOPE_READ);
	cr_expect_eq(fake_scope("GET /images/x"), CT_SCOPE_READ);
	cr_expect_eq(fake_scope("DELETE /images/x"), CT_SCOPE_WRITE);
	stop();
}

/* ---- delete ---- */

Test(images, delete_of_the_last_image_removes_its_prints)
{
	struct ct_print_row row;
	const struct ct_digest digest = put_bytes(CT_BLOB_ORIGINAL, "photo");
	start(NULL);
	insert_image(1, &digest, "image/jpeg", CT_IMAGE_READY, 1);
	const struct ct_digest small = insert_print(&digest, 320);
	const struct ct_digest large = told.print = insert_print(&digest, 640);
	cr_expect_eq(status_of("DELETE", 1), 204);
	cr_expect_eq(told.count, 1);
	cr_expect_str_eq(told.id, ID_1);
	cr_expect(ct_digest_equal(&told.digest, &digest));
	cr_expect(told.blob_hidden);
	cr_expect(told.prints_were_there, "told before the files go");
	cr_expect_not(has_bytes(CT_BLOB_PRINT, &small));
	cr_expect_not(has_bytes(CT_BLOB_PRINT, &large));
	cr_expect(has_bytes(CT_BLOB_ORIGINAL, &digest), "is the sweeper's");
	cr_expect_eq(list_prints(&digest, &row, 1), 0);
	cr_expect_eq(count_events("image.deleted", 1), 1);
	cr_expect_eq(status_of("GET", 1), 404);
	cr_expect_eq(status_of("DELETE", 1), 404);
	cr_expect_eq(told.count, 1);
	cr_expect_eq(count_events("image.deleted", 1), 1);
	stop();
}

Test(images, shared_blob_and_its_prints_stay)
{
	const struct ct_digest digest = put_bytes(CT_BLOB_ORIGINAL, "photo");
	start(NULL);
	insert_image(1, &digest, "image/jpeg", CT_IMAGE_READY, 1);
	insert_image(2, &digest, "image/jpeg", CT_IMAGE_READY, 1);
	const struct ct_digest print = insert_print(&digest, 320);
	cr_expect_eq(status_of("DELETE", 1), 204);
	cr_expect_not(told.blob_hidden);
	cr_expect(has_bytes(CT_BLOB_PRINT, &print));
	cr_expect_eq(status_of("GET", 2), 200);
	cr_expect_eq(status_of("DELETE", 2), 204);
	cr_expect(told.blob_hidden);
	cr_expect_not(has_bytes(CT_BLOB_PRINT, &print));
	stop();
}

Test(images, blob_is_hidden_when_what_is_left_is_not_ready)
{
	const struct ct_digest digest = put_bytes(CT_BLOB_ORIGINAL, "photo");
	start(NULL);
	insert_image(1, &digest, "image/jpeg", CT_IMAGE_READY, 1);
	insert_image(2, &digest, "image/jpeg", CT_IMAGE_PENDING, 1);
	const struct ct_digest print = insert_print(&digest, 320);
	cr_expect_eq(status_of("DELETE", 1), 204);
	cr_expect(told.blob_hidden);
	cr_expect(has_bytes(CT_BLOB_PRINT, &print), "the pending one will want it");
	stop();
}

Test(images, print_with_the_same_bytes_as_another_stays)
{
	const struct ct_digest one = put_bytes(CT_BLOB_ORIGINAL, "photo");
	const struct ct_digest other = put_bytes(CT_BLOB_ORIGINAL, "other photo");
	start(NULL);
	insert_image(1, &one, "image/jpeg", CT_IMAGE_READY, 1);
	insert_image(2, &other, "image/jpeg", CT_IMAGE_READY, 1);
	const struct ct_digest print = insert_print(&one, 320);
	(void)insert_print(&other, 320);
	cr_expect_eq(status_of("DELETE", 1), 204);
	cr_expect(has_bytes(CT_BLOB_PRINT, &print));
	cr_expect_eq(status_of("DELETE", 2), 204);
	cr_expect_not(has_bytes(CT_BLOB_PRINT, &print));
	stop();
}

Test(images, more_prints_than_one_transaction_takes)
{
	struct ct_print_row row;
	struct ct_digest prints[80];
	const struct ct_digest digest = put_bytes(CT_BLOB_ORIGINAL, "photo");
	start(NULL);
	insert_image(1, &digest, "image/jpeg", CT_IMAGE_READY, 1);
	for (int i = 0; i < 80; i++)
		prints[i] = insert_print(&digest, 100 + i);
	struct fake_answer answer = call("GET", 1);
	struct ct_json *shown = ct_json_get(answer.json, "prints");
	cr_expect_eq(ct_json_length(shown), CT_IMAGE_PRINTS_MAX);
	ct_json_free(shown);
	fake_answer_done(&answer);
	cr_expect_eq(status_of("DELETE", 1), 204);
	cr_expect_eq(list_prints(&digest, &row, 1), 0);
	for (int i = 0; i < 80; i++)
		cr_expect_not(has_bytes(CT_BLOB_PRINT, &prints[i]));
	stop();
}

Test(images, delete_of_what_is_no_id)
{
	start(NULL);
	struct fake_answer answer = fake_call("DELETE /images/x", NULL);
	cr_expect_eq(answer.status, 404);
	fake_answer_done(&answer);
	answer = fake_call("GET /images/x", NULL);
	cr_expect_eq(answer.status, 404);
	fake_answer_done(&answer);
	stop();
}

static void insert_ended_job(enum ct_job_state state, const char *response, const char *error)
{
	struct ct_job_row row = make_job(1, "process_image");
	(void)id_of(1, row.image_id);
	row.state = state;
	row.response = response != NULL ? strdup(response) : NULL;
	row.error = error != NULL ? strdup(error) : NULL;
	insert_job(&row);
	ct_job_row_done(&row);
}

/* Its job told all about the image. */
Test(images, job_of_a_deleted_image_tells_no_more_than_that)
{
	const struct ct_digest digest = put_bytes(CT_BLOB_ORIGINAL, "photo");
	start(NULL);
	insert_image(1, &digest, "image/jpeg", CT_IMAGE_READY, 1);
	insert_ended_job(CT_JOB_SUCCEEDED, "{\"image\":{\"sha256\":\"secret\"}}", NULL);
	cr_expect_eq(status_of("DELETE", 1), 204);
	struct ct_job_row row = get_job(1);
	cr_expect_str_eq(row.response, "{\"image\":{\"id\":\"" ID_1 "\",\"state\":\"deleted\"}}");
	cr_expect_eq(row.version, 2, "a new ETag");
	cr_expect_eq(row.state, CT_JOB_SUCCEEDED);
	ct_job_row_done(&row);
	stop();
}

Test(images, failed_job_of_a_deleted_image_keeps_its_code)
{
	const struct ct_digest digest = put_bytes(CT_BLOB_ORIGINAL, "photo");
	start(NULL);
	insert_image(1, &digest, "image/jpeg", CT_IMAGE_FAILED, 1);
	insert_ended_job(CT_JOB_FAILED, NULL,
	    "{\"code\":\"too_many_pixels\",\"title\":\"title\",\"detail\":\"secret\"}");
	cr_expect_eq(status_of("DELETE", 1), 204);
	struct ct_job_row row = get_job(1);
	cr_expect_null(row.response);
	cr_expect_not_null(strstr(row.error, "\"code\":\"too_many_pixels\""));
	cr_expect_null(strstr(row.error, "secret"));
	cr_expect_eq(row.version, 2);
	ct_job_row_done(&row);
	stop();
}

/* It finds out when it ends, and is canceled then. */
Test(images, running_job_of_a_deleted_image_is_left_alone)
{
	const struct ct_digest digest = put_bytes(CT_BLOB_ORIGINAL, "photo");
	start(NULL);
	insert_image(1, &digest, "image/jpeg", CT_IMAGE_PENDING, 1);
	insert_ended_job(CT_JOB_RUNNING, NULL, NULL);
	cr_expect_eq(status_of("DELETE", 1), 204);
	struct ct_job_row row = get_job(1);
	cr_expect_eq(row.state, CT_JOB_RUNNING);
	cr_expect_eq(row.version, 1);
	ct_job_row_done(&row);
	stop();
}
