/* Final uploads: partial ones joined to one file. */
#include "support.h"

#include "base/clock.h"
#include "calotype/blob_upkeep.h"
#include "calotype/error.h"
#include "metadata/sqlite_priv.h"
#include "uploads/session_priv.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CAPACITY ((uint64_t)64 << 20)
#define LENGTH ((size_t)300000)
#define FIRST ((size_t)100001)

static const struct ct_uploads_options plain = { 0 };

/* A partial upload of `length` bytes, of which `sent` have come. */
static void make_part(struct fixture *fixture, const char *data, size_t length, size_t sent,
    char ret_id[CT_ID_CHARS + 1])
{
	struct ct_session *session = session_new(fixture);
	const struct ct_session_start start = { .length_bytes = length,
		.filename = "",
		.key_id = "",
		.kind = CT_UPLOAD_PARTIAL,
		.concat = "partial" };

	cr_assert_eq(create_as(session, &start), 0);
	memcpy(ret_id, ct_session_row(session)->id, CT_ID_CHARS + 1);
	cr_assert_eq(ct_session_append(session, data, sent), 0);
	cr_expect_not(ct_session_is_complete(session));
	if (sent > 0)
		cr_assert_eq(save(session), 0);
	end(fixture, session);
	cr_expect_eq(row_of(fixture, ret_id).state, CT_UPLOAD_RECEIVING);
	cr_expect_str_eq(row_of(fixture, ret_id).type, "");
}

static void append_to(
    struct fixture *fixture, const char *id, const char *data, size_t offset, size_t length)
{
	struct ct_session *session = session_new(fixture);

	cr_assert_eq(open_for(session, id, CT_SESSION_APPEND, offset, length), 0);
	cr_assert_eq(ct_session_append(session, data, length), 0);
	cr_assert_eq(save(session), 0);
	end(fixture, session);
}

/* Makes a final one of `count` parts; its id, if it may be there. */
static int join_as(struct fixture *fixture, char (*ids)[CT_ID_CHARS + 1], unsigned count,
    const char *key_id, char ret_id[CT_ID_CHARS + 1])
{
	struct ct_session *session = session_new(fixture);
	struct ct_parts parts;
	char concat[1024] = "final;";
	size_t length = strlen(concat);

	for (unsigned i = 0; i < count; i++)
		length += (size_t)snprintf(concat + length, sizeof(concat) - length,
		    "%s/uploads/%s", i > 0 ? " " : "", ids[i]);
	cr_assert_eq(ct_parts_parse(ct_slice_from_string(concat), &parts), 0);
	const struct ct_session_start start = { .length_bytes = CT_BLOB_LENGTH_UNKNOWN,
		.filename = "joined.png",
		.key_id = key_id,
		.kind = CT_UPLOAD_FINAL,
		.concat = concat };
	int r = join(session, &start, &parts);
	memcpy(ret_id, ct_session_row(session)->id, CT_ID_CHARS + 1);
	end(fixture, session);
	return r;
}

static int join_parts(struct fixture *fixture, char (*ids)[CT_ID_CHARS + 1], unsigned count,
    char ret_id[CT_ID_CHARS + 1])
{
	return join_as(fixture, ids, count, "", ret_id);
}

static int look(struct fixture *fixture, const char *id, enum ct_session_purpose purpose)
{
	struct ct_session *session = session_new(fixture);

	int r = open_for(session, id, purpose, 0, 0);
	end(fixture, session);
	return r;
}

/* Two parts of `data`, complete. */
static void make_two(struct fixture *fixture, const char *data, char (*ids)[CT_ID_CHARS + 1])
{
	make_part(fixture, data, FIRST, FIRST, ids[0]);
	make_part(fixture, data + FIRST, LENGTH - FIRST, LENGTH - FIRST, ids[1]);
}

static void join_two(struct fixture *fixture)
{
	char *data = make_png(LENGTH, 11);
	char ids[2][CT_ID_CHARS + 1], final[CT_ID_CHARS + 1];
	int64_t before = ct_clock_wall_ms();

	make_two(fixture, data, ids);
	cr_assert_eq(join_parts(fixture, ids, 2, final), 0);
	check_image(fixture, final, data, LENGTH);
	cr_expect_eq(count_images(fixture), 1);
	cr_expect_str_eq(row_of(fixture, final).type, "image/png");
	cr_expect_str_eq(row_of(fixture, final).filename, "joined.png");
	for (int i = 0; i < 2; i++) {
		struct ct_upload_row part = row_of(fixture, ids[i]);
		cr_expect_eq(part.state, CT_UPLOAD_RECEIVING);
		cr_expect_leq(part.expires_at, ct_clock_wall_ms() + CT_SESSION_PART_GRACE_MS,
		    "they need not stay");
		cr_expect_geq(part.expires_at, before + CT_SESSION_PART_GRACE_MS);
	}
	cr_expect_eq(count_staging(fixture), 2);
	cr_expect_eq(look(fixture, final, CT_SESSION_READ), 0);
	cr_expect_eq(look(fixture, final, CT_SESSION_APPEND), CT_ERROR_FINAL_UPLOAD);
	/* Used once more, and twice in one. */
	cr_assert_eq(join_parts(fixture, ids, 2, final), 0);
	check_image(fixture, final, data, LENGTH);
	char twice[3][CT_ID_CHARS + 1];
	memcpy(twice[0], ids[0], sizeof(ids[0]));
	memcpy(twice[1], ids[0], sizeof(ids[0]));
	memcpy(twice[2], ids[1], sizeof(ids[1]));
	cr_assert_eq(join_parts(fixture, twice, 3, final), 0);
	cr_expect_eq(row_of(fixture, final).length_bytes, LENGTH + FIRST);
	free(data);
}

Test(join, complete_parts_make_one_image)
{
	struct fixture fixture;

	fixture_open(&fixture, &plain, CAPACITY);
	join_two(&fixture);
	fixture_close(&fixture);
}

Test(join, complete_parts_make_one_image_on_disk)
{
	struct fixture fixture;

	fixture_open_disk(&fixture);
	join_two(&fixture);
	fixture_close(&fixture);
}

Test(join, parts_end_when_they_are_not_used)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 12);
	char ids[2][CT_ID_CHARS + 1], final[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	make_two(&fixture, data, ids);
	cr_assert_eq(join_parts(&fixture, ids, 2, final), 0);
	cr_expect_eq(ct_upload_open_count(fixture.metadata), 2);
	ct_clock_shift_wall_ms(CT_SESSION_PART_GRACE_MS + 1000);
	cr_assert_eq(ct_uploads_tick(fixture.uploads), 0);
	cr_expect_eq(ct_upload_open_count(fixture.metadata), 0);
	cr_expect_eq(count_staging(&fixture), 0);
	cr_expect_eq(row_of(&fixture, ids[0]).state, CT_UPLOAD_EXPIRED);
	check_image(&fixture, final, data, LENGTH);
	cr_expect_eq(join_parts(&fixture, ids, 2, final), CT_ERROR_GONE);
	fixture_close(&fixture);
	free(data);
}

/* A complete part is neither finished nor refused by what finishes and refuses others. */
Test(join, a_complete_part_waits)
{
	struct fixture fixture;
	char *text = make_text(LENGTH);
	char id[CT_ID_CHARS + 1], empty[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	make_part(&fixture, text, LENGTH, LENGTH, id);
	make_part(&fixture, text, 0, 0, empty);
	fixture_restart(&fixture);
	cr_assert_eq(ct_uploads_tick(fixture.uploads), 0);
	cr_expect_eq(look(&fixture, id, CT_SESSION_READ), 0);
	cr_expect_eq(row_of(&fixture, id).state, CT_UPLOAD_RECEIVING);
	struct ct_session *session = session_new(&fixture);
	cr_expect_eq(open_for(session, id, CT_SESSION_APPEND, LENGTH, 0), 0, "nothing more");
	end(&fixture, session);
	session = session_new(&fixture);
	cr_expect_eq(open_for(session, id, CT_SESSION_APPEND, LENGTH, 1), CT_ERROR_TOO_LARGE);
	end(&fixture, session);
	session = session_new(&fixture);
	cr_expect_eq(open_to_end(session, id, LENGTH), CT_ERROR_PARTIAL_UPLOAD);
	end(&fixture, session);
	cr_expect_eq(count_images(&fixture), 0);
	ct_clock_shift_wall_ms(CT_UPLOADS_EXPIRY_MS + 1000);
	cr_assert_eq(ct_uploads_tick(fixture.uploads), 0);
	cr_expect_eq(row_of(&fixture, id).state, CT_UPLOAD_EXPIRED);
	cr_expect_eq(count_staging(&fixture), 0);
	fixture_close(&fixture);
	free(text);
}

static void wait_for_parts(enum ct_session_purpose next)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 13);
	char ids[2][CT_ID_CHARS + 1], final[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	make_part(&fixture, data, CT_BLOB_LENGTH_UNKNOWN, FIRST, ids[0]);
	make_part(&fixture, data + FIRST, LENGTH - FIRST, 0, ids[1]);
	cr_assert_eq(join_parts(&fixture, ids, 2, final), 0);
	cr_expect_eq(row_of(&fixture, final).state, CT_UPLOAD_RECEIVING);
	cr_expect_eq(row_of(&fixture, final).length_bytes, CT_BLOB_LENGTH_UNKNOWN);
	cr_expect_eq(look(&fixture, final, CT_SESSION_APPEND), CT_ERROR_FINAL_UPLOAD);
	append_to(&fixture, ids[1], data + FIRST, 0, LENGTH - FIRST);
	cr_expect_eq(look(&fixture, final, CT_SESSION_READ), 0);
	cr_expect_eq(row_of(&fixture, final).state, CT_UPLOAD_RECEIVING, "a length is not known");
	fixture_restart(&fixture);
	struct ct_session *session = session_new(&fixture);
	cr_assert_eq(open_telling(session, ids[0], FIRST, 0, FIRST), 0);
	end(&fixture, session);

	if (next == CT_SESSION_EXPIRE)
		cr_assert_eq(ct_uploads_tick(fixture.uploads), 0);
	else
		cr_assert_eq(look(&fixture, final, next), 0);
	if (next == CT_SESSION_CANCEL) {
		cr_expect_eq(row_of(&fixture, final).state, CT_UPLOAD_RECEIVING);
	} else {
		check_image(&fixture, final, data, LENGTH);
		cr_expect_eq(count_images(&fixture), 1);
	}
	fixture_close(&fixture);
	free(data);
}

Test(join, one_that_waits_is_joined_when_it_is_looked_at)
{
	wait_for_parts(CT_SESSION_READ);
}

Test(join, one_that_waits_is_joined_by_the_housekeeper)
{
	wait_for_parts(CT_SESSION_EXPIRE);
}

Test(join, one_that_waits_is_not_joined_to_be_canceled)
{
	wait_for_parts(CT_SESSION_CANCEL);
}

Test(join, one_that_waits_ends_with_a_part)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 14);
	char ids[2][CT_ID_CHARS + 1], final[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	make_part(&fixture, data, FIRST, FIRST, ids[0]);
	make_part(&fixture, data + FIRST, LENGTH - FIRST, 1000, ids[1]);
	cr_assert_eq(join_parts(&fixture, ids, 2, final), 0);
	cr_expect_eq(row_of(&fixture, final).length_bytes, LENGTH, "it is known already");
	struct ct_session *session = session_new(&fixture);
	cr_assert_eq(open_for(session, ids[1], CT_SESSION_CANCEL, 0, 0), 0);
	cr_assert_eq(cancel(session), 0);
	end(&fixture, session);
	cr_expect_eq(look(&fixture, final, CT_SESSION_READ), CT_ERROR_GONE);
	struct ct_upload_row row = row_of(&fixture, final);
	cr_expect_eq(row.state, CT_UPLOAD_REFUSED);
	cr_expect_eq(row.refusal, CT_ERROR_GONE);
	cr_expect_not_null(strstr(row.refusal_detail, ids[1]));
	fixture_close(&fixture);
	free(data);
}

Test(join, one_that_waits_expires)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 15);
	char ids[1][CT_ID_CHARS + 1], final[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	make_part(&fixture, data, LENGTH, FIRST, ids[0]);
	cr_assert_eq(join_parts(&fixture, ids, 1, final), 0);
	ct_clock_shift_wall_ms(CT_UPLOADS_EXPIRY_MS + 1000);
	cr_expect_eq(look(&fixture, final, CT_SESSION_READ), CT_ERROR_GONE);
	cr_assert_eq(ct_uploads_tick(fixture.uploads), 0);
	cr_expect_eq(row_of(&fixture, final).state, CT_UPLOAD_EXPIRED);
	cr_expect_eq(ct_upload_open_count(fixture.metadata), 0);
	fixture_close(&fixture);
	free(data);
}

/* More of them than the housekeeper takes at once: each has its turn. */
Test(join, the_housekeeper_comes_round_to_all)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 16);
	char slow[1][CT_ID_CHARS + 1], part[1][CT_ID_CHARS + 1];
	char finals[40][CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	make_part(&fixture, data, LENGTH, 10, slow[0]);
	make_part(&fixture, data, LENGTH, 10, part[0]);
	for (int i = 0; i < 40; i++)
		cr_assert_eq(join_parts(&fixture, i % 2 ? part : slow, 1, finals[i]), 0);
	append_to(&fixture, part[0], data + 10, 10, LENGTH - 10);
	cr_assert_eq(ct_uploads_tick(fixture.uploads), 0);
	for (int i = 0; i < 40; i++)
		cr_expect_eq(row_of(&fixture, finals[i]).state,
		    i % 2 ? CT_UPLOAD_DONE : CT_UPLOAD_RECEIVING, "%d", i);
	fixture_close(&fixture);
	free(data);
}

Test(join, refuses_what_cannot_be_joined)
{
	const struct ct_uploads_options options = { .max_file_bytes = LENGTH,
		.max_open_uploads = 6 };
	struct fixture fixture;
	char *data = make_png(LENGTH, 17);
	char ids[2][CT_ID_CHARS + 1], other[2][CT_ID_CHARS + 1], final[CT_ID_CHARS + 1];

	fixture_open(&fixture, &options, CAPACITY);
	make_two(&fixture, data, ids);
	memcpy(other[0], ids[0], sizeof(ids[0]));
	(void)snprintf(other[1], sizeof(other[1]), "%032d", 7);
	cr_expect_eq(join_parts(&fixture, other, 2, final), CT_ERROR_NOT_FOUND);
	break_off(&fixture, data, LENGTH, 1000, other[1]);
	cr_expect_eq(join_parts(&fixture, other, 2, final), CT_ERROR_INVALID_HEADER, "no partial");
	cr_expect_eq(join_as(&fixture, ids, 2, "reader00", final), CT_ERROR_FORBIDDEN);
	make_part(&fixture, data, 1, 1, other[1]);
	char three[3][CT_ID_CHARS + 1];
	memcpy(three[0], ids[0], sizeof(ids[0]));
	memcpy(three[1], ids[1], sizeof(ids[1]));
	memcpy(three[2], other[1], sizeof(other[1]));
	cr_expect_eq(join_parts(&fixture, three, 3, final), CT_ERROR_TOO_LARGE, "one byte more");
	make_part(&fixture, data, 0, 0, other[1]);
	memcpy(three[0], other[1], sizeof(other[1]));
	cr_expect_eq(join_parts(&fixture, three, 1, final), CT_ERROR_EMPTY_BODY);
	make_part(&fixture, data, LENGTH, 1, other[1]);
	memcpy(three[0], other[1], sizeof(other[1]));
	cr_expect_eq(join_parts(&fixture, three, 1, final), CT_ERROR_TOO_MANY_UPLOADS);
	cr_expect_eq(join_parts(&fixture, ids, 2, final), 0, "it waits for nothing");
	cr_expect_eq(count_images(&fixture), 1);
	fixture_close(&fixture);
	free(data);
}

/* The type is that of the whole, and known after 64 KiB. */
Test(join, refuses_by_the_type_of_the_whole)
{
	struct fixture fixture;
	char *text = make_text(LENGTH);
	char ids[2][CT_ID_CHARS + 1], final[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	make_part(&fixture, text, 10, 10, ids[0]);
	make_part(&fixture, text, LENGTH, LENGTH - 10, ids[1]);
	cr_assert_eq(join_parts(&fixture, ids, 2, final), 0);
	append_to(&fixture, ids[1], text, LENGTH - 10, 10);
	cr_expect_eq(look(&fixture, final, CT_SESSION_READ), CT_ERROR_UNSUPPORTED_TYPE);
	cr_expect_eq(row_of(&fixture, final).state, CT_UPLOAD_REFUSED);
	cr_expect_eq(join_parts(&fixture, ids, 2, final), CT_ERROR_UNSUPPORTED_TYPE);
	cr_expect_eq(row_of(&fixture, final).state, CT_UPLOAD_STATE_COUNT, "no row is left");
	cr_expect_eq(count_staging(&fixture), 2);
	fixture_close(&fixture);
	free(text);
}

Test(join, a_full_disk_can_be_tried_again)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 18);
	char ids[2][CT_ID_CHARS + 1], filler[CT_ID_CHARS + 1], final[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, 3 * LENGTH);
	make_two(&fixture, data, ids);
	break_off(&fixture, data, LENGTH + 1, 0, filler);
	cr_expect_eq(join_parts(&fixture, ids, 2, final), CT_ERROR_INSUFFICIENT_SPACE);
	struct ct_session *session = session_new(&fixture);
	cr_assert_eq(open_for(session, filler, CT_SESSION_CANCEL, 0, 0), 0);
	cr_assert_eq(cancel(session), 0);
	end(&fixture, session);
	cr_expect_eq(join_parts(&fixture, ids, 2, final), 0);
	check_image(&fixture, final, data, LENGTH);
	fixture_close(&fixture);
	free(data);
}

/* A crash between the blob's name and its row, and one before: the parts are there still. */
static void crash_at_publish(bool after)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 19);
	char ids[2][CT_ID_CHARS + 1], final[CT_ID_CHARS + 1];

	fixture_open(&fixture, &plain, CAPACITY);
	make_part(&fixture, data, FIRST, FIRST, ids[0]);
	make_part(&fixture, data + FIRST, LENGTH - FIRST, 0, ids[1]);
	cr_assert_eq(join_parts(&fixture, ids, 2, final), 0);
	append_to(&fixture, ids[1], data + FIRST, 0, LENGTH - FIRST);
	ct_failing_plan_set(fixture.plan, CT_FAIL_STAGE_PUBLISH, 1, -EIO, after);
	cr_assert_eq(look(&fixture, final, CT_SESSION_READ), -EIO);
	cr_expect_eq(row_of(&fixture, final).state, CT_UPLOAD_RECEIVING);
	cr_expect_eq(count_images(&fixture), 0);
	fixture_restart(&fixture);
	cr_assert_eq(look(&fixture, final, CT_SESSION_READ), 0);
	check_image(&fixture, final, data, LENGTH);
	cr_expect_eq(count_images(&fixture), 1);
	cr_expect_eq(count_staging(&fixture), 2);
	fixture_close(&fixture);
	free(data);
}

Test(join, joins_again_after_a_crash_before_publishing)
{
	crash_at_publish(false);
}

Test(join, joins_again_after_a_crash_between_blob_and_row)
{
	crash_at_publish(true);
}

static void flip(struct fixture *fixture, const char *id, off_t at)
{
	char path[160], byte;

	(void)snprintf(path, sizeof(path), "%s/staging/%s", fixture->directory, id);
	int fd = open(path, O_RDWR);
	cr_assert_geq(fd, 0);
	cr_assert_eq(pread(fd, &byte, 1, at), 1);
	byte = (char)(byte ^ 1);
	cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
	cr_assert_eq(close(fd), 0);
}

/* What the disk has changed since does not become an image under a name of its own. */
Test(join, a_damaged_part_is_found)
{
	struct fixture fixture;
	char *data = make_png(LENGTH, 20);
	char ids[2][CT_ID_CHARS + 1], final[CT_ID_CHARS + 1];

	fixture_open_disk(&fixture);
	make_two(&fixture, data, ids);
	flip(&fixture, ids[1], 170000);
	cr_expect_eq(join_parts(&fixture, ids, 2, final), CT_ERROR_STAGING_DAMAGED);
	cr_expect_eq(count_images(&fixture), 0);
	cr_expect_eq(row_of(&fixture, ids[1]).state, CT_UPLOAD_REFUSED);
	cr_expect_eq(row_of(&fixture, ids[0]).state, CT_UPLOAD_RECEIVING);
	cr_expect_eq(count_staging(&fixture), 1);
	cr_expect_eq(ct_upload_open_count(fixture.metadata), 1);
	cr_expect_eq(join_parts(&fixture, ids, 2, final), CT_ERROR_GONE);
	/* It is sent again. */
	make_part(&fixture, data + FIRST, LENGTH - FIRST, LENGTH - FIRST, ids[1]);
	cr_expect_eq(join_parts(&fixture, ids, 2, final), 0);
	check_image(&fixture, final, data, LENGTH);
	fixture_close(&fixture);
	free(data);
}
