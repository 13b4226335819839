/* Files that are proved by the first answers over them. */
#include "cache_support.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SIZE (5 * (size_t)CT_CACHE_BLOCK_BYTES + 77)
#define LAST_BLOCK (5 * (size_t)CT_CACHE_BLOCK_BYTES)

static const char *const tags[CT_CACHE_TAG_MAX] = { "image", "digest" };
static const struct fake_ask whole = { .method = CT_HTTP_GET };
static const struct fake_ask part = { .method = CT_HTTP_GET, .range = "bytes=1-4" };
static const struct fake_ask head = { .method = CT_HTTP_HEAD };

static void start(struct fill_plan *plan)
{
	plan_init(plan, "photo");
	plan->as_file = true;
	plan->size_bytes = SIZE;
	cache_start(&(struct ct_cache_options){ 0 }, 2, 64);
}

static void expect_whole(struct asked *asked, const char *expected_way)
{
	char way[512];
	fake_wait(&asked->exchange);
	cr_expect_eq(asked->exchange.status, 200);
	cr_expect_str_eq(way_of(asked, way), expected_way);
	cr_expect_not(asked->exchange.cut);
	cr_expect_eq(asked->exchange.sent_bytes, SIZE);
	cr_expect_eq(strncmp(asked->exchange.body, "photo  ", 7), 0);
	cr_expect_eq(strspn(asked->exchange.body + 5, " "), SIZE - 5);
	asked_done(asked);
}

static void get_whole(struct fill_plan *plan, const char *expected_way)
{
	struct asked asked;
	ask(&asked, "key", tags, plan);
	expect_whole(&asked, expected_way);
}

static void expect_status(
    struct fill_plan *plan, const struct fake_ask *what, int status, const char *expected_way)
{
	struct asked asked;
	char way[512];
	ask_for(&asked, what, "key", tags, plan);
	fake_wait(&asked.exchange);
	cr_expect_eq(asked.exchange.status, status);
	cr_expect_str_eq(way_of(&asked, way), expected_way);
	asked_done(&asked);
}

static void stop(struct fill_plan *plan, unsigned asked)
{
	plan_wait_freed(plan, asked);
	cache_stop();
}

Test(proof, first_whole_is_kept_when_it_has_been_sent)
{
	struct fill_plan plan;
	start(&plan);
	get_whole(&plan, "fwd=miss; stored");
	cr_expect_eq(cache_figures().entries, 1u);
	get_whole(&plan, "hit");
	expect_status(&plan, &part, 206, "hit");
	cr_expect_eq(atomic_load(&plan.begun), 1u);
	stop(&plan, 3);
}

/* In the last block or before it: what comes is never the whole, and nothing is kept. */
Test(proof, wrong_digest)
{
	struct fill_plan plan;
	struct asked asked;
	start(&plan);
	plan.wrong_digest = true;
	plan.is_verified = true; /* nobody is believed */
	for (int i = 0; i < 2; i++) {
		ask(&asked, "key", tags, &plan);
		fake_wait(&asked.exchange);
		cr_expect_eq(asked.exchange.status, 200);
		cr_expect(asked.exchange.cut);
		cr_expect_eq(asked.exchange.sent_bytes, LAST_BLOCK);
		asked_done(&asked);
		cr_expect_eq(cache_figures().entries, 0u);
	}
	expect_status(&plan, &part, 500, "");
	expect_status(&plan, &head, 500, "");
	cr_expect_eq(cache_figures().entries, 0u);
	plan.wrong_digest = false;
	get_whole(&plan, "fwd=miss; stored");
	stop(&plan, 5);
}

/* One block: nothing of it leaves before it is right. */
Test(proof, wrong_digest_of_a_single_block)
{
	struct fill_plan plan;
	struct asked asked;
	start(&plan);
	plan.size_bytes = 100;
	plan.wrong_digest = true;
	ask(&asked, "key", tags, &plan);
	fake_wait(&asked.exchange);
	cr_expect(asked.exchange.cut);
	cr_expect_eq(asked.exchange.sent_bytes, 0u);
	asked_done(&asked);
	stop(&plan, 1);
}

static void crowd(struct fill_plan *plan, const struct fake_ask *first, const char *part_way)
{
	struct asked asked[6];
	char way[512];
	plan->closed = true;
	ask_for(&asked[0], first, "key", tags, plan);
	for (int i = 1; i < 6; i++)
		ask_for(&asked[i], i % 2 == 1 ? &whole : &part, "key", tags, plan);
	plan_open(plan);
	for (int i = 0; i < 6; i++) {
		fake_wait(&asked[i].exchange);
		(void)way_of(&asked[i], way);
		if (i > 0)
			cr_expect_str_eq(way, "fwd=miss; collapsed");
		else
			cr_expect_str_eq(way, part_way);
		bool is_part = i > 0 ? i % 2 == 0 : first == &part;
		cr_expect_eq(asked[i].exchange.status, is_part ? 206 : 200);
		cr_expect_eq(asked[i].exchange.sent_bytes, is_part ? 4u : SIZE);
		cr_expect_not(asked[i].exchange.cut);
		asked_done(&asked[i]);
	}
	cr_expect_eq(cache_figures().entries, 1u);
	cr_expect_eq(atomic_load(&plan->begun), 1u);
}

Test(proof, wholes_do_not_wait_for_parts)
{
	struct fill_plan plan;
	start(&plan);
	crowd(&plan, &whole, "fwd=miss; stored");
	stop(&plan, 6);
}

Test(proof, parts_wait_until_all_is_hashed)
{
	struct fill_plan plan;
	start(&plan);
	crowd(&plan, &part, "fwd=miss; stored");
	stop(&plan, 6);
}

static bool purge_image(void *arg)
{
	(void)arg;
	ct_cache_purge_tag(cache, "image");
	return true;
}

static bool purge_other(void *arg)
{
	(void)arg;
	ct_cache_purge_tag(cache, "other");
	return true;
}

static bool leave(void *arg)
{
	(void)arg;
	return false;
}

static void get_halfway(struct fill_plan *plan, bool (*halfway)(void *), void *arg, bool leaves)
{
	const struct fake_ask what = {
		.method = CT_HTTP_GET, .halfway = halfway, .halfway_arg = arg
	};
	struct asked asked;
	ask_for(&asked, &what, "key", tags, plan);
	fake_wait(&asked.exchange);
	cr_expect_eq(asked.exchange.left, leaves);
	cr_expect_eq(asked.exchange.sent_bytes == SIZE, !leaves);
	cr_expect_not(asked.exchange.cut);
	asked_done(&asked);
}

Test(proof, purge_in_mid_stream_keeps_nothing)
{
	struct fill_plan plan;
	start(&plan);
	get_halfway(&plan, purge_image, NULL, false);
	cr_expect_eq(cache_figures().entries, 0u);
	get_halfway(&plan, purge_other, NULL, false);
	cr_expect_eq(cache_figures().entries, 1u);
	stop(&plan, 2);
}

/* Also when the purge came before the fill had brought anything. */
Test(proof, purge_before_the_stream_keeps_nothing)
{
	struct fill_plan plan;
	struct asked asked;
	start(&plan);
	plan.closed = true;
	ask(&asked, "key", tags, &plan);
	plan_wait_begun(&plan, 1);
	ct_cache_purge_tag(cache, "digest");
	plan_open(&plan);
	expect_whole(&asked, "fwd=miss");
	cr_expect_eq(cache_figures().entries, 0u);
	stop(&plan, 1);
}

Test(proof, client_that_leaves)
{
	struct fill_plan plan;
	start(&plan);
	get_halfway(&plan, leave, NULL, true);
	plan_wait_freed(&plan, 1);
	cr_expect_eq(cache_figures().entries, 0u);
	cr_expect_eq(fake_live_shared(), 0u);
	get_whole(&plan, "fwd=miss; stored");
	stop(&plan, 2);
}

/* Others come while the first is slow: nobody waits for it. */
static bool get_all_meanwhile(void *arg)
{
	plan_wait_freed(arg, 1);
	get_whole(arg, "fwd=miss; stored");
	get_whole(arg, "hit");
	expect_status(arg, &part, 206, "hit");
	return true;
}

Test(proof, slow_client_delays_nobody)
{
	struct fill_plan plan;
	start(&plan);
	get_halfway(&plan, get_all_meanwhile, &plan, false);
	get_whole(&plan, "hit");
	cr_expect_eq(cache_figures().entries, 1u);
	stop(&plan, 5);
}

static bool get_part_and_purge(void *arg)
{
	plan_wait_freed(arg, 1);
	expect_status(arg, &part, 206, "fwd=miss; stored");
	ct_cache_purge_tag(cache, "digest");
	return true;
}

/* The entry that the pool made is gone again when the slow stream ends. */
Test(proof, purged_after_another_way_in)
{
	struct fill_plan plan;
	start(&plan);
	get_halfway(&plan, get_part_and_purge, &plan, false);
	cr_expect_eq(cache_figures().entries, 0u);
	stop(&plan, 2);
}

Test(proof, not_to_be_stored)
{
	struct fill_plan plan;
	start(&plan);
	plan.no_store = true;
	get_whole(&plan, "fwd=miss");
	plan_wait_freed(&plan, 1); /* who comes before that joins it */
	expect_status(&plan, &part, 206, "fwd=miss");
	cr_expect_eq(cache_figures().entries, 0u);
	stop(&plan, 2);
}
