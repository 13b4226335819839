#include "jobs/list.h"
#include "jobs/jobs.h"
#include "base/cleanup.h"
#include "base/thread_pool.h"
#include "base/url.h"
#include "calotype/error.h"

#include <stdio.h>
#include <string.h>

struct call {
	struct ct_http_request *request;
	const struct ct_list *list;
	struct ct_list_page page;
};

/* ---- the query; in the HTTP thread ---- */

static bool find_state(const struct ct_list *list, const char *name, int *ret_state)
{
	for (int i = 0; i < list->state_count; i++) {
		if (strcmp(list->states[i], name) == 0) {
			*ret_state = i;
			return true;
		}
	}
	return false;
}

static struct ct_http_response *refuse(const struct ct_http_request *request, const char *why)
{
	return ct_http_problem(request, CT_ERROR_INVALID_PARAMETER, "%s", why);
}

static struct ct_http_response *parse_limit(
    const struct ct_http_request *request, const char *limit, struct ct_list_page *page)
{
	uint64_t number = CT_LIST_LIMIT_DEFAULT;
	int r = 0;
	if (limit != NULL)
		r = ct_slice_to_u64(ct_slice_from_string(limit), INT64_MAX, &number);
	if (r == 0 && number >= 1 && number <= CT_LIST_LIMIT_MAX) {
		page->limit = (int)number;
		return NULL;
	}
	struct ct_http_response *refusal = refuse(request, "'limit' is a number from 1 to 200");
	if (r == 0)
		ct_http_problem_limit(refusal, CT_LIST_LIMIT_MAX, number);
	return refusal;
}

/* What is wrong with the query, or NULL. */
static struct ct_http_response *parse(
    const struct ct_http_request *request, const struct ct_list *list, struct ct_list_page *page)
{
	const char *state = ct_http_query(request, "state");
	const char *cursor = ct_http_query(request, "cursor");
	page->state = list->default_state;
	if (state != NULL && !find_state(list, state, &page->state))
		return refuse(request, "'state' is none of the states that these have");
	if (cursor != NULL && ct_cursor_parse(cursor, &page->before_at, page->before_id) < 0)
		return refuse(
		    request, "'cursor' is what 'next' of the page before said, unchanged");
	return parse_limit(request, ct_http_query(request, "limit"), page);
}

/* ---- the page; in a reader's thread ---- */

static void set_link(struct ct_http_response *response, const struct call *call, const char *cursor)
{
	char url[CT_URL_MAX], link[CT_URL_MAX + 32];
	const struct ct_list_page *page = &call->page;
	const char *state = page->state >= 0 ? call->list->states[page->state] : "";
	/* All parts are short and need no escaping. */
	int r = ct_url_under(url, sizeof(url), call->list->public_url,
	    "%s?%s%s%slimit=%d&cursor=%s", call->list->path, state[0] != '\0' ? "state=" : "",
	    state, state[0] != '\0' ? "&" : "", page->limit, cursor);
	if (r < 0)
		return; /* the cursor is in the body too */
	(void)snprintf(link, sizeof(link), "<%s>; rel=\"next\"", url); /* it fits */
	ct_http_response_header(response, "Link", link);
}

static struct ct_http_response *make_response(struct call *call)
{
	char cursor[64];
	struct ct_json *json = ct_json_object();
	struct ct_http_response *response = ct_http_response_new(200);
	ct_json_set(json, "items", ct_steal(call->page.items));
	if (call->page.has_more) {
		ct_cursor_format(call->page.last_at, call->page.last_id, cursor);
		ct_json_set_text(json, "next", cursor);
		set_link(response, call, cursor);
	} else {
		ct_json_set_null(json, "next");
	}
	ct_http_response_header(response, "Cache-Control", "private, no-cache");
	ct_http_response_json(response, json);
	return response;
}

static int fill(struct call *call)
{
	struct ct_metadata_view *view;
	int r = ct_metadata_borrow(call->list->metadata, &view);
	if (r < 0)
		return r;
	call->page.items = ct_json_array();
	r = call->list->fill(view, &call->page, call->list->context);
	ct_metadata_give_back(call->list->metadata, view);
	return r;
}

static void run_call(void *arg)
{
	struct call *call = arg;
	int r = fill(call);
	struct ct_http_response *response =
	    r < 0 ? ct_http_problem(call->request, r, "the list could not be read")
		  : make_response(call);
	(void)ct_http_answer(call->request, response); /* its result is for handlers */
	ct_json_free(call->page.items);
	free(call);
}

enum ct_http_next ct_list_answer(struct ct_http_request *request, const struct ct_list *list)
{
	ct_cleanup(ct_free_pointer) struct call *call = calloc(1, sizeof(*call));
	if (call == NULL)
		return ct_http_answer(request, NULL);
	call->request = request;
	call->list = list;
	struct ct_http_response *refusal = parse(request, list, &call->page);
	if (refusal != NULL)
		return ct_http_answer(request, refusal);
	int r = ct_thread_pool_submit(list->readers, run_call, call);
	if (r < 0)
		return ct_http_answer(
		    request, ct_http_problem(request, r, "too many lists are being read"));
	(void)ct_steal(call); /* the pool's now */
	return CT_HTTP_WAIT;
}
