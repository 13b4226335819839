#include "jobs/jobs_priv.h"
#include "base/cleanup.h"
#include "calotype/error.h"
#include "metadata/jobs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int ct_job_page_make(struct ct_jobs *jobs, struct ct_job_row *row, struct ct_job_page *ret_page)
{
	unsigned step = ct_jobs_overlay(jobs, row);
	struct ct_json *json = ct_job_to_json(row);
	char *text = ct_json_to_text(json);
	ct_json_free(json);
	if (text == NULL)
		return -ENOMEM;
	*ret_page = (struct ct_job_page){
		.ended = ct_job_is_ended(row->state),
		.text = text,
		.length = strlen(text),
	};
	/* The version of the row, and the step of a progress that is not in it yet. */
	if (step > 0)
		(void)snprintf(ret_page->etag, sizeof(ret_page->etag), "\"%" PRId64 ".%u\"",
		    row->version, step);
	else
		(void)snprintf(
		    ret_page->etag, sizeof(ret_page->etag), "\"%" PRId64 "\"", row->version);
	return 0;
}

int ct_job_page_read(struct ct_jobs *jobs, const char *id, struct ct_job_page *ret_page)
{
	struct ct_metadata_view *view;
	ct_cleanup(ct_job_row_done) struct ct_job_row row = { 0 };
	if (!ct_id_is_valid(ct_slice_from_string(id)))
		return CT_ERROR_NOT_FOUND;
	int r = ct_metadata_borrow(jobs->metadata, &view);
	if (r < 0)
		return r;
	r = ct_job_get(view, id, &row);
	ct_metadata_give_back(jobs->metadata, view);
	return r < 0 ? r : ct_job_page_make(jobs, &row, ret_page);
}

void ct_job_page_done(struct ct_job_page *page)
{
	free(page->text);
	page->text = NULL;
}

bool ct_job_page_is_known(
    const struct ct_job_page *page, const struct ct_http_request *request, bool *ret_asked)
{
	struct ct_slice list = ct_http_header(request, "If-None-Match");
	*ret_asked = list.data != NULL;
	return ct_http_etag_matches(list, page->etag, CT_HTTP_WEAK);
}

static struct ct_http_response *make_problem(const struct ct_http_request *request, int error)
{
	const char *detail = "the job could not be read or changed";
	switch (error) {
	case CT_ERROR_NOT_FOUND: detail = "there is no such job"; break;
	case CT_ERROR_GONE: detail = "the job is forgotten, or what it was for was deleted"; break;
	case CT_ERROR_JOB_ENDED: detail = "what has ended cannot be canceled"; break;
	case CT_ERROR_JOB_NOT_FAILED:
		detail = "the job has neither failed nor been canceled";
		break;
	case CT_ERROR_LIMIT_REACHED: detail = "too many jobs are being changed"; break;
	default: break;
	}
	return ct_http_problem(request, error, "%s", detail);
}

/* A 304 tells the length of its 200. */
static void set_body(struct ct_http_response *response, const struct ct_job_page *page)
{
	char *text = malloc(page->length + 1);
	if (text != NULL)
		memcpy(text, page->text, page->length + 1);
	ct_http_response_body(response, "application/json", text, page->length);
}

struct ct_http_response *ct_job_page_answer(const struct ct_http_request *request, int status,
    int error, const struct ct_job_page *page, unsigned wait_s)
{
	if (error < 0)
		return make_problem(request, error);
	struct ct_http_response *response = ct_http_response_new(status);
	ct_http_response_header(response, "ETag", page->etag);
	ct_http_response_header(response, "Cache-Control", "private, no-cache");
	if (!page->ended)
		ct_http_response_header(response, "Retry-After", "1");
	if (wait_s > 0) {
		char applied[32];
		(void)snprintf(applied, sizeof(applied), "wait=%u", wait_s);
		ct_http_response_header(response, "Preference-Applied", applied);
	}
	set_body(response, page);
	return response;
}
