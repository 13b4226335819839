#include "jobs/jobs_priv.h"
#include "calotype/error.h"
#include "metadata/jobs.h"

#include <stdio.h>

bool ct_job_is_ended(enum ct_job_state state)
{
	return state != CT_JOB_QUEUED && state != CT_JOB_RUNNING;
}

static void set_id(struct ct_json *json, const char *key, const char *id)
{
	ct_json_set_text(json, key, id[0] != '\0' ? id : NULL);
}

struct ct_json *ct_job_to_json(const struct ct_job_row *row)
{
	struct ct_json *json = ct_json_object();
	bool done = ct_job_is_ended(row->state);
	ct_json_set_text(json, "id", row->id);
	ct_json_set_text(json, "kind", row->kind);
	ct_json_set_text(json, "state", ct_job_state_name(row->state));
	ct_json_set_bool(json, "done", done);
	ct_json_set_real(json, "progress", row->state == CT_JOB_SUCCEEDED ? 1.0 : row->progress);
	ct_json_set_number(json, "attempts", row->attempts);
	ct_json_set_number(json, "max_attempts", row->max_attempts);
	ct_json_set_time(json, "created_at", row->created_at);
	ct_json_set_time(json, "started_at", row->started_at);
	ct_json_set_time(json, "finished_at", row->finished_at);
	set_id(json, "upload", row->upload_id);
	set_id(json, "image", row->image_id);
	/* A queued row may hold the error of its last attempt, which is not the job's. */
	if (row->state == CT_JOB_SUCCEEDED)
		ct_json_set_parsed(json, "response", row->response);
	else if (done)
		ct_json_set_parsed(json, "error", row->error);
	return json;
}

char *ct_job_problem_text(const struct ct_job_outcome *outcome, const char *request_id)
{
	char type[96];
	int error = outcome->error;
	const char *detail = outcome->detail;
	if (detail[0] == '\0' || !ct_slice_is_utf8(ct_slice_from_string(detail)))
		detail = ct_error_text(error);
	const char *code = ct_error_code(error);
	(void)snprintf(type, sizeof(type), "urn:calotype:problem:%s", code); /* codes are short */
	struct ct_json *json = ct_json_object();
	ct_json_set_text(json, "type", type);
	ct_json_set_text(json, "title", ct_error_text(error));
	ct_json_set_number(json, "status", ct_error_http_status(error));
	ct_json_set_text(json, "detail", detail);
	ct_json_set_text(json, "code", code);
	if (request_id[0] != '\0')
		ct_json_set_text(json, "request_id", request_id);
	if (outcome->limit > 0)
		ct_json_set_number(json, "limit", (int64_t)outcome->limit);
	if (outcome->value > 0)
		ct_json_set_number(json, "value", (int64_t)outcome->value);
	char *text = ct_json_to_text(json);
	ct_json_free(json);
	return text;
}
