/* Order of use and the bound, against a model so simple that it is right: an array. */
#include "cache_support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OVERHEAD (sizeof(struct ct_cache_entry) + CT_CACHE_OVERHEAD_BYTES)
#define MAX_BYTES (16 * OVERHEAD + 20000)
#define MAX_FILES 4
#define KEYS 60
#define STEPS 30000

/* ---- what a key has: always the same ---- */

static bool is_file(int number)
{
	return number % 5 == 0;
}

static size_t size_of(int number)
{
	if (number % 20 == 7)
		return MAX_BYTES / 2; /* with its overhead just too large */
	return 1 + (size_t)(number * 7919) % 4000;
}

static uint64_t charge_of(int number)
{
	return OVERHEAD +
	       (is_file(number) ? ct_cache_blocks_bytes(size_of(number)) : size_of(number));
}

static void name_of(int number, char ret_key[16], char ret_tags[2][16])
{
	(void)snprintf(ret_key, 16, "key%d", number);
	(void)snprintf(ret_tags[0], 16, "three%d", number % 3);
	(void)snprintf(ret_tags[1], 16, "seven%d", number % 7);
}

/* ---- the model ---- */

static int kept[KEYS]; /* from the oldest use to the newest */
static int kept_count;
static uint64_t evictions;

static uint64_t model_bytes(void)
{
	uint64_t sum = 0;
	for (int i = 0; i < kept_count; i++)
		sum += charge_of(kept[i]);
	return sum;
}

static void model_remove_at(int place)
{
	kept_count--;
	memmove(&kept[place], &kept[place + 1], (size_t)(kept_count - place) * sizeof(kept[0]));
}

static int model_find(int number)
{
	for (int i = 0; i < kept_count; i++) {
		if (kept[i] == number)
			return i;
	}
	return -1;
}

static bool model_is_over(int number)
{
	return model_bytes() + charge_of(number) > MAX_BYTES;
}

static void model_evict_file(void)
{
	int oldest = -1, count = 0;
	for (int i = kept_count - 1; i >= 0; i--) {
		if (is_file(kept[i])) {
			oldest = i;
			count++;
		}
	}
	if (count < MAX_FILES)
		return;
	model_remove_at(oldest);
	evictions++;
}

/* What the Cache-Status must say. */
static const char *model_get(int number)
{
	int place = model_find(number);
	if (place >= 0) {
		model_remove_at(place);
		kept[kept_count++] = number;
		return "hit";
	}
	if (charge_of(number) > MAX_BYTES / 2)
		return "fwd=miss";
	for (; model_is_over(number); evictions++)
		model_remove_at(0);
	if (is_file(number))
		model_evict_file();
	kept[kept_count++] = number;
	return "fwd=miss; stored";
}

static void model_purge(int modulus, int rest)
{
	for (int i = kept_count - 1; i >= 0; i--) {
		if (kept[i] % modulus == rest)
			model_remove_at(i);
	}
}

/* ---- the same, done ---- */

static void get_number(int number)
{
	char key[16], tags[2][16], way[512], body[512];
	struct fill_plan plan;
	name_of(number, key, tags);
	plan_init(&plan, key);
	plan.size_bytes = size_of(number);
	if (plan.size_bytes < strlen(key))
		plan.size_bytes = 0;
	plan.as_file = is_file(number);
	const char *const both[CT_CACHE_TAG_MAX] = { tags[0], tags[1] };
	cr_assert_eq(get(key, both, &plan, way, body), 200);
	cr_assert_str_eq(way, model_get(number), "key %d", number);
	cr_assert_eq(strncmp(body, key, strlen(key)), 0);
	plan_wait_freed(&plan, 1);
}

static void purge_tag(const char *name, int modulus, int rest)
{
	char tag[16];
	(void)snprintf(tag, sizeof(tag), "%s%d", name, rest);
	ct_cache_purge_tag(cache, tag);
	model_purge(modulus, rest);
}

static void compare(void)
{
	struct ct_cache_figures figures = cache_figures();
	cr_assert_leq(figures.bytes, MAX_BYTES);
	cr_assert_eq(figures.bytes, model_bytes());
	cr_assert_eq(figures.entries, (uint64_t)kept_count);
	cr_assert_eq(figures.evictions, evictions);
}

/* In the order of use, oldest last to be asked for: nothing may be missing from the middle. */
static void expect_all_kept(void)
{
	int copy[KEYS], count = kept_count;
	memcpy(copy, kept, sizeof(copy));
	for (int i = 0; i < count; i++)
		get_number(copy[i]);
	cr_expect_eq(kept_count, count);
}

Test(lru, like_a_simple_model)
{
	unsigned seed = 20261124;
	cache_start(
	    &(struct ct_cache_options){ .max_bytes = MAX_BYTES, .max_files = MAX_FILES }, 1, 64);
	for (int step = 0; step < STEPS; step++) {
		int number = rand_r(&seed) % KEYS;
		switch (rand_r(&seed) % 100) {
		case 0: purge_tag("three", 3, number % 3); break;
		case 1: purge_tag("seven", 7, number % 7); break;
		default: get_number(number); break;
		}
		compare();
	}
	expect_all_kept();
	cr_expect_gt(evictions, 1000u);
	cr_expect_gt(cache_figures().hits, 1000u);
	cache_stop();
}

/* The bound counts what is alive, not only what is booked. */
Test(lru, bound_of_memory)
{
	struct fill_plan plan;
	uint64_t most = 0;
	plan_init(&plan, "x");
	plan.size_bytes = 30000;
	cache_start(&(struct ct_cache_options){ .max_bytes = 1 << 20 }, 1, 64);
	for (int i = 0; i < 500; i++) {
		char key[16];
		(void)snprintf(key, sizeof(key), "key%d", i);
		cr_assert_eq(get(key, no_tags, &plan, NULL, NULL), 200);
		uint64_t live = fake_live_bytes();
		if (live > most)
			most = live;
	}
	cr_expect_leq(most, 1u << 20);
	cr_expect_gt(most, (1u << 20) * 8 / 10);
	cache_stop();
}

Test(lru, purge_of_nothing)
{
	struct fill_plan plan;
	char way[512];
	const char *const tags[CT_CACHE_TAG_MAX] = { "same", "same" };
	plan_init(&plan, "x");
	cache_start(&(struct ct_cache_options){ 0 }, 1, 8);
	ct_cache_purge_tag(cache, "none");
	cr_expect_eq(get("key", tags, &plan, NULL, NULL), 200);
	ct_cache_purge_tag(cache, "sam");
	ct_cache_purge_tag(cache, "key");
	cr_expect_eq(get("key", tags, &plan, way, NULL), 200);
	cr_expect_str_eq(way, "hit");
	ct_cache_purge_tag(cache, "same");
	cr_expect_eq(cache_figures().entries, 0u);
	cr_expect_eq(cache_figures().bytes, 0u);
	cache_stop();
}

/* More keys and tags than buckets. */
Test(lru, neighbours_in_a_bucket)
{
	struct fill_plan plan;
	plan_init(&plan, "x");
	cache_start(&(struct ct_cache_options){ .max_bytes = 1000 * (OVERHEAD + 1) }, 1, 8);
	for (int i = 0; i < 800; i++) {
		char key[16], tag[16];
		(void)snprintf(key, sizeof(key), "key%d", i);
		(void)snprintf(tag, sizeof(tag), "tag%d", i);
		const char *const tags[CT_CACHE_TAG_MAX] = { NULL, tag };
		cr_assert_eq(get(key, tags, &plan, NULL, NULL), 200);
	}
	cr_expect_eq(cache_figures().entries, 800u);
	for (unsigned i = 0; i < 800; i++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "tag%u", i);
		ct_cache_purge_tag(cache, name);
		cr_assert_eq(cache_figures().entries, 799u - i, "%s", name);
	}
	cache_stop();
}
