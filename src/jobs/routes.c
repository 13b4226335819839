#include "jobs/jobs_priv.h"
#include "jobs/list.h"
#include "jobs/waiting.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "base/thread_pool.h"
#include "calotype/error.h"
#include "metadata/api_keys.h"
#include "metadata/jobs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- GET /jobs/{id}: a point read, in the HTTP thread; or a wait ---- */

/*
 * Seconds of "wait" in a Prefer field (RFC 7240 section 4.3), cut to what we grant; 0: none. What
 * makes no sense is ignored, as section 2 has it.
 */
static unsigned parse_wait(struct ct_slice prefer)
{
	while (prefer.data != NULL) {
		uint64_t seconds;
		struct ct_slice preference = ct_slice_cut(&prefer, ',');
		struct ct_slice value = ct_slice_cut(&preference, ';');
		struct ct_slice name = ct_slice_trim(ct_slice_cut(&value, '='));
		if (!ct_slice_equal_ignore_case(name, "wait"))
			continue;
		value = ct_slice_trim(value);
		if (value.length > 2 && value.data[0] == '"' && value.data[value.length - 1] == '"')
			value = (struct ct_slice){ value.data + 1, value.length - 2 };
		if (ct_slice_to_u64(value, UINT64_MAX, &seconds) < 0)
			return 0;
		return seconds < CT_JOB_WAIT_MAX_S ? (unsigned)seconds : CT_JOB_WAIT_MAX_S;
	}
	return 0;
}

static enum ct_http_next get_job(struct ct_http_request *request, void *context)
{
	struct ct_jobs *jobs = context;
	const char *id = ct_http_parameter(request, "id");
	ct_cleanup(ct_job_page_done) struct ct_job_page page = { 0 };
	bool asked = false;
	unsigned wait_s = parse_wait(ct_http_header(request, "Prefer"));
	uint32_t mark = wait_s > 0 ? ct_job_waiting_mark(jobs->waiting, id) : 0;
	int r = ct_job_page_read(jobs, id, &page);
	bool known = r == 0 && ct_job_page_is_known(&page, request, &asked);
	bool waits = r == 0 && wait_s > 0 && !page.ended && (known || !asked);
	if (waits && ct_job_waiting_add(jobs->waiting, request, id, wait_s, mark))
		return CT_HTTP_WAIT;
	return ct_http_answer(
	    request, ct_job_page_answer(request, known ? 304 : 200, r, &page, wait_s));
}

static void leave_job(struct ct_http_request *request, void *context)
{
	struct ct_jobs *jobs = context;
	ct_job_waiting_leave(jobs->waiting, request);
}

/* ---- DELETE /jobs/{id}, POST /jobs/{id}/retry: a transaction, in a thread of the pool ---- */

struct change_call {
	struct ct_http_request *request;
	struct ct_jobs *jobs;
	int (*change)(struct ct_jobs *jobs, const char *id, struct ct_job_row *ret_row);
	int status;
};

static struct ct_http_response *change_job(const struct change_call *call)
{
	const char *id = ct_http_parameter(call->request, "id");
	ct_cleanup(ct_job_row_done) struct ct_job_row row = { 0 };
	ct_cleanup(ct_job_page_done) struct ct_job_page page = { 0 };
	int r = CT_ERROR_NOT_FOUND;
	if (ct_id_is_valid(ct_slice_from_string(id)))
		r = call->change(call->jobs, id, &row);
	if (r == 0)
		r = ct_job_page_make(call->jobs, &row, &page);
	return ct_job_page_answer(call->request, call->status, r, &page, 0);
}

static void run_change(void *arg)
{
	struct change_call *call = arg;
	(void)ct_http_answer(call->request, change_job(call)); /* its result is for handlers */
	free(call);
}

static enum ct_http_next begin_change(
    struct ct_http_request *request, const struct change_call *values)
{
	ct_cleanup(ct_free_pointer) struct change_call *call = malloc(sizeof(*call));
	if (call == NULL)
		return ct_http_answer(request, NULL);
	*call = *values;
	int r = ct_thread_pool_submit(call->jobs->readers, run_change, call);
	if (r < 0)
		return ct_http_answer(request, ct_job_page_answer(request, 0, r, NULL, 0));
	(void)ct_steal(call); /* the pool's now */
	return CT_HTTP_WAIT;
}

static enum ct_http_next cancel_job(struct ct_http_request *request, void *context)
{
	const struct change_call call = { request, context, ct_jobs_cancel, 200 };
	return begin_change(request, &call);
}

static enum ct_http_next retry_job(struct ct_http_request *request, void *context)
{
	const struct change_call call = { request, context, ct_jobs_retry, 202 };
	return begin_change(request, &call);
}

/* ---- GET /jobs ---- */

static int fill_page(struct ct_metadata_view *view, struct ct_list_page *page, void *context)
{
	ct_cleanup(ct_free_pointer) struct ct_job_row *rows =
	    calloc((size_t)page->limit + 1, sizeof(*rows));
	if (rows == NULL)
		return -ENOMEM;
	int count =
	    ct_job_list(view, page->state, page->before_at, page->before_id, rows, page->limit + 1);
	page->has_more = count > page->limit;
	for (int i = 0; i < count; i++) {
		if (i < page->limit) {
			(void)ct_jobs_overlay(context, &rows[i]); /* a list has no ETag */
			ct_json_append(page->items, ct_job_to_json(&rows[i]));
		}
		ct_job_row_done(&rows[i]);
	}
	if (page->has_more) {
		const struct ct_job_row *last = &rows[page->limit - 1];
		page->last_at = last->created_at;
		memcpy(page->last_id, last->id, sizeof(page->last_id));
	}
	return count < 0 ? count : 0;
}

static enum ct_http_next list_jobs(struct ct_http_request *request, void *context)
{
	struct ct_jobs *jobs = context;
	return ct_list_answer(request, &jobs->list);
}

int ct_jobs_add_routes(struct ct_jobs *jobs, struct ct_http_server *server)
{
	static const struct ct_http_handler get_handler = { .head = get_job, .left = leave_job };
	static const struct ct_http_handler list_handler = { .head = list_jobs };
	static const struct ct_http_handler cancel_handler = { .head = cancel_job };
	static const struct ct_http_handler retry_handler = { .head = retry_job };
	CT_ASSERT(jobs->readers != NULL);
	for (int i = 0; i < CT_JOB_STATE_COUNT; i++)
		jobs->states[i] = ct_job_state_name((enum ct_job_state)i);
	jobs->list = (struct ct_list){
		.path = "/jobs",
		.public_url = jobs->public_url,
		.states = jobs->states,
		.state_count = CT_JOB_STATE_COUNT,
		.default_state = -1,
		.readers = jobs->readers,
		.metadata = jobs->metadata,
		.fill = fill_page,
		.context = jobs,
	};
	jobs->routes[0] =
	    (struct ct_http_route){ CT_HTTP_GET, "/jobs", CT_SCOPE_READ, &list_handler, jobs };
	jobs->routes[1] =
	    (struct ct_http_route){ CT_HTTP_GET, "/jobs/{id}", CT_SCOPE_READ, &get_handler, jobs };
	jobs->routes[2] = (struct ct_http_route){ CT_HTTP_DELETE, "/jobs/{id}", CT_SCOPE_WRITE,
		&cancel_handler, jobs };
	jobs->routes[3] = (struct ct_http_route){ CT_HTTP_POST, "/jobs/{id}/retry", CT_SCOPE_ADMIN,
		&retry_handler, jobs };
	return ct_http_server_add(server, jobs->routes, 4);
}
