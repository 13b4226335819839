/*
 * A page of a list, as all lists of the API are: {"items": [...], "next": "opaque" | null} and
 * Link: rel="next", newest first, by a keyset cursor; no totals. The page is read by a thread of
 * the readers' pool while the request sleeps; a full pool is a 503.
 */
#ifndef CT_JOBS_LIST_H
#define CT_JOBS_LIST_H

#include "http/http.h"
#include "metadata/metadata.h"

struct ct_thread_pool;

#define CT_LIST_LIMIT_DEFAULT 50
#define CT_LIST_LIMIT_MAX 200

struct ct_list_page {
	/* in */
	int state; /* of ?state=; -1: any */
	int limit; /* rows wanted; ask for one more to know whether there are */
	int64_t before_at;
	char before_id[CT_ID_CHARS + 1]; /* empty: from the newest */
	/* out */
	struct ct_json *items; /* append to it */
	bool has_more;
	int64_t last_at; /* of the last item, when there is more */
	char last_id[CT_ID_CHARS + 1];
};

struct ct_list {
	const char *path;	   /* "/jobs" */
	const char *public_url;	   /* before it in the Link; NULL: that is relative */
	const char *const *states; /* names, in the order of their numbers */
	int state_count;
	int default_state; /* -1: any */
	struct ct_thread_pool *readers;
	struct ct_metadata *metadata;
	/* In a reader's thread. */
	int (*fill)(struct ct_metadata_view *view, struct ct_list_page *page, void *context);
	void *context;
};

/* Answers the request; for a handler's head. `list` outlives the server. */
enum ct_http_next ct_list_answer(struct ct_http_request *request, const struct ct_list *list);

#endif
