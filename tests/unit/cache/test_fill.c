/* One fill however many wait; what ends it, and what a purge does to it. */
#include "cache_support.h"
#include "calotype/error.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define CROWD 50

static const char *const tags[CT_CACHE_TAG_MAX] = { "image", "digest" };

static void start(unsigned threads)
{
	cache_start(&(struct ct_cache_options){ 0 }, threads, 64);
}

static void expect_answer(
    struct asked *asked, int status, const char *expected_way, const char *body)
{
	char way[512];
	fake_wait(&asked->exchange);
	cr_expect_eq(asked->exchange.status, status);
	cr_expect_str_eq(way_of(asked, way), expected_way);
	cr_expect_str_eq(asked->exchange.body, body);
	asked_done(asked);
}

static void expect_get(
    const char *key, struct fill_plan *plan, int status, const char *expected_way, const char *body)
{
	struct asked asked;
	ask(&asked, key, tags, plan);
	expect_answer(&asked, status, expected_way, body);
}

Test(fill, many_wait_for_one)
{
	struct fill_plan plan;
	struct asked crowd[CROWD];
	plan_init(&plan, "photo");
	plan.closed = true;
	start(4);
	for (int i = 0; i < CROWD; i++)
		ask(&crowd[i], "key", tags, &plan);
	plan_open(&plan);
	expect_answer(&crowd[0], 200, "fwd=miss; stored", "photo");
	for (int i = 1; i < CROWD; i++)
		expect_answer(&crowd[i], 200, "fwd=miss; collapsed", "photo");
	expect_get("key", &plan, 200, "hit", "photo");
	struct ct_cache_figures figures = cache_figures();
	cr_expect_eq(figures.misses, (uint64_t)CROWD);
	cr_expect_eq(figures.collapsed, CROWD - 1u);
	cr_expect_eq(figures.hits, 1u);
	cache_stop();
	cr_expect_eq(atomic_load(&plan.begun), 1u);
	cr_expect_eq(atomic_load(&plan.freed), CROWD + 1u);
}

Test(fill, error_is_told_to_all_and_not_kept)
{
	struct fill_plan plan;
	struct asked crowd[3];
	plan_init(&plan, "photo");
	plan.closed = true;
	plan.error = CT_ERROR_NOT_FOUND;
	plan.detail = "no such photo";
	start(1);
	for (int i = 0; i < 3; i++)
		ask(&crowd[i], "key", tags, &plan);
	plan_open(&plan);
	for (int i = 0; i < 3; i++)
		expect_answer(&crowd[i], 404, "", "not_found: no such photo");
	plan.error = 0;
	expect_get("key", &plan, 200, "fwd=miss; stored", "photo");
	cache_stop();
	cr_expect_eq(atomic_load(&plan.freed), 4u);
}

static void expect_mismatch(bool verified)
{
	struct fill_plan plan;
	struct asked first, second;
	plan_init(&plan, "damaged");
	plan.closed = true;
	plan.wrong_digest = true;
	plan.is_verified = verified;
	start(1);
	ask(&first, "key", tags, &plan);
	ask(&second, "key", tags, &plan);
	plan_open(&plan);
	if (verified) { /* the fill has said that it looked */
		expect_answer(&first, 200, "fwd=miss; stored", "damaged");
		expect_answer(&second, 200, "fwd=miss; collapsed", "damaged");
		cache_stop();
		return;
	}
	static const char problem[] = "digest_mismatch: stored bytes do not have their digest";
	expect_answer(&first, 500, "", problem);
	expect_answer(&second, 500, "", problem);
	cr_expect_eq(cache_figures().entries, 0u);
	cr_expect_eq(fake_live_shared(), 0u);
	expect_get("key", &plan, 500, "", problem);
	plan.wrong_digest = false;
	expect_get("key", &plan, 200, "fwd=miss; stored", "damaged");
	cache_stop();
	cr_expect_eq(atomic_load(&plan.begun), 3u);
}

Test(fill, other_bytes_than_their_digest_are_never_kept)
{
	expect_mismatch(false);
}

Test(fill, verified_bytes_are_not_hashed_again)
{
	expect_mismatch(true);
}

Test(fill, not_to_be_stored)
{
	struct fill_plan plan;
	plan_init(&plan, "photo");
	plan.no_store = true;
	start(1);
	expect_get("key", &plan, 200, "fwd=miss", "photo");
	expect_get("key", &plan, 200, "fwd=miss", "photo");
	cr_expect_eq(cache_figures().entries, 0u);
	cache_stop();
}

Test(fill, file)
{
	struct fill_plan plan;
	plan_init(&plan, "photo");
	plan.as_file = true;
	start(1);
	expect_get("key", &plan, 200, "fwd=miss; stored", "photo");
	expect_get("key", &plan, 200, "hit", "photo");
	plan_wait_freed(&plan, 2);
	cr_expect_eq(fake_live_shared(), 1u);
	ct_cache_purge_tag(cache, "image");
	cr_expect_eq(fake_live_shared(), 0u);
	cache_stop();
}

Test(fill, file_is_counted_with_its_list)
{
	struct fill_plan plan;
	plan_init(&plan, "photo");
	plan.as_file = true;
	plan.size_bytes = 5 * CT_CACHE_BLOCK_BYTES + 1;
	start(1);
	cr_expect_eq(get("key", no_tags, &plan, NULL, NULL), 200);
	cr_expect_eq(cache_figures().bytes, sizeof(struct ct_cache_entry) +
						CT_CACHE_OVERHEAD_BYTES +
						ct_cache_blocks_bytes(plan.size_bytes));
	cr_expect_geq(ct_cache_blocks_bytes(plan.size_bytes), 6 * CT_DIGEST_BYTES);
	plan_wait_freed(&plan, 1);
	cache_stop();
}

/* ---- bounds ---- */

Test(fill, waiters_are_bounded)
{
	struct fill_plan plan, other;
	struct asked crowd[8], refused;
	plan_init(&plan, "photo");
	plan_init(&other, "other");
	plan.closed = other.closed = true;
	cache_start(&(struct ct_cache_options){ .max_waiters = 8 }, 2, 64);
	for (int i = 0; i < 7; i++)
		ask(&crowd[i], "key", tags, &plan);
	ask(&crowd[7], "other", no_tags, &other);
	ask(&refused, "key", tags, &plan);
	cr_expect_eq(refused.next, CT_HTTP_ANSWERED);
	expect_answer(&refused, 503, "", "limit_reached: an internal limit is reached");
	ask(&refused, "third", tags, &plan);
	cr_expect_eq(refused.next, CT_HTTP_ANSWERED);
	expect_answer(&refused, 503, "", "limit_reached: an internal limit is reached");
	/* Those of a doomed fill wait still. */
	ct_cache_purge_tag(cache, "image");
	ask(&refused, "key", tags, &plan);
	expect_answer(&refused, 503, "", "limit_reached: an internal limit is reached");
	plan_open(&plan);
	plan_open(&other);
	for (int i = 0; i < 7; i++)
		expect_answer(&crowd[i], 200, i == 0 ? "fwd=miss" : "fwd=miss; collapsed", "photo");
	expect_answer(&crowd[7], 200, "fwd=miss; stored", "other");
	expect_get("key", &plan, 200, "fwd=miss; stored", "photo");
	cache_stop();
	cr_expect_eq(atomic_load(&plan.begun), 2u);
	cr_expect_eq(atomic_load(&plan.freed), 11u);
}

Test(fill, full_queue_of_the_pool)
{
	struct fill_plan plan;
	struct asked running, queued, refused;
	plan_init(&plan, "photo");
	plan.closed = true;
	cache_start(&(struct ct_cache_options){ 0 }, 1, 1);
	ask(&running, "one", tags, &plan);
	plan_wait_begun(&plan, 1);
	ask(&queued, "two", tags, &plan);
	ask(&refused, "three", tags, &plan);
	cr_expect_eq(refused.next, CT_HTTP_ANSWERED);
	expect_answer(
	    &refused, 503, "", "limit_reached: the disk has more to do than it can; try again");
	plan_open(&plan);
	expect_answer(&running, 200, "fwd=miss; stored", "photo");
	expect_answer(&queued, 200, "fwd=miss; stored", "photo");
	expect_get("three", &plan, 200, "fwd=miss; stored", "photo");
	cache_stop();
	cr_expect_eq(atomic_load(&plan.freed), 4u);
}

/* ---- purge ---- */

static void purge_image(void)
{
	ct_cache_purge_tag(cache, "image");
}

static void purge_digest(void)
{
	ct_cache_purge_tag(cache, "digest");
}

static void (*const purges[])(void) = { purge_image, purge_digest };

/* The old fill ends before the new one, or after it. */
static void expect_doomed(void (*purge)(void), bool old_ends_last)
{
	struct fill_plan old, fresh;
	struct asked before, also_before, after;
	plan_init(&old, "old");
	plan_init(&fresh, "new");
	old.closed = fresh.closed = true;
	start(2);
	ask(&before, "key", tags, &old);
	plan_wait_begun(&old, 1);
	ask(&also_before, "key", tags, &old);
	purge();
	ask(&after, "key", tags, &fresh);
	plan_wait_begun(&fresh, 1);
	if (old_ends_last) {
		plan_open(&fresh);
		expect_answer(&after, 200, "fwd=miss; stored", "new");
	}
	plan_open(&old);
	expect_answer(&before, 200, "fwd=miss", "old");
	expect_answer(&also_before, 200, "fwd=miss; collapsed", "old");
	if (!old_ends_last) {
		cr_expect_eq(cache_figures().entries, 0u);
		plan_open(&fresh);
		expect_answer(&after, 200, "fwd=miss; stored", "new");
	}
	expect_get("key", &old, 200, "hit", "new");
	cr_expect_eq(cache_figures().entries, 1u);
	cache_stop();
}

Test(purge, in_mid_fill)
{
	for (int i = 0; i < 4; i++)
		expect_doomed(purges[i % 2], i >= 2);
}

Test(purge, leaves_other_fills_alone)
{
	struct fill_plan plan;
	struct asked asked;
	plan_init(&plan, "photo");
	plan.closed = true;
	start(1);
	ask(&asked, "key", tags, &plan);
	ct_cache_purge_tag(cache, "imag");
	ct_cache_purge_tag(cache, "key");
	plan_open(&plan);
	expect_answer(&asked, 200, "fwd=miss; stored", "photo");
	expect_get("key", &plan, 200, "hit", "photo");
	cache_stop();
}

/* A fill that has been queued but not begun is doomed as well: it costs a fill, no more. */
Test(purge, before_the_fill_begins)
{
	struct fill_plan blocker, plan;
	struct asked first, second;
	plan_init(&blocker, "blocker");
	plan_init(&plan, "photo");
	blocker.closed = true;
	start(1);
	ask(&first, "blocker", no_tags, &blocker);
	plan_wait_begun(&blocker, 1);
	ask(&second, "key", tags, &plan);
	purge_image();
	plan_open(&blocker);
	expect_answer(&first, 200, "fwd=miss; stored", "blocker");
	expect_answer(&second, 200, "fwd=miss", "photo");
	cr_expect_eq(cache_figures().entries, 1u);
	cache_stop();
}
