/* One holder an upload: newcomers end it, wait in line, or are told that it is busy. */
#include "support.h"

#include "base/clock.h"
#include "calotype/error.h"
#include "metadata/uploads.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define CAPACITY ((uint64_t)64 << 20)
#define LENGTH ((size_t)300000)

struct newcomer {
	struct ct_session *session;
	struct ct_hold hold;
	atomic_int granted; /* times */
	atomic_int result;
};

static void count_grant(void *arg, int result)
{
	struct newcomer *newcomer = arg;

	atomic_store(&newcomer->result, result);
	atomic_fetch_add(&newcomer->granted, 1);
}

static void wait_for(atomic_int *value, int expected)
{
	const struct timespec pause = { 0, 1000000 };

	for (int i = 0; i < 10000 && atomic_load(value) != expected; i++)
		(void)nanosleep(&pause, NULL);
	cr_assert_eq(atomic_load(value), expected);
}

static void prepare(struct newcomer *newcomer)
{
	*newcomer = (struct newcomer){ .hold = { .granted = count_grant, .arg = newcomer } };
	memcpy(newcomer->hold.id, "0123456789abcdef0123456789abcdef", CT_ID_CHARS + 1);
}

Test(registry, serves_in_line)
{
	struct ct_registry registry;
	struct newcomer all[CT_REGISTRY_MAX_WAITERS + 2];

	ct_registry_init(&registry, 20000);
	for (int i = 0; i < CT_REGISTRY_MAX_WAITERS + 2; i++)
		prepare(&all[i]);
	cr_assert_eq(ct_registry_acquire(&registry, &all[0].hold), 1);
	for (int i = 1; i <= CT_REGISTRY_MAX_WAITERS; i++)
		cr_assert_eq(ct_registry_acquire(&registry, &all[i].hold), 0);
	cr_expect_eq(ct_registry_acquire(&registry, &all[CT_REGISTRY_MAX_WAITERS + 1].hold),
	    CT_ERROR_UPLOAD_BUSY, "the line is full");
	cr_expect_eq(ct_registry_try(&registry, &all[CT_REGISTRY_MAX_WAITERS + 1].hold),
	    CT_ERROR_UPLOAD_BUSY);
	for (int i = 0; i <= CT_REGISTRY_MAX_WAITERS; i++) {
		cr_expect_eq(atomic_load(&all[i].granted), i > 0);
		ct_registry_release(&registry, &all[i].hold);
	}
	cr_expect_eq(ct_registry_try(&registry, &all[0].hold), 1);
	ct_registry_release(&registry, &all[0].hold);
	ct_registry_done(&registry);
}

Test(registry, waiting_ends)
{
	struct ct_registry registry;
	struct newcomer holder, first, second;

	ct_registry_init(&registry, 50);
	cr_assert_eq(ct_registry_start(&registry), 0);
	prepare(&holder);
	prepare(&first);
	prepare(&second);
	cr_assert_eq(ct_registry_acquire(&registry, &holder.hold), 1);
	int64_t begun_ms = ct_clock_monotonic_ms();
	cr_assert_eq(ct_registry_acquire(&registry, &first.hold), 0);
	cr_assert_eq(ct_registry_acquire(&registry, &second.hold), 0);
	wait_for(&first.granted, 1);
	wait_for(&second.granted, 1);
	cr_expect_eq(atomic_load(&first.result), CT_ERROR_UPLOAD_BUSY);
	cr_expect_geq(ct_clock_monotonic_ms() - begun_ms, 50);
	ct_registry_release(&registry, &holder.hold);
	cr_expect_eq(atomic_load(&first.granted), 1);
	ct_registry_done(&registry);
}

/* ---- over sessions ---- */

static void opened(void *arg, int result)
{
	count_grant(arg, result);
}

static void begin_open(struct fixture *fixture, struct newcomer *newcomer, const char *id,
    enum ct_session_purpose purpose, uint64_t offset)
{
	struct ct_session_open open = {
		.id = id,
		.purpose = purpose,
		.offset = offset,
		.body_bytes = CT_BLOB_LENGTH_UNKNOWN,
	};

	*newcomer = (struct newcomer){ .session = session_new(fixture) };
	cr_assert_eq(ct_session_open(newcomer->session, &open, opened, newcomer), 0);
}

struct holder {
	struct ct_session *session;
	atomic_int interrupts;
};

static void interrupted(void *arg)
{
	struct holder *holder = arg;

	atomic_fetch_add(&holder->interrupts, 1);
}

static void hold(struct fixture *fixture, struct holder *holder, const char *id, uint64_t offset)
{
	*holder = (struct holder){ .session = NULL };
	cr_assert_eq(
	    ct_session_new(fixture->uploads, "holder", interrupted, holder, &holder->session), 0);
	cr_assert_eq(
	    open_for(holder->session, id, CT_SESSION_APPEND, offset, CT_BLOB_LENGTH_UNKNOWN), 0);
}

Test(takeover, newcomer_gets_what_the_holder_saved)
{
	struct fixture fixture;
	struct ct_uploads_options options = { 0 };
	struct holder holder;
	struct newcomer newcomer;
	char *data = make_png(LENGTH, 1);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &options, CAPACITY);
	break_off(&fixture, data, LENGTH, 70000, id);
	hold(&fixture, &holder, id, 70000);
	cr_assert_eq(ct_session_append(holder.session, data + 70000, 30000), 0);
	begin_open(&fixture, &newcomer, id, CT_SESSION_READ, 0);
	cr_expect_eq(atomic_load(&holder.interrupts), 1);
	cr_expect_eq(atomic_load(&newcomer.granted), 0, "the holder has not saved yet");

	ct_session_end(holder.session); /* as its `gone` does */
	wait_for(&newcomer.granted, 1);
	cr_expect_eq(atomic_load(&newcomer.result), 0);
	cr_expect_eq(ct_session_row(newcomer.session)->at.offset, 100000);
	end(&fixture, newcomer.session);
	cr_assert_eq(continue_to_end(&fixture, id, data, LENGTH, 100000), 0);
	check_image(&fixture, id, data, LENGTH);
	fixture_close(&fixture);
	free(data);
}

Test(takeover, of_two_at_one_offset_one_wins)
{
	struct fixture fixture;
	struct ct_uploads_options options = { 0 };
	struct holder holder;
	struct newcomer newcomer;
	char *data = make_png(LENGTH, 2);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &options, CAPACITY);
	break_off(&fixture, data, LENGTH, 70000, id);
	hold(&fixture, &holder, id, 70000);
	cr_assert_eq(ct_session_append(holder.session, data + 70000, LENGTH - 70000), 0);
	begin_open(&fixture, &newcomer, id, CT_SESSION_APPEND, 70000);
	cr_assert_eq(finish(holder.session), 0);
	ct_session_end(holder.session);
	wait_for(&newcomer.granted, 1);
	cr_expect_eq(ct_session_row(newcomer.session)->state, CT_UPLOAD_DONE);
	end(&fixture, newcomer.session);

	break_off(&fixture, data, LENGTH, 70000, id);
	hold(&fixture, &holder, id, 70000);
	cr_assert_eq(ct_session_append(holder.session, data + 70000, 10), 0);
	begin_open(&fixture, &newcomer, id, CT_SESSION_APPEND, 70000);
	cr_assert_eq(save(holder.session), 0);
	ct_session_end(holder.session);
	wait_for(&newcomer.granted, 1);
	cr_expect_eq(atomic_load(&newcomer.result), CT_ERROR_OFFSET_CONFLICT);
	end(&fixture, newcomer.session);
	fixture_close(&fixture);
	free(data);
}

/* A holder that saves or finishes is not interrupted: its answer is on the way. */
Test(takeover, one_that_checkpoints_is_interrupted_after_it)
{
	struct fixture fixture;
	struct ct_uploads_options options = { 0 };
	struct holder holder;
	struct newcomer newcomer;
	char *data = make_png(LENGTH, 3);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &options, CAPACITY);
	break_off(&fixture, data, LENGTH, 70000, id);
	hold(&fixture, &holder, id, 70000);
	cr_assert_eq(ct_session_append(holder.session, data + 70000, 10), 0);
	cr_assert_eq(save(holder.session), 0);
	begin_open(&fixture, &newcomer, id, CT_SESSION_CANCEL, 0);
	cr_expect_eq(atomic_load(&holder.interrupts), 0, "it has ended its body");
	cr_assert_eq(checkpoint(holder.session), 0);
	cr_expect_eq(atomic_load(&holder.interrupts), 1, "it would go on, so it is asked");
	ct_session_end(holder.session);
	wait_for(&newcomer.granted, 1);
	cr_assert_eq(cancel(newcomer.session), 0);
	end(&fixture, newcomer.session);
	cr_expect_eq(row_of(&fixture, id).state, CT_UPLOAD_CANCELED);
	fixture_close(&fixture);
	free(data);
}

Test(takeover, busy_when_the_holder_does_not_end)
{
	struct fixture fixture;
	struct ct_uploads_options options = { .takeover_ms = 50 };
	struct holder holder;
	struct newcomer newcomer;
	char *data = make_png(LENGTH, 4);
	char id[CT_ID_CHARS + 1];

	fixture_open(&fixture, &options, CAPACITY);
	break_off(&fixture, data, LENGTH, 70000, id);
	hold(&fixture, &holder, id, 70000);
	begin_open(&fixture, &newcomer, id, CT_SESSION_READ, 0);
	wait_for(&newcomer.granted, 1);
	cr_expect_eq(atomic_load(&newcomer.result), CT_ERROR_UPLOAD_BUSY);
	ct_session_end(newcomer.session);
	end(&fixture, holder.session);
	fixture_close(&fixture);
	free(data);
}
