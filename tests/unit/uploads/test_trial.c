/* Bytes that are held back until their checksum is known. */
#include "support.h"

#include "calotype/error.h"

#include <criterion/criterion.h>
#include <string.h>

#define CAPACITY ((uint64_t)64 << 20)
#define LENGTH ((size_t)300000)
#define HALF ((size_t)150000)

static const struct ct_uploads_options plain = { 0 };

static struct ct_session *open_at(
    struct fixture *fixture, const char *id, uint64_t offset, uint64_t body)
{
	struct ct_session *session = session_new(fixture);

	cr_assert_eq(open_for(session, id, CT_SESSION_APPEND, offset, body), 0);
	ct_session_hold_back(session);
	return session;
}

/* Wrong bytes are appended and not let go; then the right ones make the file. */
static void drop_and_go_on(struct fixture *fixture, size_t at, size_t length)
{
	char *data = make_png(LENGTH, 7), *wrong = make_text(LENGTH);
	char id[CT_ID_CHARS + 1];

	break_off(fixture, data, LENGTH, at, id);
	struct ct_session *session = open_at(fixture, id, at, length);
	cr_assert_eq(ct_session_append(session, wrong, length), 0, "it is not looked at yet");
	cr_expect_eq(ct_session_row(session)->at.offset, at);
	cr_expect_not(ct_session_wants_checkpoint(session));
	end(fixture, session);
	cr_expect_eq(row_of(fixture, id).at.offset, at);
	cr_expect_eq(row_of(fixture, id).state, CT_UPLOAD_RECEIVING);
	cr_assert_eq(continue_to_end(fixture, id, data, LENGTH, at), 0);
	check_image(fixture, id, data, LENGTH);
	free(data);
	free(wrong);
}

Test(trial, what_is_not_let_go_is_dropped)
{
	struct fixture fixture;

	fixture_open(&fixture, &plain, CAPACITY);
	drop_and_go_on(&fixture, HALF, 1000);
	drop_and_go_on(&fixture, 0, HALF);
	drop_and_go_on(&fixture, HALF, LENGTH - HALF);
	drop_and_go_on(&fixture, 0, LENGTH);
	fixture_close(&fixture);
}

Test(trial, what_is_not_let_go_is_cut_off_on_disk)
{
	struct fixture fixture;

	fixture_open_disk(&fixture);
	drop_and_go_on(&fixture, HALF, 1000);
	drop_and_go_on(&fixture, 0, LENGTH);
	fixture_close(&fixture);
}

Test(trial, what_is_let_go_is_kept)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 8);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	break_off(&fixture, data, LENGTH, 0, id);
	struct ct_session *session = open_at(&fixture, id, 0, HALF);
	cr_assert_eq(ct_session_append(session, data, HALF), 0);
	cr_assert_eq(ct_session_let_go(session), 0);
	cr_expect_str_eq(ct_session_row(session)->type, "image/png");
	cr_assert_eq(save(session), 0);
	end(&fixture, session);
	cr_expect_eq(row_of(&fixture, id).at.offset, HALF);
	session = open_at(&fixture, id, HALF, LENGTH - HALF);
	cr_assert_eq(ct_session_append(session, data + HALF, LENGTH - HALF), 0);
	cr_assert_eq(ct_session_let_go(session), 0);
	cr_assert_eq(finish(session), 0);
	end(&fixture, session);
	check_image(&fixture, id, data, LENGTH);
	fixture_close(&fixture);
	free(data);
}

Test(trial, the_type_is_looked_at_when_they_are_let_go)
{
	struct fixture fixture;
	char *data = make_text(LENGTH);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	break_off(&fixture, data, LENGTH, 0, id);
	struct ct_session *session = open_at(&fixture, id, 0, LENGTH);
	cr_assert_eq(ct_session_append(session, data, LENGTH), 0);
	cr_assert_eq(ct_session_let_go(session), CT_ERROR_UNSUPPORTED_TYPE);
	cr_assert_eq(refuse(session, CT_ERROR_UNSUPPORTED_TYPE), 0);
	end(&fixture, session);
	cr_expect_eq(row_of(&fixture, id).state, CT_UPLOAD_REFUSED);
	fixture_close(&fixture);
	free(data);
}

/* More than a checkpoint's worth: a crash of the process loses all of it, and no less. */
Test(trial, nothing_is_checkpointed)
{
	const size_t length = CT_SESSION_CHECKPOINT_BYTES + 2000;
	struct fixture fixture;
	char *data = make_png(length, 9);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	break_off(&fixture, data, length, 1000, id);
	struct ct_session *session = open_at(&fixture, id, 1000, length - 1000);
	cr_assert_eq(ct_session_append(session, data + 1000, length - 1500), 0);
	cr_expect_not(ct_session_wants_checkpoint(session));
	ct_session_drop(session);
	end(&fixture, session);
	cr_expect_eq(row_of(&fixture, id).at.offset, 1000);
	fixture_close(&fixture);
	free(data);
}
