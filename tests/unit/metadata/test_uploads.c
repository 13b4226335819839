#include "support.h"
#include "metadata/uploads.h"

#include <errno.h>
#include <string.h>

static void check_equal(const struct ct_upload_row *a, const struct ct_upload_row *b)
{
	cr_expect_str_eq(a->id, b->id);
	cr_expect_eq(a->state, b->state);
	cr_expect_eq(a->length_bytes, b->length_bytes);
	cr_expect_eq(a->at.offset, b->at.offset);
	cr_expect_eq(memcmp(a->at.hash_state, b->at.hash_state, CT_HASH_STATE_BYTES), 0);
	cr_expect_str_eq(a->type, b->type);
	cr_expect_str_eq(a->filename, b->filename);
	cr_expect_str_eq(a->metadata, b->metadata);
	cr_expect_str_eq(a->image_id, b->image_id);
	cr_expect_str_eq(a->job_id, b->job_id);
	cr_expect_eq(a->refusal, b->refusal);
	cr_expect_str_eq(a->refusal_detail, b->refusal_detail);
	cr_expect_str_eq(a->key_id, b->key_id);
	cr_expect_eq(a->created_at, b->created_at);
	cr_expect_eq(a->updated_at, b->updated_at);
	cr_expect_eq(a->expires_at, b->expires_at);
	cr_expect_str_eq(a->owner, b->owner);
	cr_expect_eq(a->lease_until, b->lease_until);
	cr_expect_eq(a->epoch, b->epoch);
	cr_expect_eq(a->has_repr_digest, b->has_repr_digest);
	cr_expect(ct_digest_equal(&a->repr_digest, &b->repr_digest));
	cr_expect_eq(a->awaits_end, b->awaits_end);
	cr_expect_eq(a->kind, b->kind);
	cr_expect_str_eq(a->concat, b->concat);
}

static struct ct_upload_row make_full(void)
{
	struct ct_upload_row row = {
		.id = "0123456789abcdef0123456789abcdef",
		.state = CT_UPLOAD_REFUSED,
		.length_bytes = 1,
		.type = "image/png",
		.filename = "\xc3\xa4 'x'.png",
		.image_id = "1123456789abcdef0123456789abcdef",
		.job_id = "2123456789abcdef0123456789abcdef",
		.refusal = CT_ERROR_TOO_LARGE,
		.refusal_detail = "detail",
		.key_id = "abcdefgh",
		.created_at = 2,
		.updated_at = 3,
		.expires_at = 4,
		.owner = "node",
		.lease_until = 5,
		.epoch = 6,
		.has_repr_digest = true,
		.repr_digest = { { 1, 2, 3 } },
		.awaits_end = true,
		.kind = CT_UPLOAD_FINAL,
	};
	row.at.offset = UINT64_C(1) << 40;
	memset(row.at.hash_state, 0xff, 50);
	memset(row.metadata, 'm', CT_UPLOAD_METADATA_MAX);
	memset(row.concat, 'c', CT_UPLOAD_CONCAT_MAX);
	return row;
}

RowsTest(metadata_uploads, insert_and_get_keep_every_field)
{
	const struct ct_upload_row row = make_full();
	struct ct_upload_row got;
	cr_assert_eq(ct_upload_insert(fixture.view, &row), 0);
	cr_assert_eq(ct_upload_get(fixture.view, row.id, &got), 0);
	check_equal(&got, &row);
	cr_expect_eq(ct_upload_insert(fixture.view, &row), -EEXIST);
	cr_expect_eq(ct_upload_get(fixture.view, "none", &got), CT_ERROR_NOT_FOUND);
}

RowsTest(metadata_uploads, unknown_length_is_kept)
{
	struct ct_upload_row row = make_upload(1, 0);
	row.length_bytes = CT_BLOB_LENGTH_UNKNOWN;
	struct ct_upload_row got;
	cr_assert_eq(ct_upload_insert(fixture.view, &row), 0);
	cr_assert_eq(ct_upload_get(fixture.view, row.id, &got), 0);
	cr_expect_eq(got.length_bytes, CT_BLOB_LENGTH_UNKNOWN);
}

RowsTest(metadata_uploads, claim_raises_the_epoch_and_fences_the_one_before)
{
	struct ct_upload_row row = make_upload(1, 0);
	int64_t first;
	int64_t second;
	cr_assert_eq(ct_upload_insert(fixture.view, &row), 0);
	cr_assert_eq(ct_upload_claim(fixture.view, row.id, "a", 1000, &first), 0);
	cr_assert_eq(ct_upload_claim(fixture.view, row.id, "b", 2000, &second), 0);
	cr_expect_eq(first, 1);
	cr_expect_eq(second, 2);

	row.at.offset = 77;
	row.epoch = first;
	cr_expect_eq(ct_upload_update(fixture.view, &row), CT_ERROR_LEASE_LOST);
	row.epoch = second;
	cr_expect_eq(ct_upload_update(fixture.view, &row), 0);
	struct ct_upload_row got;
	cr_assert_eq(ct_upload_get(fixture.view, row.id, &got), 0);
	cr_expect_eq(got.at.offset, 77);
	cr_expect_str_eq(got.owner, "b");
	cr_expect_eq(got.lease_until, 2000);
}

RowsTest(metadata_uploads, update_writes_its_fields_and_no_others)
{
	struct ct_upload_row row = make_upload(1, 0);
	cr_assert_eq(ct_upload_insert(fixture.view, &row), 0);
	struct ct_upload_row change = make_full();
	memcpy(change.id, row.id, sizeof(row.id));
	change.epoch = 0;
	cr_assert_eq(ct_upload_update(fixture.view, &change), 0);

	struct ct_upload_row got;
	cr_assert_eq(ct_upload_get(fixture.view, row.id, &got), 0);
	memcpy(change.filename, row.filename, sizeof(row.filename));
	memcpy(change.metadata, row.metadata, sizeof(row.metadata));
	memcpy(change.key_id, row.key_id, sizeof(row.key_id));
	memcpy(change.concat, row.concat, sizeof(row.concat));
	change.kind = row.kind;
	memcpy(change.owner, row.owner, sizeof(row.owner));
	change.created_at = row.created_at;
	change.lease_until = row.lease_until;
	change.has_repr_digest = row.has_repr_digest;
	change.repr_digest = row.repr_digest;
	check_equal(&got, &change);
}

RowsTest(metadata_uploads, claim_of_an_ended_or_unknown_upload_fails)
{
	struct ct_upload_row row = make_upload(1, 0);
	int64_t epoch = -1;
	cr_expect_eq(ct_upload_claim(fixture.view, row.id, "a", 1, &epoch), CT_ERROR_NOT_FOUND);
	row.state = CT_UPLOAD_DONE;
	cr_assert_eq(ct_upload_insert(fixture.view, &row), 0);
	cr_expect_eq(ct_upload_claim(fixture.view, row.id, "a", 1, &epoch), CT_ERROR_GONE);
	cr_expect_eq(epoch, -1);
}

RowsTest(metadata_uploads, update_of_an_unknown_upload_is_a_lost_lease)
{
	const struct ct_upload_row row = make_upload(1, 0);
	cr_expect_eq(ct_upload_update(fixture.view, &row), CT_ERROR_LEASE_LOST);
}

RowsTest(metadata_uploads, expired_ones_are_listed_oldest_first)
{
	const int64_t expires_at[] = { 30, 10, 0, 20, 99 };
	for (int i = 0; i < 5; i++) {
		const struct ct_upload_row row = make_upload(i, expires_at[i]);
		cr_assert_eq(ct_upload_insert(fixture.view, &row), 0);
	}
	struct ct_upload_row ended = make_upload(9, 5);
	ended.state = CT_UPLOAD_DONE;
	cr_assert_eq(ct_upload_insert(fixture.view, &ended), 0);

	struct ct_upload_row rows[8];
	cr_assert_eq(ct_upload_list_expired(fixture.view, 30, rows, 8), 3);
	cr_expect_eq(rows[0].expires_at, 10);
	cr_expect_eq(rows[1].expires_at, 20);
	cr_expect_eq(rows[2].expires_at, 30);
	cr_expect_eq(ct_upload_list_expired(fixture.view, 30, rows, 2), 2);
	cr_expect_eq(ct_upload_list_expired(fixture.view, 9, rows, 8), 0);
}

RowsTest(metadata_uploads, what_a_dead_server_was_finishing_is_listed)
{
	struct ct_upload_row row = make_upload(1, 0);
	cr_assert_eq(ct_upload_insert(fixture.view, &row), 0);
	row = make_upload(2, 0);
	row.state = CT_UPLOAD_FINISHING;
	cr_assert_eq(ct_upload_insert(fixture.view, &row), 0);
	struct ct_upload_row rows[4];
	cr_assert_eq(ct_upload_list_finishing(fixture.view, 100, rows, 4), 1);
	cr_expect_str_eq(rows[0].id, row.id);
	cr_expect_eq(ct_upload_list_finishing(fixture.view, 99, rows, 4), 0);
}

RowsTest(metadata_uploads, purge_forgets_ended_ones_only)
{
	for (int i = 0; i < CT_UPLOAD_STATE_COUNT; i++) {
		struct ct_upload_row row = make_upload(i, 0);
		row.state = (enum ct_upload_state)i;
		cr_assert_eq(ct_upload_insert(fixture.view, &row), 0);
	}
	cr_expect_eq(ct_upload_purge(fixture.view, 100, 10), 0);
	cr_expect_eq(ct_upload_purge(fixture.view, 101, 3), 3);
	cr_expect_eq(ct_upload_purge(fixture.view, 101, 3), 1);
	char id[CT_ID_CHARS + 1];
	struct ct_upload_row got;
	cr_expect_eq(ct_upload_get(fixture.view, id_of(CT_UPLOAD_RECEIVING, id), &got), 0);
	cr_expect_eq(ct_upload_get(fixture.view, id_of(CT_UPLOAD_FINISHING, id), &got), 0);
	cr_expect_eq(
	    ct_upload_get(fixture.view, id_of(CT_UPLOAD_DONE, id), &got), CT_ERROR_NOT_FOUND);
}

RowsTest(metadata_uploads, states_have_names)
{
	cr_expect_str_eq(ct_upload_state_name(CT_UPLOAD_RECEIVING), "receiving");
	cr_expect_str_eq(ct_upload_state_name(CT_UPLOAD_CANCELED), "canceled");
}

static struct ct_upload_row make_kind(int number, enum ct_upload_kind kind, int64_t expires_at)
{
	struct ct_upload_row row = make_upload(number, expires_at);

	row.kind = kind;
	cr_assert_eq(ct_upload_insert(fixture.view, &row), 0);
	return row;
}

RowsTest(metadata_uploads, those_that_wait_are_listed_by_id)
{
	struct ct_upload_row rows[4];
	struct ct_upload_row first = make_kind(1, CT_UPLOAD_FINAL, 10);
	(void)make_kind(2, CT_UPLOAD_PARTIAL, 10);
	(void)make_kind(3, CT_UPLOAD_PLAIN, 10);
	struct ct_upload_row last = make_kind(4, CT_UPLOAD_FINAL, 10);
	struct ct_upload_row done = make_kind(5, CT_UPLOAD_FINAL, 10);

	done.state = CT_UPLOAD_DONE;
	cr_assert_eq(ct_upload_update(fixture.view, &done), 0);
	cr_assert_eq(ct_upload_list_waiting(fixture.view, "", rows, 4), 2);
	cr_expect_str_eq(rows[0].id, first.id);
	cr_expect_str_eq(rows[1].id, last.id);
	cr_assert_eq(ct_upload_list_waiting(fixture.view, first.id, rows, 4), 1);
	cr_expect_str_eq(rows[0].id, last.id);
	cr_expect_eq(ct_upload_list_waiting(fixture.view, last.id, rows, 4), 0);
	cr_expect_eq(ct_upload_list_waiting(fixture.view, "", rows, 1), 1);
}

static int64_t expiry_of(const struct ct_upload_row *row)
{
	struct ct_upload_row got;

	cr_assert_eq(ct_upload_get(fixture.view, row->id, &got), 0);
	return got.expires_at;
}

RowsTest(metadata_uploads, only_parts_are_hastened_and_never_put_off)
{
	struct ct_upload_row part = make_kind(1, CT_UPLOAD_PARTIAL, 100);
	struct ct_upload_row plain = make_kind(2, CT_UPLOAD_PLAIN, 100);
	struct ct_upload_row ended = make_kind(3, CT_UPLOAD_PARTIAL, 100);

	ended.state = CT_UPLOAD_CANCELED;
	cr_assert_eq(ct_upload_update(fixture.view, &ended), 0);
	cr_expect_eq(ct_upload_hasten(fixture.view, part.id, 200), 0);
	cr_expect_eq(expiry_of(&part), 100);
	cr_expect_eq(ct_upload_hasten(fixture.view, part.id, 50), 0);
	cr_expect_eq(expiry_of(&part), 50);
	cr_expect_eq(ct_upload_hasten(fixture.view, plain.id, 50), 0);
	cr_expect_eq(expiry_of(&plain), 100);
	cr_expect_eq(ct_upload_hasten(fixture.view, ended.id, 50), 0);
	cr_expect_eq(expiry_of(&ended), 100);
}
