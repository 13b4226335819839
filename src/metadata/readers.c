/*
 * The pool of readers: connections are opened when first needed and used last in, first out, so
 * that a quiet server touches one small page cache, not sixteen.
 */
#include "metadata/metadata_priv.h"
#include "base/lock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct ct_reader_pool {
	/* Set once. */
	char *path;
	unsigned max_readers;

	struct ct_lock lock;
	struct ct_condition returned;
	/* Under lock. */
	struct ct_metadata_view *idle;
	unsigned idle_count;
	unsigned open_count; /* idle, borrowed, or being opened */
};

CT_DEFINE_CLEANUP(pool_cleanup, struct ct_reader_pool *, ct_reader_pool_free)

int ct_reader_pool_new(const char *path, unsigned max_readers, struct ct_reader_pool **ret_pool)
{
	CT_ASSERT(max_readers >= 1);
	ct_cleanup(pool_cleanup) struct ct_reader_pool *pool = calloc(1, sizeof(*pool));
	if (pool == NULL)
		return -ENOMEM;
	ct_lock_init(&pool->lock, CT_LOCK_DATABASE);
	ct_condition_init(&pool->returned);
	pool->max_readers = max_readers;
	pool->path = strdup(path);
	if (pool->path == NULL)
		return -ENOMEM;
	*ret_pool = ct_steal(pool);
	return 0;
}

void ct_reader_pool_free(struct ct_reader_pool *pool)
{
	if (pool == NULL)
		return;
	CT_ASSERT(pool->idle_count == pool->open_count);
	while (pool->idle != NULL) {
		struct ct_metadata_view *view = pool->idle;
		pool->idle = view->next_idle;
		ct_connection_close(view);
	}
	ct_condition_done(&pool->returned);
	ct_lock_done(&pool->lock);
	free(pool->path);
	free(pool);
}

/* NULL: the caller has a place in the pool and opens a connection for it. */
static struct ct_metadata_view *take_place(struct ct_reader_pool *pool)
{
	ct_lock_take(&pool->lock);
	while (pool->idle == NULL && pool->open_count == pool->max_readers)
		ct_condition_wait(&pool->returned, &pool->lock);
	struct ct_metadata_view *view = pool->idle;
	if (view != NULL) {
		pool->idle = view->next_idle;
		pool->idle_count--;
		view->next_idle = NULL;
	} else {
		pool->open_count++;
	}
	ct_lock_release(&pool->lock);
	return view;
}

static void give_up_place(struct ct_reader_pool *pool)
{
	ct_lock_take(&pool->lock);
	CT_ASSERT(pool->open_count > pool->idle_count);
	pool->open_count--;
	ct_condition_signal(&pool->returned);
	ct_lock_release(&pool->lock);
}

int ct_reader_pool_borrow(struct ct_reader_pool *pool, struct ct_metadata_view **ret_view)
{
	struct ct_metadata_view *view = take_place(pool);
	if (view == NULL) {
		int r = ct_connection_open(pool->path, CT_CONNECTION_READER, &view);
		if (r < 0) {
			give_up_place(pool);
			return r;
		}
	}
	*ret_view = view;
	return 0;
}

void ct_reader_pool_give_back(struct ct_reader_pool *pool, struct ct_metadata_view *view)
{
	CT_ASSERT_MAGIC(view, CT_VIEW_MAGIC);
	CT_ASSERT(view->role == CT_CONNECTION_READER && ct_connection_is_idle(view));
	ct_lock_take(&pool->lock);
	CT_ASSERT(pool->idle_count < pool->open_count);
	view->next_idle = pool->idle;
	pool->idle = view;
	pool->idle_count++;
	ct_condition_signal(&pool->returned);
	ct_lock_release(&pool->lock);
}
