/*
 * The index: a hash table by key, one by tag, and a list from the newest use to the oldest. All
 * under one lock, held for a few pointer moves; whatever falls out is freed after it is released.
 *
 * A fill is known by its key from the first miss until its content is there; who comes meanwhile
 * waits on it. A purge dooms it: it leaves the table, so that later requests begin a fill of their
 * own, which reads what is true after the purge, and its content is not kept.
 *
 * A fill that brings a file does not hash it for those who want the whole: each of them proves it
 * on its own while it is sent (stream.c), so that nobody waits for a slow client. The first to be
 * done puts the entry into the index. Until then it is in a list of its own, where a purge finds
 * and dooms it. Only for whom wants less, the fill goes on and hashes the file.
 */
#include "cache/cache_priv.h"
#include "cache/sealed_priv.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/log.h"
#include "calotype/error.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define CACHE_MAGIC 0x63616368u
#define DEFAULT_BYTES (64u << 20)
#define DEFAULT_FILES 256
#define DEFAULT_WAITERS 1024
#define MIN_BUCKETS 256
#define MAX_BUCKETS (1u << 20)
#define BYTES_PER_BUCKET 4096
#define DESCRIPTORS_SHARE 4 /* the rest is for connections, and files beside them */
#define MAX_SEALED 16384    /* each is a mapping too, of which Linux allows 65530 */

struct waiter {
	struct ct_http_request *request;
	struct waiter *next;
	bool is_first; /* its request began the fill */
};

struct fill {
	/* set once */
	struct ct_cache *cache;
	struct ct_cache_fill spec;
	char key[CT_CACHE_KEY_MAX + 1];
	char tags[CT_CACHE_TAG_MAX][CT_CACHE_TAG_CHARS + 1];

	/* under the cache's lock */
	struct ct_cache_node node;
	struct waiter *waiters; /* the first request is the last in the list */
	bool doomed;
};

struct ct_cache {
	uint32_t magic;

	/* set once */
	struct ct_cache_options options;
	size_t bucket_mask;

	struct ct_cache_places places;

	/* under the lock */
	struct ct_lock lock;
	struct ct_cache_node **by_key, **by_tag;
	struct ct_cache_node *fills;	/* at most max_waiters */
	struct ct_cache_node *unproved; /* entries; each has an answer or a fill under way */
	struct ct_cache_use_list {
		struct ct_cache_entry *newest, *oldest;
	} used[CT_CACHE_USE_LISTS]; /* of all, and of files */
	unsigned files, waiters;
	struct ct_cache_figures figures;
};

#define ENTRY_OF_KEY(node) \
	((struct ct_cache_entry *)((char *)(node)-offsetof(struct ct_cache_entry, by_key)))
#define FILL_OF(node_) ((struct fill *)((char *)(node_)-offsetof(struct fill, node)))

/* ---- small parts ---- */

/* FNV-1a; keys are ids and digests of our own making. */
static size_t bucket_of(const struct ct_cache *cache, const char *text)
{
	uint64_t hash = 14695981039346656037ULL;
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 1099511628211ULL;
	return (hash ^ hash >> 32) & cache->bucket_mask;
}

static void node_insert(struct ct_cache_node **head, struct ct_cache_node *node)
{
	node->next = *head;
	node->where = head;
	if (node->next)
		node->next->where = &node->next;
	*head = node;
}

static void node_remove(struct ct_cache_node *node)
{
	if (!node->where)
		return;
	*node->where = node->next;
	if (node->next)
		node->next->where = node->where;
	node->next = NULL;
	node->where = NULL;
}

/* A file is in both lists. */
static int last_list_of(const struct ct_cache_entry *entry)
{
	return entry->is_file ? CT_CACHE_USE_FILES : CT_CACHE_USE_ALL;
}

static void lru_push_locked(struct ct_cache *cache, struct ct_cache_entry *entry)
{
	for (int i = 0; i <= last_list_of(entry); i++) {
		struct ct_cache_use_list *list = &cache->used[i];
		entry->use[i] = (struct ct_cache_use){ .older = list->newest };
		*(list->newest ? &list->newest->use[i].newer : &list->oldest) = entry;
		list->newest = entry;
	}
}

static void lru_remove_locked(struct ct_cache *cache, struct ct_cache_entry *entry)
{
	for (int i = 0; i <= last_list_of(entry); i++) {
		struct ct_cache_use_list *list = &cache->used[i];
		struct ct_cache_use *use = &entry->use[i];
		*(use->newer ? &use->newer->use[i].older : &list->newest) = use->older;
		*(use->older ? &use->older->use[i].newer : &list->oldest) = use->newer;
		*use = (struct ct_cache_use){ 0 };
	}
}

static struct ct_cache_entry *find_entry_locked(struct ct_cache *cache, const char *key)
{
	struct ct_cache_node *node = cache->by_key[bucket_of(cache, key)];
	while (node && strcmp(ENTRY_OF_KEY(node)->key, key) != 0)
		node = node->next;
	return node ? ENTRY_OF_KEY(node) : NULL;
}

static struct fill *find_fill_locked(struct ct_cache *cache, const char *key)
{
	struct ct_cache_node *node = cache->fills;
	while (node && strcmp(FILL_OF(node)->key, key) != 0)
		node = node->next;
	return node ? FILL_OF(node) : NULL;
}

/* ---- index ---- */

/* Finds it, as the newest use, with a reference for the caller. */
static struct ct_cache_entry *use_entry_locked(struct ct_cache *cache, const char *key)
{
	struct ct_cache_entry *entry = find_entry_locked(cache, key);
	if (entry == NULL)
		return NULL;
	lru_remove_locked(cache, entry);
	lru_push_locked(cache, entry);
	ct_cache_entry_ref(entry);
	cache->figures.hits++;
	return entry;
}

static void index_insert_locked(struct ct_cache *cache, struct ct_cache_entry *entry)
{
	entry->indexed = true;
	ct_cache_entry_ref(entry);
	node_insert(&cache->by_key[bucket_of(cache, entry->key)], &entry->by_key);
	for (int i = 0; i < CT_CACHE_TAG_MAX; i++) {
		entry->by_tag[i].entry = entry;
		if (entry->tags[i][0] != '\0')
			node_insert(&cache->by_tag[bucket_of(cache, entry->tags[i])],
			    &entry->by_tag[i].node);
	}
	lru_push_locked(cache, entry);
	cache->figures.bytes += entry->charge_bytes;
	cache->figures.entries++;
	cache->files += entry->is_file;
}

/* Takes it out; the index's reference goes onto `*dropped`. */
static void index_remove_locked(
    struct ct_cache *cache, struct ct_cache_entry *entry, struct ct_cache_entry **dropped)
{
	CT_ASSERT(entry->indexed);
	entry->indexed = false;
	node_remove(&entry->by_key);
	for (int i = 0; i < CT_CACHE_TAG_MAX; i++)
		node_remove(&entry->by_tag[i].node);
	lru_remove_locked(cache, entry);
	cache->figures.bytes -= entry->charge_bytes;
	cache->figures.entries--;
	cache->files -= entry->is_file;
	entry->next_dropped = *dropped;
	*dropped = entry;
}

static void drop(struct ct_cache_entry *dropped)
{
	while (dropped) {
		struct ct_cache_entry *next = dropped->next_dropped;
		ct_cache_entry_unref(dropped);
		dropped = next;
	}
}

static void evict_locked(
    struct ct_cache *cache, struct ct_cache_entry *entry, struct ct_cache_entry **dropped)
{
	CT_ASSERT(entry != NULL); /* what is over the bound is in the list */
	index_remove_locked(cache, entry, dropped);
	cache->figures.evictions++;
}

/* Makes room first, so that the bound holds at every moment. */
static bool keep_locked(
    struct ct_cache *cache, struct ct_cache_entry *entry, struct ct_cache_entry **dropped)
{
	if (entry->charge_bytes > cache->options.max_bytes / 2)
		return false;
	struct ct_cache_entry *old = find_entry_locked(cache, entry->key);
	if (old)
		index_remove_locked(cache, old, dropped);
	while (cache->figures.bytes + entry->charge_bytes > cache->options.max_bytes)
		evict_locked(cache, cache->used[CT_CACHE_USE_ALL].oldest, dropped);
	if (entry->is_file && cache->files >= cache->options.max_files)
		evict_locked(cache, cache->used[CT_CACHE_USE_FILES].oldest, dropped);
	index_insert_locked(cache, entry);
	return true;
}

/* ---- fills ---- */

static void fill_free(struct fill *fill)
{
	if (fill == NULL)
		return;
	while (fill->waiters) {
		struct waiter *next = fill->waiters->next;
		free(fill->waiters);
		fill->waiters = next;
	}
	fill->spec.free(fill->spec.arg);
	free(fill);
}

CT_DEFINE_CLEANUP(cleanup_fill, struct fill *, fill_free)

static void content_done(struct ct_cache_content *content)
{
	free(content->data);
	if (content->fd >= 0)
		(void)close(content->fd); /* only read from */
}

/* A file is verified later. */
static int verify(const struct ct_cache_content *content)
{
	struct ct_digest digest;
	if (content->data == NULL || content->is_verified)
		return 0;
	ct_hash_once(content->data, content->size_bytes, &digest);
	return ct_digest_equal(&digest, &content->digest) ? 0 : CT_ERROR_DIGEST_MISMATCH;
}

/* Runs the caller's fill and checks what it brought. */
static int bring(struct fill *fill, struct ct_cache_entry **ret_entry, bool *ret_keep,
    char detail[CT_CACHE_DETAIL_BYTES])
{
	struct ct_cache_content content = { .fd = -1 };
	struct ct_cache_entry *entry = NULL;
	int r = fill->spec.fill(fill->spec.arg, &content, detail);
	if (r < 0)
		return r;
	CT_ASSERT(content.data != NULL || content.fd >= 0);
	r = verify(&content);
	if (r < 0) {
		content_done(&content);
		return r;
	}
	struct ct_cache_sealed *sealed = NULL;
	if (content.data != NULL && content.size_bytes >= CT_CACHE_SEALED_MIN)
		(void)ct_cache_sealed_new(&fill->cache->places, &content, &sealed); /* or as is */
	r = ct_cache_entry_new(fill->cache->options.name, fill->key, &content, sealed, &entry);
	if (r < 0)
		return r;
	entry->cache = fill->cache;
	if (entry->is_file)
		entry->charge_bytes += ct_cache_blocks_bytes(content.size_bytes);
	memcpy(entry->tags, fill->tags, sizeof(entry->tags));
	*ret_entry = entry;
	*ret_keep = !content.no_store;
	return 0;
}

/* Once, in the name of the request that began it, which sleeps still. */
static void log_failure(const struct fill *fill, int error, const char *detail)
{
	const struct waiter *first = fill->waiters;
	if (ct_error_http_status(error) < 500)
		return;
	while (first->next != NULL)
		first = first->next;
	ct_log(CT_LOG_ERROR, "cache.fill_failed",
	    CT_LOG_TEXT("request", ct_http_request_id(first->request)),
	    CT_LOG_TEXT("key", fill->key), CT_LOG_CODE(error), CT_LOG_TEXT("detail", detail));
}

static void answer_failure(struct ct_http_request *request, int error, const char *detail)
{
	const char *text = detail[0] != '\0' ? detail : ct_error_text(error);
	(void)ct_http_answer(request, ct_http_problem(request, error, "%s", text));
}

/*
 * Nobody else knows the fill by now. A request may be gone as soon as it is answered. What the
 * calls return is for handlers.
 */
static void answer_waiters(
    struct fill *fill, struct ct_cache_entry *entry, bool stored, int error, const char *detail)
{
	const char *name = fill->cache->options.name;
	enum ct_cache_way first_way = stored ? CT_CACHE_STORED : CT_CACHE_PASSED;
	for (struct waiter *waiter = fill->waiters; waiter; waiter = waiter->next) {
		enum ct_cache_way way = waiter->is_first ? first_way : CT_CACHE_COLLAPSED;
		if (entry != NULL)
			(void)ct_cache_answer_entry(waiter->request, entry, name, way);
		else
			answer_failure(waiter->request, error, detail);
	}
}

/* From here on nobody can join it; those who wait are the caller's to answer. */
static void end_fill_locked(struct fill *fill)
{
	node_remove(&fill->node);
	for (struct waiter *waiter = fill->waiters; waiter; waiter = waiter->next)
		fill->cache->waiters--;
}

/* Gives an unproved file its list; who comes second gives nothing. True: the entry was kept. */
static bool prove_locked(struct ct_cache *cache, struct ct_cache_entry *entry,
    struct ct_cache_blocks **blocks, struct ct_cache_entry **dropped)
{
	if (!entry->unproved)
		return entry->indexed;
	node_remove(&entry->by_key);
	entry->unproved = false;
	entry->blocks = ct_steal(*blocks);
	return !entry->doomed && keep_locked(cache, entry, dropped);
}

void ct_cache_prove_entry(struct ct_cache_entry *entry, struct ct_cache_blocks *blocks)
{
	struct ct_cache *cache = entry->cache;
	struct ct_cache_entry *dropped = NULL;
	ct_lock_take(&cache->lock);
	(void)prove_locked(cache, entry, &blocks, &dropped); /* kept or not, it is sent */
	ct_lock_release(&cache->lock);
	drop(dropped);
	free(blocks);
}

void ct_cache_abandon_entry(struct ct_cache_entry *entry)
{
	ct_lock_take(&entry->cache->lock);
	if (entry->unproved)
		node_remove(&entry->by_key);
	entry->unproved = false;
	ct_lock_release(&entry->cache->lock);
}

/* Answers those in the list who want the whole, and takes them out of it: each proves the file. */
static void start_proofs(struct waiter **list, struct ct_cache_entry *entry, bool keep)
{
	const char *name = entry->cache->options.name;
	enum ct_cache_way first_way = keep ? CT_CACHE_STORED : CT_CACHE_PASSED;
	while (*list != NULL) {
		struct waiter *waiter = *list;
		if (!ct_cache_wants_whole(waiter->request, entry)) {
			list = &waiter->next;
			continue;
		}
		*list = waiter->next;
		(void)ct_cache_answer_unproved(waiter->request, entry, name,
		    waiter->is_first ? first_way : CT_CACHE_COLLAPSED);
		free(waiter);
	}
}

/* All who wait by now, out of the fill; without any, nobody can join it any more. */
static struct waiter *take_waiters(struct fill *fill)
{
	struct ct_cache *cache = fill->cache;
	ct_lock_take(&cache->lock);
	struct waiter *taken = ct_steal(fill->waiters);
	for (struct waiter *waiter = taken; waiter; waiter = waiter->next)
		cache->waiters--;
	if (taken == NULL)
		end_fill_locked(fill);
	ct_lock_release(&cache->lock);
	return taken;
}

/* They were in it before: the bound may be passed by those who came in between. */
static void put_back(struct fill *fill, struct waiter *waiters)
{
	struct ct_cache *cache = fill->cache;
	struct waiter *last = waiters;
	ct_lock_take(&cache->lock);
	for (cache->waiters++; last->next != NULL; last = last->next)
		cache->waiters++;
	last->next = fill->waiters;
	fill->waiters = waiters;
	ct_lock_release(&cache->lock);
}

/* From here on a purge finds the entry itself. False: it is not to be kept. */
static bool begin_proving(struct fill *fill, struct ct_cache_entry *entry, bool keep)
{
	struct ct_cache *cache = fill->cache;
	ct_lock_take(&cache->lock);
	keep = keep && !fill->doomed;
	entry->unproved = true;
	entry->doomed = !keep;
	node_insert(&cache->unproved, &entry->by_key);
	ct_lock_release(&cache->lock);
	return keep;
}

/* True: everybody has an answer that proves the file. False: there are some who want less. */
static bool is_left_to_proofs(struct fill *fill, struct ct_cache_entry *entry, bool keep)
{
	struct waiter *waiters;
	keep = begin_proving(fill, entry, keep);
	while ((waiters = take_waiters(fill)) != NULL) {
		start_proofs(&waiters, entry, keep);
		if (waiters != NULL) {
			put_back(fill, waiters);
			return false;
		}
	}
	return true;
}

/* For those who want less than the whole of a file; a proof may be faster. */
static int hash_file(const struct ct_cache_entry *entry, struct ct_cache_blocks **ret_blocks)
{
	const struct ct_cache_content *content = &entry->content;
	return ct_cache_blocks_new(content->fd, content->size_bytes, &content->digest, ret_blocks);
}

static void end_fill(
    struct fill *fill, struct ct_cache_entry *entry, bool keep, int error, const char *detail)
{
	struct ct_cache *cache = fill->cache;
	ct_cleanup(ct_free_pointer) struct ct_cache_blocks *blocks = NULL;
	struct ct_cache_entry *dropped = NULL;
	bool stored = false;
	if (error == 0 && entry->is_file)
		error = hash_file(entry, &blocks);
	ct_lock_take(&cache->lock);
	end_fill_locked(fill);
	if (error == 0 && entry->is_file)
		stored = prove_locked(cache, entry, &blocks, &dropped);
	else if (error == 0)
		stored = keep && !fill->doomed && keep_locked(cache, entry, &dropped);
	ct_lock_release(&cache->lock);
	drop(dropped);
	if (error < 0)
		log_failure(fill, error, detail);
	answer_waiters(fill, error < 0 ? NULL : entry, stored, error, detail);
}

static void run_fill(void *arg)
{
	struct fill *fill = arg;
	struct ct_cache_entry *entry = NULL;
	char detail[CT_CACHE_DETAIL_BYTES] = "";
	bool keep = false;
	int r = bring(fill, &entry, &keep, detail);
	if (r < 0 || !entry->is_file || !is_left_to_proofs(fill, entry, keep))
		end_fill(fill, entry, keep, r, detail);
	if (entry != NULL)
		ct_cache_entry_unref(entry);
	fill_free(fill);
}

/* NULL: out of memory, and `spec` is still the caller's. */
static struct fill *fill_new(struct ct_cache *cache, const char *key,
    const char *const tags[CT_CACHE_TAG_MAX], const struct ct_cache_fill *spec)
{
	struct fill *fill = calloc(1, sizeof(*fill));
	if (fill == NULL)
		return NULL;
	fill->cache = cache;
	fill->spec = *spec;
	int r = ct_slice_copy(ct_slice_from_string(key), fill->key, sizeof(fill->key));
	for (int i = 0; r == 0 && i < CT_CACHE_TAG_MAX; i++)
		r = ct_slice_copy(
		    ct_slice_from_string(tags[i]), fill->tags[i], sizeof(fill->tags[i]));
	CT_ASSERT(r == 0); /* keys and tags are ours */
	return fill;
}

static enum ct_http_next refuse(struct ct_http_request *request, int error)
{
	return ct_http_answer(request, ct_http_problem(request, error, "%s", ct_error_text(error)));
}

/* The queue of the pool is full: everybody who waits is told, the caller too. */
static enum ct_http_next give_up(struct fill *fill, int error)
{
	ct_lock_take(&fill->cache->lock);
	end_fill_locked(fill);
	ct_lock_release(&fill->cache->lock);
	answer_waiters(fill, NULL, false, error, "the disk has more to do than it can; try again");
	fill_free(fill);
	return CT_HTTP_ANSWERED; /* the caller was the first to wait */
}

/* What a request that has missed comes upon; nothing: too many wait already. */
struct encounter {
	struct ct_cache_entry *entry; /* it has come meanwhile; a reference */
	struct fill *fill;	      /* the request waits on it: `fresh`, or one that runs */
};

static struct encounter meet(struct ct_cache *cache, struct fill *fresh, struct waiter *waiter)
{
	struct encounter met = { 0 };
	ct_lock_take(&cache->lock);
	met.entry = use_entry_locked(cache, fresh->key);
	if (met.entry == NULL && cache->waiters < cache->options.max_waiters) {
		struct fill *running = find_fill_locked(cache, fresh->key);
		if (running == NULL)
			node_insert(&cache->fills, &fresh->node);
		met.fill = running ? running : fresh;
		waiter->is_first = running == NULL;
		waiter->next = met.fill->waiters;
		met.fill->waiters = waiter;
		cache->waiters++;
		cache->figures.misses++;
		cache->figures.collapsed += running != NULL;
	}
	ct_lock_release(&cache->lock);
	return met;
}

/* Takes over the reference. */
static enum ct_http_next answer_hit(
    struct ct_cache *cache, struct ct_http_request *request, struct ct_cache_entry *entry)
{
	enum ct_http_next next =
	    ct_cache_answer_entry(request, entry, cache->options.name, CT_CACHE_HIT);
	ct_cache_entry_unref(entry);
	return next;
}

static enum ct_http_next answer_miss(struct ct_cache *cache, struct ct_http_request *request,
    const char *key, const char *const tags[CT_CACHE_TAG_MAX], const struct ct_cache_fill *spec)
{
	ct_cleanup(ct_free_pointer) struct waiter *waiter = malloc(sizeof(*waiter));
	ct_cleanup(cleanup_fill) struct fill *fresh = fill_new(cache, key, tags, spec);
	if (waiter == NULL || fresh == NULL) {
		if (fresh == NULL)
			spec->free(spec->arg);
		return refuse(request, -ENOMEM);
	}
	waiter->request = request;
	struct encounter met = meet(cache, fresh, waiter);
	if (met.entry != NULL)
		return answer_hit(cache, request, met.entry);
	if (met.fill == NULL)
		return refuse(request, CT_ERROR_LIMIT_REACHED);
	(void)ct_steal(waiter); /* the fill has it, and may be gone by now if it isn't ours */
	if (met.fill != fresh)
		return CT_HTTP_WAIT;
	(void)ct_steal(fresh);
	int r = ct_thread_pool_submit(cache->options.fill_pool, run_fill, met.fill);
	return r < 0 ? give_up(met.fill, r) : CT_HTTP_WAIT;
}

enum ct_http_next ct_cache_answer(struct ct_cache *cache, struct ct_http_request *request,
    const char *key, const char *const tags[CT_CACHE_TAG_MAX], const struct ct_cache_fill *fill)
{
	CT_ASSERT_MAGIC(cache, CACHE_MAGIC);
	ct_lock_take(&cache->lock);
	struct ct_cache_entry *entry = use_entry_locked(cache, key);
	ct_lock_release(&cache->lock);
	if (entry == NULL)
		return answer_miss(cache, request, key, tags, fill);
	fill->free(fill->arg);
	return answer_hit(cache, request, entry);
}

/* ---- purge ---- */

/* Takes every entry with the tag out. */
static void purge_tag_locked(
    struct ct_cache *cache, const char *tag, struct ct_cache_entry **dropped)
{
	struct ct_cache_node **head = &cache->by_tag[bucket_of(cache, tag)];
	struct ct_cache_node *node = *head;
	while (node) {
		struct ct_cache_tag_node *tagged = (struct ct_cache_tag_node *)node;
		struct ct_cache_entry *entry = tagged->entry;
		if (strcmp(entry->tags[tagged - entry->by_tag], tag) != 0) {
			node = node->next;
			continue;
		}
		index_remove_locked(cache, entry, dropped);
		node = *head; /* it may have stood in this list twice */
	}
}

static bool has_tag(char tags[CT_CACHE_TAG_MAX][CT_CACHE_TAG_CHARS + 1], const char *tag)
{
	bool found = false;
	for (int i = 0; i < CT_CACHE_TAG_MAX; i++)
		found = found || strcmp(tags[i], tag) == 0;
	return found;
}

/* What is under way with the tag may end, and is not kept. */
static void doom_locked(struct ct_cache *cache, const char *tag)
{
	struct ct_cache_node *next = NULL;
	for (struct ct_cache_node *node = cache->fills; node; node = next) {
		struct fill *fill = FILL_OF(node);
		next = node->next;
		if (!has_tag(fill->tags, tag))
			continue;
		fill->doomed = true;
		node_remove(node);
	}
	for (struct ct_cache_node *node = cache->unproved; node; node = node->next) {
		struct ct_cache_entry *entry = ENTRY_OF_KEY(node);
		entry->doomed = entry->doomed || has_tag(entry->tags, tag);
	}
}

void ct_cache_forget_entry(struct ct_cache *cache, struct ct_cache_entry *entry)
{
	struct ct_cache_entry *dropped = NULL;
	ct_lock_take(&cache->lock);
	if (entry->indexed)
		index_remove_locked(cache, entry, &dropped);
	ct_lock_release(&cache->lock);
	drop(dropped);
}

void ct_cache_purge_tag(struct ct_cache *cache, const char *tag)
{
	struct ct_cache_entry *dropped = NULL;
	CT_ASSERT(tag[0]);
	ct_lock_take(&cache->lock);
	purge_tag_locked(cache, tag, &dropped);
	doom_locked(cache, tag);
	ct_lock_release(&cache->lock);
	drop(dropped);
}

/* ---- life ---- */

void ct_cache_figures(struct ct_cache *cache, struct ct_cache_figures *ret_figures)
{
	ct_lock_take(&cache->lock);
	*ret_figures = cache->figures;
	ct_lock_release(&cache->lock);
}

static size_t bucket_count(uint64_t max_bytes)
{
	size_t count = MIN_BUCKETS;
	while (count < MAX_BUCKETS && count * BYTES_PER_BUCKET < max_bytes)
		count *= 2;
	return count;
}

static unsigned share_of_descriptors(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur / DESCRIPTORS_SHARE > MAX_SEALED)
		return MAX_SEALED;
	return (unsigned)(limit.rlim_cur / DESCRIPTORS_SHARE);
}

int ct_cache_new(const struct ct_cache_options *options, struct ct_cache **ret_cache)
{
	struct ct_cache *cache = calloc(1, sizeof(*cache));
	if (!cache)
		return -ENOMEM;
	cache->magic = CACHE_MAGIC;
	cache->options = *options;
	if (!cache->options.max_bytes)
		cache->options.max_bytes = DEFAULT_BYTES;
	if (!cache->options.max_files)
		cache->options.max_files = DEFAULT_FILES;
	if (!cache->options.max_waiters)
		cache->options.max_waiters = DEFAULT_WAITERS;
	if (!cache->options.name)
		cache->options.name = "calotype";
	if (!cache->options.max_sealed)
		cache->options.max_sealed = share_of_descriptors();
	cache->places.max = cache->options.max_sealed;
	size_t buckets = bucket_count(cache->options.max_bytes);
	cache->bucket_mask = buckets - 1;
	cache->by_key = calloc(buckets, sizeof(struct ct_cache_node *));
	cache->by_tag = calloc(buckets, sizeof(struct ct_cache_node *));
	ct_lock_init(&cache->lock, CT_LOCK_CACHE);
	if (!cache->by_key || !cache->by_tag) {
		ct_cache_free(cache);
		return -ENOMEM;
	}
	*ret_cache = cache;
	return 0;
}

void ct_cache_free(struct ct_cache *cache)
{
	if (!cache)
		return;
	struct ct_cache_entry *dropped = NULL;
	ct_lock_take(&cache->lock);
	CT_ASSERT(cache->fills == NULL && cache->waiters == 0 && cache->unproved == NULL);
	while (cache->used[CT_CACHE_USE_ALL].oldest)
		index_remove_locked(cache, cache->used[CT_CACHE_USE_ALL].oldest, &dropped);
	ct_lock_release(&cache->lock);
	drop(dropped);
	ct_lock_done(&cache->lock);
	free(cache->by_key);
	free(cache->by_tag);
	cache->magic = 0;
	free(cache);
}
