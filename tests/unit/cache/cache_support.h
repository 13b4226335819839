/*
 * A cache with a pool of its own, fills that do as they are told, and requests that are waited
 * for. Everything asserts by itself.
 */
#ifndef CT_TESTS_CACHE_SUPPORT_H
#define CT_TESTS_CACHE_SUPPORT_H

#include "cache/cache_priv.h"
#include "fake_engine.h"

#include <stdatomic.h>

extern struct ct_cache *cache;
extern struct ct_thread_pool *pool;

/* What a zero field of `options` means, the test's own pool included. */
void cache_start(const struct ct_cache_options *options, unsigned threads, size_t max_queued);
void cache_stop(void); /* asserts that nothing is left */
struct ct_cache_figures cache_figures(void);

struct fill_plan {
	const char *text; /* what it brings */
	int error;	  /* or this */
	const char *detail;
	bool wrong_digest, is_verified, no_store, as_file;
	size_t size_bytes; /* 0: of the text; else padded with blanks */
	bool closed;	   /* it waits until plan_open() */

	atomic_uint begun, freed;
	struct ct_lock lock;
	struct ct_condition changed;
};
void plan_init(struct fill_plan *plan, const char *text);
void plan_open(struct fill_plan *plan);
void plan_wait_begun(struct fill_plan *plan, unsigned count);
/* A fill is freed after its answers, as the last thing: then a plan may go. */
void plan_wait_freed(struct fill_plan *plan, unsigned count);

struct asked {
	struct fake_exchange exchange;
	enum ct_http_next next;
};
/* Does not wait. `tag` may be NULL. */
void ask(struct asked *asked, const char *key, const char *const tags[CT_CACHE_TAG_MAX],
    struct fill_plan *plan);
/* With more than a plain GET. */
void ask_for(struct asked *asked, const struct fake_ask *what, const char *key,
    const char *const tags[CT_CACHE_TAG_MAX], struct fill_plan *plan);
void asked_done(struct asked *asked);

/* A GET that is waited for: the status; its Cache-Status and body, if wanted. */
int get(const char *key, const char *const tags[CT_CACHE_TAG_MAX], struct fill_plan *plan,
    char ret_way[512], char ret_body[512]);

/* "fwd=miss; stored" and so on, without the name. */
const char *way_of(const struct asked *asked, char ret_way[512]);

extern const char *const no_tags[CT_CACHE_TAG_MAX];

#endif
