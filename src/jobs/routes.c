#include "jobs/jobs_priv.h"
#include "jobs/list.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "calotype/error.h"
#include "metadata/api_keys.h"
#include "metadata/jobs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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
		    request, error, "the job ended long ago and has been forgotten");
	return ct_http_problem(request, error, "the job could not be read");
}

static struct ct_http_response *make_response(
    const struct ct_http_request *request, const struct ct_job_row *row)
{
	char etag[32];
	(void)snprintf(etag, sizeof(etag), "\"%" PRId64 "\"", row->version); /* 22 at most */
	bool known =
	    ct_http_etag_matches(ct_http_header(request, "If-None-Match"), etag, CT_HTTP_WEAK);
	struct ct_http_response *response = ct_http_response_new(known ? 304 : 200);
	ct_http_response_header(response, "ETag", etag);
	ct_http_response_header(response, "Cache-Control", "private, no-cache");
	if (!ct_job_is_ended(row->state))
		ct_http_response_header(response, "Retry-After", "1");
	ct_http_response_json(response, ct_job_to_json(row)); /* a 304 tells its length only */
	return response;
}

static enum ct_http_next get_job(struct ct_http_request *request, void *context)
{
	ct_cleanup(ct_job_row_done) struct ct_job_row row = { 0 };
	int r = read_job(context, ct_http_parameter(request, "id"), &row);
	return ct_http_answer(
	    request, r < 0 ? make_problem(request, r) : make_response(request, &row));
}

/* ---- GET /jobs ---- */

static int fill_page(struct ct_metadata_view *view, struct ct_list_page *page, void *context)
{
	(void)context;
	ct_cleanup(ct_free_pointer) struct ct_job_row *rows =
	    calloc((size_t)page->limit + 1, sizeof(*rows));
	if (rows == NULL)
		return -ENOMEM;
	int count =
	    ct_job_list(view, page->state, page->before_at, page->before_id, rows, page->limit + 1);
	page->has_more = count > page->limit;
	for (int i = 0; i < count; i++) {
		if (i < page->limit)
			ct_json_append(page->items, ct_job_to_json(&rows[i]));
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
	};
	jobs->routes[0] =
	    (struct ct_http_route){ CT_HTTP_GET, "/jobs", CT_SCOPE_READ, &list_handler, jobs };
	jobs->routes[1] =
	    (struct ct_http_route){ CT_HTTP_GET, "/jobs/{id}", CT_SCOPE_READ, &get_handler, jobs };
	return ct_http_server_add(server, jobs->routes, 2);
}
