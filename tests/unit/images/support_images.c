#include "support_images.h"
#include "metadata/blobs.h"
#include "metadata/images.h"
#include "metadata/prints.h"
#include "metadata/sqlite_priv.h"
#include "calotype/blob_open.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct ct_blob_store *store;

void images_setup(void)
{
	database_setup();
	cr_assert_eq(ct_blob_store_open_memory(1 << 20, &store), 0);
}

void images_teardown(void)
{
	ct_blob_store_close(store);
	database_teardown();
}

struct ct_digest put_bytes(enum ct_blob_class class, const char *text)
{
	struct ct_blob_writer *writer = NULL;
	struct ct_blob_committed committed = { 0 };
	const struct ct_blob_writer_options options = {
		.class = class,
		.declared_bytes = strlen(text),
	};
	cr_assert_eq(ct_blob_writer_begin(store, &options, &writer), 0);
	cr_assert_eq(ct_blob_writer_append(writer, text, strlen(text)), 0);
	cr_assert_eq(ct_blob_writer_commit(writer, &committed), 0);
	ct_blob_writer_close(writer);
	return committed.digest;
}

bool has_bytes(enum ct_blob_class class, const struct ct_digest *digest)
{
	struct ct_blob_reader *reader = NULL;
	if (ct_blob_reader_open(store, class, digest, &reader) < 0)
		return false;
	bool good = ct_blob_reader_verify(reader) == 0;
	ct_blob_reader_close(reader);
	return good;
}

struct insertion {
	struct ct_blob_row blob;
	struct ct_image_row image;
	struct ct_print_row print;
};

static int run_insert_image(struct ct_metadata_view *view, void *arg)
{
	struct insertion *insertion = arg;
	int r = ct_blob_reference(view, &insertion->blob);
	return r < 0 ? r : ct_image_insert(view, &insertion->image);
}

void insert_image(int number, const struct ct_digest *digest, const char *type,
    enum ct_image_state state, int64_t created_at)
{
	struct insertion insertion = {
		.blob = { .digest = *digest, .size_bytes = 1234, .created_at = created_at },
		.image = { .state = state,
		    .digest = *digest,
		    .filename = "a.jpg",
		    .created_at = created_at },
	};
	(void)snprintf(insertion.blob.type, sizeof(insertion.blob.type), "%s", type);
	(void)id_of(number, insertion.image.id);
	(void)id_of(number, insertion.image.job_id);
	write_database(run_insert_image, &insertion);
}

static int run_put_print(struct ct_metadata_view *view, void *arg)
{
	return ct_print_put(view, arg);
}

struct ct_digest insert_print(const struct ct_digest *source, int width)
{
	char text[32];
	(void)snprintf(text, sizeof(text), "print%d", width);
	struct ct_print_row row = {
		.source = *source,
		.digest = put_bytes(CT_BLOB_PRINT, text),
		.size_bytes = strlen(text),
		.width = width,
		.height = width / 2,
		.type = "image/webp",
		.created_at = 1,
	};
	(void)snprintf(row.operations, sizeof(row.operations), "w=%d&fm=webp", width);
	write_database(run_put_print, &row);
	return row.digest;
}

int find_image(int number, struct ct_image_row *ret_row)
{
	char id[CT_ID_CHARS + 1];
	struct ct_metadata_view *view;
	cr_assert_eq(ct_metadata_borrow(fixture.metadata, &view), 0);
	int r = ct_image_get(view, id_of(number, id), ret_row);
	ct_metadata_give_back(fixture.metadata, view);
	return r;
}

int list_prints(const struct ct_digest *source, struct ct_print_row *ret_rows, int capacity)
{
	struct ct_metadata_view *view;
	cr_assert_eq(ct_metadata_borrow(fixture.metadata, &view), 0);
	int count = ct_print_list(view, source, ret_rows, capacity);
	ct_metadata_give_back(fixture.metadata, view);
	cr_assert_geq(count, 0);
	return count;
}

int count_events(const char *type, int image)
{
	static const char sql[] = "SELECT count(*) FROM event WHERE type = ? AND image_id = ? "
				  "AND json_extract(data, '$.image') = image_id";
	char id[CT_ID_CHARS + 1];
	struct ct_metadata_view *view;
	cr_assert_eq(ct_metadata_borrow(fixture.metadata, &view), 0);
	struct ct_query query = ct_query_begin(view, sql);
	ct_query_bind_text(&query, type);
	ct_query_bind_text(&query, id_of(image, id));
	cr_assert_eq(ct_query_one(&query), 0);
	int count = ct_query_int(&query);
	ct_query_done(&query);
	ct_metadata_give_back(fixture.metadata, view);
	return count;
}
