#include "cache_support.h"
#include "base/assert.h"
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct ct_cache *cache;
struct ct_thread_pool *pool;
const char *const no_tags[CT_CACHE_TAG_MAX];

void cache_start(const struct ct_cache_options *options, unsigned threads, size_t max_queued)
{
	const struct ct_thread_pool_options pool_options = { "fill", threads, max_queued };
	struct ct_cache_options copy = *options;
	CT_ASSERT(ct_thread_pool_new(&pool_options, &pool) == 0);
	copy.fill_pool = pool;
	CT_ASSERT(ct_cache_new(&copy, &cache) == 0);
}

void cache_stop(void)
{
	ct_thread_pool_free(pool);
	ct_cache_free(cache);
	CT_ASSERT(fake_live_requests() == 0);
	CT_ASSERT(fake_live_shared() == 0);
}

struct ct_cache_figures cache_figures(void)
{
	struct ct_cache_figures figures;
	ct_cache_figures(cache, &figures);
	return figures;
}

/* ---- fills ---- */

void plan_init(struct fill_plan *plan, const char *text)
{
	memset(plan, 0, sizeof(*plan));
	plan->text = text;
	/* Of a low rank, so that a callback under a lock of the cache asserts. */
	ct_lock_init(&plan->lock, CT_LOCK_JOBS);
	ct_condition_init(&plan->changed);
}

void plan_open(struct fill_plan *plan)
{
	ct_lock_take(&plan->lock);
	plan->closed = false;
	ct_condition_broadcast(&plan->changed);
	ct_lock_release(&plan->lock);
}

void plan_wait_begun(struct fill_plan *plan, unsigned count)
{
	ct_lock_take(&plan->lock);
	while (atomic_load(&plan->begun) < count)
		ct_condition_wait(&plan->changed, &plan->lock);
	ct_lock_release(&plan->lock);
}

void plan_wait_freed(struct fill_plan *plan, unsigned count)
{
	ct_lock_take(&plan->lock);
	while (atomic_load(&plan->freed) < count)
		ct_condition_wait(&plan->changed, &plan->lock);
	ct_lock_release(&plan->lock);
}

static void pass_gate(struct fill_plan *plan)
{
	ct_lock_take(&plan->lock);
	(void)atomic_fetch_add(&plan->begun, 1);
	ct_condition_broadcast(&plan->changed);
	while (plan->closed)
		ct_condition_wait(&plan->changed, &plan->lock);
	ct_lock_release(&plan->lock);
}

static int make_file(const char *data, size_t size)
{
	int fd = memfd_create("content", MFD_CLOEXEC);
	CT_ASSERT(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	return fd;
}

static int run_plan(
    void *arg, struct ct_cache_content *ret_content, char ret_detail[CT_CACHE_DETAIL_BYTES])
{
	struct fill_plan *plan = arg;
	pass_gate(plan);
	if (plan->error < 0) {
		(void)snprintf(
		    ret_detail, CT_CACHE_DETAIL_BYTES, "%s", plan->detail ? plan->detail : "");
		return plan->error;
	}
	size_t size = plan->size_bytes ? plan->size_bytes : strlen(plan->text);
	char *data = malloc(size + 1);
	CT_ASSERT(data != NULL);
	memset(data, ' ', size);
	memcpy(data, plan->text, strlen(plan->text));
	ct_hash_once(data, size, &ret_content->digest);
	char hex[CT_DIGEST_HEX_CHARS + 1];
	ct_digest_to_hex(&ret_content->digest, hex);
	(void)snprintf(ret_content->type, sizeof(ret_content->type), "image/webp");
	(void)snprintf(ret_content->etag, sizeof(ret_content->etag), "\"%s\"", hex);
	(void)snprintf(ret_content->cache_control, sizeof(ret_content->cache_control), "public");
	ret_content->digest.bytes[0] ^= plan->wrong_digest;
	ret_content->is_verified = plan->is_verified;
	ret_content->size_bytes = size;
	ret_content->no_store = plan->no_store;
	if (!plan->as_file) {
		ret_content->data = data;
		return 0;
	}
	ret_content->fd = make_file(data, size);
	free(data);
	return 0;
}

static void free_plan(void *arg)
{
	struct fill_plan *plan = arg;
	ct_lock_take(&plan->lock);
	(void)atomic_fetch_add(&plan->freed, 1);
	ct_condition_broadcast(&plan->changed);
	ct_lock_release(&plan->lock);
}

/* ---- requests ---- */

void ask(struct asked *asked, const char *key, const char *const tags[CT_CACHE_TAG_MAX],
    struct fill_plan *plan)
{
	ask_for(asked, &(struct fake_ask){ .method = CT_HTTP_GET }, key, tags, plan);
}

void ask_for(struct asked *asked, const struct fake_ask *what, const char *key,
    const char *const tags[CT_CACHE_TAG_MAX], struct fill_plan *plan)
{
	const struct ct_cache_fill fill = { run_plan, free_plan, plan };
	fake_exchange_init(&asked->exchange);
	struct ct_http_request *request = fake_request(&asked->exchange, what);
	asked->next = ct_cache_answer(cache, request, key, tags, &fill);
	CT_ASSERT(asked->next == CT_HTTP_WAIT || asked->next == CT_HTTP_ANSWERED);
	if (asked->next == CT_HTTP_ANSWERED)
		CT_ASSERT(asked->exchange.answered);
}

void asked_done(struct asked *asked)
{
	fake_exchange_done(&asked->exchange);
}

const char *way_of(const struct asked *asked, char ret_way[512])
{
	char status[512];
	(void)fake_header(&asked->exchange, "Cache-Status", status);
	CT_ASSERT(status[0] == '\0' || strncmp(status, "calotype; ", 10) == 0);
	(void)snprintf(ret_way, 512, "%s", status[0] != '\0' ? status + 10 : "");
	return ret_way;
}

int get(const char *key, const char *const tags[CT_CACHE_TAG_MAX], struct fill_plan *plan,
    char ret_way[512], char ret_body[512])
{
	struct asked asked;
	ask(&asked, key, tags, plan);
	fake_wait(&asked.exchange);
	if (ret_way != NULL)
		(void)way_of(&asked, ret_way);
	if (ret_body != NULL)
		(void)snprintf(ret_body, 512, "%s", asked.exchange.body);
	int status = asked.exchange.status;
	asked_done(&asked);
	return status;
}
