/*
 * Many threads on one small cache; a plain program, for TSan.
 *
 * storm: all threads ask for one key at once, again and again; each key is filled once.
 * purges: things change while they are asked for. Who asks after a purge has returned never gets
 * what was true before it, and the bound holds all the time. The widest of some things are
 * files, which are proved by whom asks for the whole, while others ask for a part.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/hash.h"
#include "cache/cache_priv.h"
#include "cache/sealed_priv.h"
#include "fake_engine.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS 4
#define PURGERS 2
#define STORM_KEYS 2000
#define THINGS 24
#define WIDTHS 3
#define ASKS 20000
#define PURGES 4000
#define MAX_BYTES (256u << 10)

struct thing {
	atomic_ulong version;
	atomic_ulong purged; /* the purge that told of this version has returned */
};

static struct thing things[THINGS];
static struct ct_cache *cache;
static atomic_uint live_fills, storm_fills, storm_turn;
static atomic_ulong hits, collapsed, stored;

/* Between a miss and what comes of it the cache allocates: there, the scheduler is helped along. */
static _Thread_local bool dawdling;
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
	if (dawdling)
		(void)usleep(300);
	return __real_calloc(count, size);
}

struct wish {
	int thing, width; /* thing < 0: a storm */
	bool dawdles;
	const char *range;
};

/* ---- fills ---- */

static bool is_file(const struct wish *wish)
{
	return wish->width == WIDTHS - 1 && wish->thing % 8 == 0;
}

static int run_fill(
    void *arg, struct ct_cache_content *ret_content, char ret_detail[CT_CACHE_DETAIL_BYTES])
{
	const struct wish *wish = arg;
	unsigned long version = 0;
	(void)ret_detail;
	if (wish->thing < 0)
		(void)atomic_fetch_add(&storm_fills, 1);
	else
		version = atomic_load(&things[wish->thing].version);
	if (wish->width == 1 && version % 8 == 0)
		(void)usleep(200); /* what was read grows old */
	size_t size = is_file(wish) ? CT_CACHE_BLOCK_BYTES + 1 : 0;
	if (wish->width == WIDTHS - 1 && wish->thing % 8 == 1 && version % 4 == 0)
		size = CT_CACHE_SEALED_MIN;
	size += 64 + (size_t)(version * 997 + (unsigned long)wish->width * 4001) % 12000;
	char *data = calloc(1, size);
	CT_ASSERT(data != NULL);
	(void)snprintf(data, size, "%d %d %lu", wish->thing, wish->width, version);
	ret_content->size_bytes = size;
	ct_hash_once(data, size, &ret_content->digest);
	(void)snprintf(ret_content->type, sizeof(ret_content->type), "image/webp");
	(void)snprintf(ret_content->etag, sizeof(ret_content->etag), "\"x\"");
	(void)snprintf(ret_content->cache_control, sizeof(ret_content->cache_control), "public");
	if (!is_file(wish)) {
		ret_content->data = data;
		return 0;
	}
	ret_content->fd = memfd_create("thing", MFD_CLOEXEC);
	CT_ASSERT(ret_content->fd >= 0 && write(ret_content->fd, data, size) == (ssize_t)size);
	free(data);
	return 0;
}

static void free_wish(void *arg)
{
	free(arg);
	(void)atomic_fetch_sub(&live_fills, 1);
}

/* ---- requests ---- */

static void count_way(const struct fake_exchange *exchange)
{
	char way[512];
	(void)fake_header(exchange, "Cache-Status", way);
	if (strstr(way, "; hit") != NULL)
		(void)atomic_fetch_add(&hits, 1);
	if (strstr(way, "collapsed") != NULL)
		(void)atomic_fetch_add(&collapsed, 1);
	if (strstr(way, "stored") != NULL)
		(void)atomic_fetch_add(&stored, 1);
}

/* The version that came. */
static unsigned long ask(const struct wish *wish, const char *key, const char *tag)
{
	const struct fake_ask get = { .method = CT_HTTP_GET, .range = wish->range };
	const char *const tags[CT_CACHE_TAG_MAX] = { tag };
	struct wish *copy = malloc(sizeof(*copy));
	struct fake_exchange exchange;
	CT_ASSERT(copy != NULL);
	*copy = *wish;
	(void)atomic_fetch_add(&live_fills, 1);
	const struct ct_cache_fill fill = { run_fill, free_wish, copy };
	fake_exchange_init(&exchange);
	struct ct_http_request *request = fake_request(&exchange, &get);
	dawdling = wish->dawdles;
	(void)ct_cache_answer(cache, request, key, tags, &fill);
	dawdling = false;
	fake_wait(&exchange);
	CT_ASSERT(exchange.status == (wish->range != NULL ? 206 : 200) && !exchange.cut);
	int thing = 0, width = 0;
	unsigned long version = 0;
	CT_ASSERT(sscanf(exchange.body, "%d %d %lu", &thing, &width, &version) == 3);
	CT_ASSERT(thing == wish->thing && width == wish->width);
	count_way(&exchange);
	fake_exchange_done(&exchange);
	return version;
}

static void *run_storm(void *arg)
{
	for (unsigned i = 0; i < STORM_KEYS; i++) {
		const struct wish wish = { -1, 0, i % 8 == (uintptr_t)arg, NULL };
		char key[32];
		(void)snprintf(key, sizeof(key), "storm%u", i);
		/* All begin each key together. */
		(void)atomic_fetch_add(&storm_turn, 1);
		while (atomic_load(&storm_turn) < (i + 1) * THREADS)
			sched_yield();
		(void)ask(&wish, key, NULL);
	}
	return NULL;
}

static void *run_asker(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	for (int i = 0; i < ASKS; i++) {
		struct wish wish = { rand_r(&seed) % THINGS, rand_r(&seed) % WIDTHS, false,
			rand_r(&seed) % 4 == 0 ? "bytes=0-59" : NULL };
		char key[32], tag[32];
		struct ct_cache_figures figures;
		(void)snprintf(key, sizeof(key), "i/%d/%d", wish.thing, wish.width);
		(void)snprintf(tag, sizeof(tag), "%d", wish.thing);
		unsigned long purged = atomic_load(&things[wish.thing].purged);
		CT_ASSERT(ask(&wish, key, tag) >= purged);
		ct_cache_figures(cache, &figures);
		CT_ASSERT(figures.bytes <= MAX_BYTES);
	}
	return NULL;
}

static void raise_purged(struct thing *thing, unsigned long version)
{
	unsigned long before = atomic_load(&thing->purged);
	while (
	    before < version && !atomic_compare_exchange_weak(&thing->purged, &before, version)) {
	}
}

static void *run_purger(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	for (int i = 0; i < PURGES; i++) {
		int number = rand_r(&seed) % THINGS;
		struct thing *thing = &things[number];
		char text[32];
		unsigned long version = atomic_fetch_add(&thing->version, 1) + 1;
		(void)snprintf(text, sizeof(text), "%d", number);
		ct_cache_purge_tag(cache, text);
		raise_purged(thing, version);
		if (i % 4 == 0)
			sched_yield();
	}
	return NULL;
}

/* ---- */

static void run_threads(void *(*run)(void *), int count, pthread_t *threads)
{
	for (int i = 0; i < count; i++)
		CT_ASSERT(
		    ct_thread_start("stress", run, (void *)(uintptr_t)(i + 1), &threads[i]) == 0);
}

static void join(const pthread_t *threads, int count)
{
	for (int i = 0; i < count; i++)
		CT_ASSERT(pthread_join(threads[i], NULL) == 0);
}

static void report(const char *name, int64_t began_ms)
{
	struct ct_cache_figures figures;
	ct_cache_figures(cache, &figures);
	printf("%s: %lu hits, %lu collapsed, %lu stored, %llu evictions, %lld ms\n", name,
	    atomic_load(&hits), atomic_load(&collapsed), atomic_load(&stored),
	    (unsigned long long)figures.evictions, (long long)(ct_clock_monotonic_ms() - began_ms));
	atomic_store(&hits, 0);
	atomic_store(&collapsed, 0);
	atomic_store(&stored, 0);
}

int main(void)
{
	const struct ct_thread_pool_options pool_options = { "fill", 2, 256 };
	struct ct_cache_options options = { .max_bytes = MAX_BYTES };
	pthread_t threads[THREADS + PURGERS];
	CT_ASSERT(ct_thread_pool_new(&pool_options, &options.fill_pool) == 0);
	CT_ASSERT(ct_cache_new(&options, &cache) == 0);

	int64_t began_ms = ct_clock_monotonic_ms();
	run_threads(run_storm, THREADS, threads);
	join(threads, THREADS);
	report("storm", began_ms);
	CT_ASSERT(atomic_load(&storm_fills) == STORM_KEYS);

	began_ms = ct_clock_monotonic_ms();
	run_threads(run_asker, THREADS, threads);
	run_threads(run_purger, PURGERS, threads + THREADS);
	join(threads, THREADS + PURGERS);
	report("purges", began_ms);

	ct_thread_pool_free(options.fill_pool);
	CT_ASSERT(fake_live_bytes() <= MAX_BYTES);
	ct_cache_free(cache);
	CT_ASSERT(fake_live_requests() == 0 && fake_live_shared() == 0);
	CT_ASSERT(atomic_load(&live_fills) == 0);
	return 0;
}
