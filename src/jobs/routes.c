#include "jobs/jobs_priv.h"
#include "jobs/list.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "base/thread_pool.h"
#include "calotype/error.h"
#include "metadata/api_keys.h"
#include "metadata/jobs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ETAG_BYTES 40 /* two numbers, a dot, quotes */

/* ---- GET /jobs/{id}: a point read, in the HTTP thread ---- */

static int read_job(struct ct_jobs *jobs, const char *id, struct ct_job_row *ret_row)
{
	struct ct_metadata_view *view;
	if (!ct_id_is_valid(ct_slice_from_string(id)))
		return CT_ERROR_NOT_FOUND;
	int r = ct_metadata_borrow(jobs->metadata, &view);
	if (r < 0)
		return r;
	r = ct_job_get(view, id, ret_row);
	ct_metadata_give_back(jobs->metadata, view);
	return r;
}

static struct ct_http_response *make_problem(const struct ct_http_request *request, int error)
{
	if (error == CT_ERROR_NOT_FOUND)
		return ct_http_problem(request, error, "there is no such job");
	if (error == CT_ERROR_GONE)
		return ct_http_problem(
		    request, error, "the job is forgotten, or what it was for was deleted");
	if (error == CT_ERROR_JOB_ENDED)
		return ct_http_problem(request, error, "what has ended cannot be canceled");
	if (error == CT_ERROR_JOB_NOT_FAILED)
		return ct_http_problem(
		    request, error, "the job has neither failed nor been canceled");
	if (error == CT_ERROR_LIMIT_REACHED)
		return ct_http_problem(request, error, "too many jobs are being changed");
	return ct_http_problem(request, error, "the job could not be read or changed");
}

/* The version of the row, and the step of a progress that is not in it yet. */
static void format_etag(const struct ct_job_row *row, unsigned step, char ret_etag[ETAG_BYTES])
{
	if (step > 0)
		(void)snprintf(ret_etag, ETAG_BYTES, "\"%" PRId64 ".%u\"", row->version, step);
	else
		(void)snprintf(ret_etag, ETAG_BYTES, "\"%" PRId64 "\"", row->version);
}

static struct ct_http_response *make_response(int status, const char *etag, struct ct_job_row *row)
{
	struct ct_http_response *response = ct_http_response_new(status);
	ct_http_response_header(response, "ETag", etag);
	ct_http_response_header(response, "Cache-Control", "private, no-cache");
	if (!ct_job_is_ended(row->state))
		ct_http_response_header(response, "Retry-After", "1");
	ct_http_response_json(response, ct_job_to_json(row)); /* a 304 tells its length only */
	return response;
}

static enum ct_http_next get_job(struct ct_http_request *request, void *context)
{
	char etag[ETAG_BYTES];
	ct_cleanup(ct_job_row_done) struct ct_job_row row = { 0 };
	int r = read_job(context, ct_http_parameter(request, "id"), &row);
	if (r < 0)
		return ct_http_answer(request, make_problem(request, r));
	format_etag(&row, ct_jobs_overlay(context, &row), etag);
	bool known =
	    ct_http_etag_matches(ct_http_header(request, "If-None-Match"), etag, CT_HTTP_WEAK);
	return ct_http_answer(request, make_response(known ? 304 : 200, etag, &row));
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
	char etag[ETAG_BYTES];
	const char *id = ct_http_parameter(call->request, "id");
	ct_cleanup(ct_job_row_done) struct ct_job_row row = { 0 };
	int r = CT_ERROR_NOT_FOUND;
	if (ct_id_is_valid(ct_slice_from_string(id)))
		r = call->change(call->jobs, id, &row);
	if (r < 0)
		return make_problem(call->request, r);
	format_etag(&row, 0, etag);
	return make_response(call->status, etag, &row);
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
		return ct_http_answer(request, make_problem(request, r));
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
	static const struct ct_http_handler get_handler = { .head = get_job };
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
