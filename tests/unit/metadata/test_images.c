#include "support.h"
#include "metadata/blobs.h"
#include "metadata/images.h"
#include "metadata/prints.h"

#include <errno.h>
#include <string.h>

static void insert_image(int number, enum ct_image_state state, int blob, int64_t at)
{
	const struct ct_image_row row = make_image(number, state, blob, at);
	cr_assert_eq(ct_image_insert(fixture.view, &row), 0);
}

RowsTest(metadata_images, insert_and_get_keep_every_field)
{
	insert_blob(fixture.view, 1, 10);
	struct ct_image_row row = {
		.id = "0123456789abcdef0123456789abcdef",
		.state = CT_IMAGE_FAILED,
		.digest = digest_of(1),
		.filename = "x.png",
		.width = 1,
		.height = 2,
		.frames = 3,
		.orientation = 4,
		.blurhash = "LEHV6nWB2yk8",
		.exif = "{\"a\":1}",
		.job_id = "2123456789abcdef0123456789abcdef",
		.key_id = "abcdefgh",
		.created_at = 5,
	};
	struct ct_image_row got;
	cr_assert_eq(ct_image_insert(fixture.view, &row), 0);
	cr_assert_eq(ct_image_get(fixture.view, row.id, &got), 0);
	cr_expect_str_eq(got.id, row.id);
	cr_expect_eq(got.state, row.state);
	cr_expect(ct_digest_equal(&got.digest, &row.digest));
	cr_expect_eq(got.size_bytes, 1001);
	cr_expect_str_eq(got.type, "image/jpeg");
	cr_expect_str_eq(got.filename, row.filename);
	cr_expect_eq(got.width, 1);
	cr_expect_eq(got.height, 2);
	cr_expect_eq(got.frames, 3);
	cr_expect_eq(got.orientation, 4);
	cr_expect_str_eq(got.blurhash, row.blurhash);
	cr_expect_str_eq(got.exif, row.exif);
	cr_expect_str_eq(got.job_id, row.job_id);
	cr_expect_str_eq(got.key_id, row.key_id);
	cr_expect_eq(got.created_at, 5);
	cr_expect_eq(ct_image_insert(fixture.view, &row), -EEXIST);
}

RowsTest(metadata_images, an_image_needs_its_blob)
{
	const struct ct_image_row row = make_image(1, CT_IMAGE_PENDING, 1, 1);
	cr_expect_eq(ct_image_insert(fixture.view, &row), CT_ERROR_DATABASE);
}

RowsTest(metadata_images, update_writes_what_the_worker_found)
{
	insert_blob(fixture.view, 1, 10);
	insert_image(1, CT_IMAGE_PENDING, 1, 10);
	struct ct_image_row row = make_image(1, CT_IMAGE_READY, 1, 99);
	row.width = 640;
	row.height = 480;
	row.frames = 2;
	row.orientation = 6;
	memcpy(row.blurhash, "abc", 4);
	memcpy(row.exif, "{}", 3);
	memcpy(row.filename, "no.jpg", 7);
	cr_assert_eq(ct_image_update(fixture.view, &row), 0);
	struct ct_image_row got;
	cr_assert_eq(ct_image_get(fixture.view, row.id, &got), 0);
	cr_expect_eq(got.state, CT_IMAGE_READY);
	cr_expect_eq(got.width, 640);
	cr_expect_eq(got.height, 480);
	cr_expect_eq(got.frames, 2);
	cr_expect_eq(got.orientation, 6);
	cr_expect_str_eq(got.blurhash, "abc");
	cr_expect_str_eq(got.exif, "{}");
	cr_expect_str_eq(got.filename, "a.jpg");
	cr_expect_eq(got.created_at, 10);
}

RowsTest(metadata_images, a_deleted_image_is_not_found)
{
	insert_blob(fixture.view, 1, 10);
	const struct ct_image_row row = make_image(1, CT_IMAGE_PENDING, 1, 10);
	struct ct_image_row got;
	cr_assert_eq(ct_image_insert(fixture.view, &row), 0);
	cr_expect_eq(ct_image_delete(fixture.view, row.id), 0);
	cr_expect_eq(ct_image_delete(fixture.view, row.id), CT_ERROR_NOT_FOUND);
	cr_expect_eq(ct_image_update(fixture.view, &row), CT_ERROR_NOT_FOUND);
	cr_expect_eq(ct_image_get(fixture.view, row.id, &got), CT_ERROR_NOT_FOUND);
}

/* Times repeat, so that a page also breaks between images of one time. */
static void check_pages(enum ct_image_state state, int expected)
{
	struct ct_image_row rows[7];
	char before_id[CT_ID_CHARS + 1] = "";
	int64_t before_at = 0;
	int total = 0;
	int count;
	while ((count = ct_image_list(fixture.view, state, before_at, before_id, rows, 7)) > 0) {
		for (int i = 0; i < count; i++) {
			bool is_older =
			    rows[i].created_at < before_at ||
			    (rows[i].created_at == before_at && strcmp(rows[i].id, before_id) < 0);
			cr_expect(before_id[0] == '\0' || is_older);
			cr_expect_eq(rows[i].state, state);
			before_at = rows[i].created_at;
			memcpy(before_id, rows[i].id, sizeof(before_id));
		}
		total += count;
	}
	cr_expect_eq(count, 0);
	cr_expect_eq(total, expected);
	cr_expect_eq(fixture.view->sorts, 0);
}

RowsTest(metadata_images, pages_show_each_image_of_a_state_once_newest_first)
{
	insert_blob(fixture.view, 1, 10);
	for (int i = 0; i < 90; i++)
		insert_image(i, (enum ct_image_state)(i % 3), 1, 1000 + (i * 37 % 90) / 10);
	check_pages(CT_IMAGE_PENDING, 30);
	check_pages(CT_IMAGE_READY, 30);
	check_pages(CT_IMAGE_FAILED, 30);
}

RowsTest(metadata_images, images_of_a_blob)
{
	insert_blob(fixture.view, 1, 10);
	insert_blob(fixture.view, 2, 10);
	insert_image(1, CT_IMAGE_READY, 1, 1);
	insert_image(2, CT_IMAGE_READY, 2, 2);
	insert_image(3, CT_IMAGE_PENDING, 1, 3);
	const struct ct_digest digest = digest_of(1);
	struct ct_image_row rows[3];
	cr_expect_eq(ct_image_list_of_blob(fixture.view, &digest, rows, 3), 2);
	cr_expect_eq(ct_image_list_of_blob(fixture.view, &digest, rows, 1), 1);
}

RowsTest(metadata_images, states_have_names)
{
	cr_expect_str_eq(ct_image_state_name(CT_IMAGE_PENDING), "pending");
	cr_expect_str_eq(ct_image_state_name(CT_IMAGE_FAILED), "failed");
}

/* ---- blobs ---- */

RowsTest(metadata_images, a_blob_is_kept_with_every_field)
{
	insert_blob(fixture.view, 1, 10);
	const struct ct_digest digest = digest_of(1);
	const struct ct_digest other = digest_of(2);
	struct ct_blob_row got;
	cr_assert_eq(ct_blob_get(fixture.view, &digest, &got), 0);
	cr_expect(ct_digest_equal(&got.digest, &digest));
	cr_expect_eq(got.size_bytes, 1001);
	cr_expect_str_eq(got.type, "image/jpeg");
	cr_expect_not(got.deleting);
	cr_expect_eq(got.created_at, 10);
	cr_expect_eq(got.last_ref_at, 10);
	cr_expect_eq(ct_blob_get(fixture.view, &other, &got), CT_ERROR_NOT_FOUND);
}

RowsTest(metadata_images, a_blob_is_visible_while_a_ready_image_is_on_it)
{
	insert_blob(fixture.view, 1, 10);
	insert_image(1, CT_IMAGE_PENDING, 1, 1);
	const struct ct_digest digest = digest_of(1);
	bool visible = true;
	cr_assert_eq(ct_blob_is_visible(fixture.view, &digest, &visible), 0);
	cr_expect_not(visible);
	const struct ct_image_row row = make_image(1, CT_IMAGE_READY, 1, 1);
	cr_assert_eq(ct_image_update(fixture.view, &row), 0);
	cr_assert_eq(ct_blob_is_visible(fixture.view, &digest, &visible), 0);
	cr_expect(visible);
	cr_assert_eq(ct_image_delete(fixture.view, row.id), 0);
	cr_assert_eq(ct_blob_is_visible(fixture.view, &digest, &visible), 0);
	cr_expect_not(visible);
}

RowsTest(metadata_images, the_sweep_takes_only_old_blobs_without_images)
{
	insert_blob(fixture.view, 1, 10);
	insert_blob(fixture.view, 2, 10);
	insert_blob(fixture.view, 3, 50);
	insert_image(1, CT_IMAGE_READY, 1, 1);
	insert_image(2, CT_IMAGE_FAILED, 1, 1);
	struct ct_blob_row rows[4];
	const struct ct_digest one = digest_of(1);
	const struct ct_digest two = digest_of(2);
	cr_assert_eq(ct_blob_begin_sweep(fixture.view, 50, rows, 4), 1);
	cr_expect(ct_digest_equal(&rows[0].digest, &two));
	cr_expect(rows[0].deleting);
	cr_expect_eq(ct_blob_end_sweep(fixture.view, &one), CT_ERROR_NOT_FOUND);
	cr_expect_eq(ct_blob_end_sweep(fixture.view, &two), 0);
	cr_expect_eq(ct_blob_get(fixture.view, &two, &rows[0]), CT_ERROR_NOT_FOUND);

	char id[CT_ID_CHARS + 1];
	cr_assert_eq(ct_image_delete(fixture.view, id_of(1, id)), 0);
	cr_expect_eq(ct_blob_begin_sweep(fixture.view, 50, rows, 4), 0);
	cr_assert_eq(ct_image_delete(fixture.view, id_of(2, id)), 0);
	cr_expect_eq(ct_blob_begin_sweep(fixture.view, 51, rows, 4), 2);
}

RowsTest(metadata_images, an_interrupted_sweep_is_taken_up_again)
{
	insert_blob(fixture.view, 1, 10);
	struct ct_blob_row rows[1];
	cr_expect_eq(ct_blob_begin_sweep(fixture.view, 50, rows, 1), 1);
	cr_expect_eq(ct_blob_begin_sweep(fixture.view, 50, rows, 1), 1);
}

RowsTest(metadata_images, an_upload_of_the_same_bytes_revives_a_blob_in_the_sweep)
{
	insert_blob(fixture.view, 1, 10);
	struct ct_blob_row rows[1];
	const struct ct_digest digest = digest_of(1);
	cr_assert_eq(ct_blob_begin_sweep(fixture.view, 50, rows, 1), 1);
	insert_blob(fixture.view, 1, 60);
	cr_expect_eq(ct_blob_end_sweep(fixture.view, &digest), CT_ERROR_NOT_FOUND);
	cr_assert_eq(ct_blob_get(fixture.view, &digest, &rows[0]), 0);
	cr_expect_not(rows[0].deleting);
	cr_expect_eq(rows[0].created_at, 10);
	cr_expect_eq(rows[0].last_ref_at, 60);
}

/* ---- prints ---- */

static void put_print(int source, const char *operations, int width, int bytes)
{
	struct ct_print_row row = {
		.source = digest_of(source),
		.digest = digest_of(bytes),
		.size_bytes = 7,
		.width = width,
		.height = width / 2,
		.type = "image/webp",
		.created_at = 9,
	};
	memcpy(row.operations, operations, strlen(operations) + 1);
	cr_assert_eq(ct_print_put(fixture.view, &row), 0);
}

RowsTest(metadata_images, a_print_is_kept_with_every_field_and_replaced)
{
	put_print(1, "w=320", 320, 100);
	put_print(1, "w=320", 321, 101);
	const struct ct_digest source = digest_of(1);
	const struct ct_digest bytes = digest_of(101);
	struct ct_print_row got;
	cr_assert_eq(ct_print_get(fixture.view, &source, "w=320", &got), 0);
	cr_expect(ct_digest_equal(&got.source, &source));
	cr_expect_str_eq(got.operations, "w=320");
	cr_expect(ct_digest_equal(&got.digest, &bytes));
	cr_expect_eq(got.size_bytes, 7);
	cr_expect_eq(got.width, 321);
	cr_expect_eq(got.height, 160);
	cr_expect_str_eq(got.type, "image/webp");
	cr_expect_eq(got.created_at, 9);
	cr_expect_eq(ct_print_get(fixture.view, &source, "w=1", &got), CT_ERROR_NOT_FOUND);
}

RowsTest(metadata_images, prints_are_listed_by_width)
{
	put_print(1, "w=640", 640, 101);
	put_print(1, "w=1280", 1280, 102);
	put_print(1, "w=320", 320, 103);
	put_print(2, "w=320", 320, 104);
	const struct ct_digest source = digest_of(1);
	struct ct_print_row rows[4];
	cr_assert_eq(ct_print_list(fixture.view, &source, rows, 4), 3);
	cr_expect_eq(rows[0].width, 320);
	cr_expect_eq(rows[1].width, 640);
	cr_expect_eq(rows[2].width, 1280);
	cr_expect_eq(ct_print_list(fixture.view, &source, rows, 2), 2);
}

RowsTest(metadata_images, prints_go_with_the_last_image)
{
	const struct ct_digest source = digest_of(1);
	struct ct_print_row rows[2];
	char id[CT_ID_CHARS + 1];
	insert_blob(fixture.view, 1, 10);
	insert_image(1, CT_IMAGE_READY, 1, 1);
	insert_image(2, CT_IMAGE_READY, 1, 1);
	put_print(1, "a", 1, 101);
	put_print(1, "b", 2, 102);
	put_print(1, "c", 3, 103);
	cr_assert_eq(ct_image_delete(fixture.view, id_of(1, id)), 0);
	cr_expect_eq(ct_print_delete_orphans(fixture.view, &source, rows, 2), 0);
	cr_assert_eq(ct_image_delete(fixture.view, id_of(2, id)), 0);
	cr_expect_eq(ct_print_delete_orphans(fixture.view, &source, rows, 2), 2);
	cr_expect_eq(ct_print_delete_orphans(fixture.view, &source, rows, 2), 1);
	cr_expect_eq(ct_print_delete_orphans(fixture.view, &source, rows, 2), 0);
}

RowsTest(metadata_images, the_bytes_of_a_print_are_used_while_a_row_names_them)
{
	const struct ct_digest bytes = digest_of(100);
	bool used = true;
	cr_assert_eq(ct_print_is_used(fixture.view, &bytes, &used), 0);
	cr_expect_not(used);
	put_print(1, "a", 1, 100);
	cr_assert_eq(ct_print_is_used(fixture.view, &bytes, &used), 0);
	cr_expect(used);
}
