/* Digests of bodies and of wholes, and uploads that are done because the blob is there. */
#include "support.h"

#include "base/clock.h"
#include "base/hash.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include "metadata/images.h"
#include "metadata/uploads.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY ((uint64_t)64 << 20)
#define LENGTH ((size_t)300000)

static const struct ct_uploads_options plain = { 0 };
static struct fixture fixture;
static char *data;
static struct ct_digest digest;

static void set_up(void)
{
	fixture_open(&fixture, &plain, CAPACITY);
	data = make_png(LENGTH, 1);
	ct_hash_once(data, LENGTH, &digest);
}

static void tear_down(void)
{
	fixture_close(&fixture);
	free(data);
}

static struct ct_session_start start_of(bool may_adopt)
{
	return (struct ct_session_start){
		.length_bytes = LENGTH,
		.filename = "a.png",
		.repr_digest = &digest,
		.may_adopt = may_adopt,
	};
}

static void upload(char ret_id[CT_ID_CHARS + 1])
{
	struct ct_session *session = session_new(&fixture);

	cr_assert_eq(create(session, LENGTH), 0);
	memcpy(ret_id, ct_session_row(session)->id, CT_ID_CHARS + 1);
	cr_assert_eq(ct_session_append(session, data, LENGTH), 0);
	cr_assert_eq(finish(session), 0);
	end(&fixture, session);
}

struct change {
	char image_id[CT_ID_CHARS + 1];
	enum ct_image_state state;
};

static int run_change(struct ct_metadata_view *view, void *arg)
{
	const struct change *change = arg;
	struct ct_image_row row;

	int r = ct_image_get(view, change->image_id, &row);
	if (r < 0)
		return r;
	row.state = change->state;
	return ct_image_update(view, &row);
}

static void set_state(const char *upload_id, enum ct_image_state state)
{
	struct change change = { .state = state };
	struct ct_upload_row row = row_of(&fixture, upload_id);

	memcpy(change.image_id, row.image_id, sizeof(change.image_id));
	cr_assert_eq(ct_metadata_write(fixture.metadata, run_change, &change), 0);
}

Test(digests, the_whole_must_have_its_digest, .init = set_up, .fini = tear_down)
{
	struct ct_session_start start = start_of(false);
	char id[CT_ID_CHARS + 1];
	struct ct_digest found;

	struct ct_session *session = session_new(&fixture);
	cr_assert_eq(create_as(session, &start), 0);
	memcpy(id, ct_session_row(session)->id, sizeof(id));
	cr_assert_eq(ct_session_append(session, data, LENGTH), 0);
	cr_assert_eq(finish(session), 0);
	cr_assert_eq(ct_session_digest(session, &found), 0);
	cr_expect(ct_digest_equal(&found, &digest));
	end(&fixture, session);
	check_image(&fixture, id, data, LENGTH);

	/* Another digest, seen by another process than the one that was told. */
	digest.bytes[0] ^= 1;
	session = session_new(&fixture);
	cr_assert_eq(create_as(session, &start), 0);
	memcpy(id, ct_session_row(session)->id, sizeof(id));
	cr_assert_eq(ct_session_append(session, data, 1000), 0);
	end(&fixture, session);
	fixture_restart(&fixture);
	cr_assert_eq(
	    continue_to_end(&fixture, id, data, LENGTH, 1000), CT_ERROR_REPR_DIGEST_MISMATCH);
	struct ct_upload_row row = row_of(&fixture, id);
	cr_expect_eq(row.state, CT_UPLOAD_REFUSED);
	cr_expect_eq(row.refusal, CT_ERROR_REPR_DIGEST_MISMATCH);
	char text[CT_DIGEST_FIELD_CHARS + 1];
	ct_digest_to_field(&digest, text);
	cr_expect_not_null(strstr(row.refusal_detail, text));
	ct_digest_to_field(&found, text);
	cr_expect_not_null(strstr(row.refusal_detail, text));
	cr_expect_eq(count_images(&fixture), 1);
	cr_expect_eq(count_staging(&fixture), 0);
}

Test(digests, a_whole_upload_too, .init = set_up, .fini = tear_down)
{
	struct ct_session_start start = start_of(false);

	digest.bytes[31] ^= 0x80;
	struct ct_session *session = session_new(&fixture);
	cr_assert_eq(ct_session_begin_whole(session, &start), 0);
	cr_assert_eq(ct_session_append(session, data, LENGTH), 0);
	cr_assert_eq(finish(session), CT_ERROR_REPR_DIGEST_MISMATCH);
	end(&fixture, session);
	cr_expect_eq(count_images(&fixture), 0);
}

static enum ct_upload_state create_known(const struct ct_session_start *start)
{
	struct ct_session *session = session_new(&fixture);

	cr_assert_eq(create_as(session, start), 0);
	struct ct_upload_row row = *ct_session_row(session);
	end(&fixture, session);
	if (row.state == CT_UPLOAD_DONE) {
		check_image(&fixture, row.id, data, LENGTH);
		cr_expect_str_eq(row_of(&fixture, row.id).type, "image/png");
		cr_expect_str_eq(row_of(&fixture, row.id).filename, "a.png");
	}
	return row.state;
}

Test(digests, a_known_blob_needs_no_byte, .init = set_up, .fini = tear_down)
{
	struct ct_session_start start = start_of(true);
	char id[CT_ID_CHARS + 1];

	cr_expect_eq(create_known(&start), CT_UPLOAD_RECEIVING, "nothing is there");
	upload(id);
	cr_expect_eq(create_known(&start), CT_UPLOAD_RECEIVING, "it is pending");
	set_state(id, CT_IMAGE_FAILED);
	cr_expect_eq(create_known(&start), CT_UPLOAD_RECEIVING, "it has failed");
	set_state(id, CT_IMAGE_READY);
	cr_expect_eq(count_images(&fixture), 0);
	cr_expect_eq(create_known(&start), CT_UPLOAD_DONE);
	cr_expect_eq(count_images(&fixture), 1);
	start.length_bytes = LENGTH + 1;
	cr_expect_eq(create_known(&start), CT_UPLOAD_RECEIVING, "its length is another");
	start = start_of(false);
	cr_expect_eq(create_known(&start), CT_UPLOAD_RECEIVING, "who asks may not read");
	cr_expect_eq(count_images(&fixture), 1);
}

Test(digests, lost_bytes_are_asked_for, .init = set_up, .fini = tear_down)
{
	struct ct_session_start start = start_of(true);
	char id[CT_ID_CHARS + 1];

	upload(id);
	set_state(id, CT_IMAGE_READY);
	cr_assert_eq(ct_blob_remove(fixture.store, CT_BLOB_ORIGINAL, &digest), 0);
	cr_expect_eq(create_known(&start), CT_UPLOAD_RECEIVING);
}
