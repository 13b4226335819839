/* Uploads that begin without a length, and learn it once. */
#include "support.h"

#include "calotype/error.h"

#include <criterion/criterion.h>
#include <string.h>

#define CAPACITY ((uint64_t)64 << 20)
#define LENGTH ((size_t)300000)
#define HALF ((size_t)150000)

static const struct ct_uploads_options plain = { 0 };

static int tell(struct fixture *fixture, const char *id, uint64_t offset, uint64_t length)
{
	struct ct_session *session = session_new(fixture);

	int r = open_telling(session, id, offset, 0, length);
	end(fixture, session);
	return r;
}

static int tell_and_append(
    struct fixture *fixture, const char *id, const char *data, size_t offset, size_t body)
{
	struct ct_session *session = session_new(fixture);

	int r = open_telling(session, id, offset, body, LENGTH);
	if (r == 0)
		r = ct_session_append(session, data + offset, body);
	if (r == 0)
		r = ct_session_is_complete(session) ? finish(session) : save(session);
	end(fixture, session);
	return r;
}

Test(defer, a_length_that_comes_later_makes_an_image)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 1);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	break_off(&fixture, data, CT_BLOB_LENGTH_UNKNOWN, HALF, id);
	cr_expect_eq(row_of(&fixture, id).length_bytes, CT_BLOB_LENGTH_UNKNOWN);
	cr_expect_eq(row_of(&fixture, id).at.offset, HALF);
	fixture_restart(&fixture);
	cr_assert_eq(tell_and_append(&fixture, id, data, HALF, LENGTH - HALF), 0);
	check_image(&fixture, id, data, LENGTH);
	fixture_close(&fixture);
	free(data);
}

Test(defer, the_same_on_disk)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 2);
	char id[CT_ID_CHARS + 1];

	fixture_open_disk(&fixture);
	break_off(&fixture, data, CT_BLOB_LENGTH_UNKNOWN, HALF, id);
	cr_assert_eq(tell_and_append(&fixture, id, data, HALF, 1000), 0);
	fixture_restart(&fixture);
	cr_assert_eq(continue_to_end(&fixture, id, data, LENGTH, HALF + 1000), 0);
	check_image(&fixture, id, data, LENGTH);
	cr_expect_eq(count_staging(&fixture), 0);
	fixture_close(&fixture);
	free(data);
}

/* What the length says is true although not one byte of that request arrived. */
Test(defer, the_length_is_kept_though_its_request_broke)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 3);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	break_off(&fixture, data, CT_BLOB_LENGTH_UNKNOWN, HALF, id);
	cr_assert_eq(tell(&fixture, id, HALF, LENGTH), 0);
	cr_expect_eq(row_of(&fixture, id).length_bytes, LENGTH);
	cr_expect_eq(row_of(&fixture, id).at.offset, HALF);
	cr_expect_eq(tell(&fixture, id, HALF, LENGTH + 1), CT_ERROR_LENGTH_MISMATCH);
	cr_expect_eq(tell(&fixture, id, HALF, LENGTH), 0, "the same again is fine");
	fixture_close(&fixture);
	free(data);
}

Test(defer, a_length_at_the_offset_completes)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 4);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	break_off(&fixture, data, CT_BLOB_LENGTH_UNKNOWN, LENGTH, id);
	cr_expect_eq(row_of(&fixture, id).state, CT_UPLOAD_RECEIVING);
	cr_assert_eq(tell_and_append(&fixture, id, data, LENGTH, 0), 0);
	check_image(&fixture, id, data, LENGTH);
	fixture_close(&fixture);
	free(data);
}

Test(defer, refuses_lengths_that_cannot_be)
{
	const struct ct_uploads_options options = { .max_file_bytes = LENGTH };
	struct fixture fixture;
	char *data = make_png(LENGTH + 1, 5);
	char id[CT_ID_CHARS + 1], fresh[CT_ID_CHARS + 1];

	fixture_open(&fixture, &options, CAPACITY);
	break_off(&fixture, data, CT_BLOB_LENGTH_UNKNOWN, HALF, id);
	break_off(&fixture, data, CT_BLOB_LENGTH_UNKNOWN, 0, fresh);
	cr_expect_eq(tell(&fixture, id, HALF, HALF - 1), CT_ERROR_LENGTH_MISMATCH);
	cr_expect_eq(tell(&fixture, id, HALF, LENGTH + 1), CT_ERROR_TOO_LARGE);
	cr_expect_eq(tell(&fixture, id, HALF - 1, LENGTH), CT_ERROR_OFFSET_CONFLICT);
	cr_expect_eq(tell(&fixture, fresh, 0, 0), CT_ERROR_EMPTY_BODY);
	cr_expect_eq(row_of(&fixture, id).length_bytes, CT_BLOB_LENGTH_UNKNOWN);
	cr_expect_eq(row_of(&fixture, fresh).length_bytes, CT_BLOB_LENGTH_UNKNOWN);

	struct ct_session *session = session_new(&fixture);
	cr_expect_eq(open_telling(session, id, HALF, LENGTH, LENGTH), CT_ERROR_TOO_LARGE);
	end(&fixture, session);
	session = session_new(&fixture);
	cr_assert_eq(open_for(session, id, CT_SESSION_APPEND, HALF, CT_BLOB_LENGTH_UNKNOWN), 0);
	cr_assert_eq(ct_session_append(session, data + HALF, LENGTH - HALF), 0);
	cr_expect_eq(ct_session_append(session, data + LENGTH, 1), CT_ERROR_TOO_LARGE);
	end(&fixture, session);
	cr_assert_eq(tell_and_append(&fixture, id, data, LENGTH - 1, 0), CT_ERROR_OFFSET_CONFLICT);
	fixture_close(&fixture);
	free(data);
}
