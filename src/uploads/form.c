/*
 * A form's parts one after the other. While the files before are in the commit pool (finish.c), the
 * next one is hashed and written; only when CT_FORM_MAX_FINISHING are under way does the request
 * sleep, and the rest of the piece of body that it stands in waits with it.
 *
 * A session belongs to the loop thread, but for the time between ct_session_finish() and
 * `finished`, which comes in another thread and only leaves word under the lock. So `gone` may come
 * while files are being finished: then the last `finished` frees the form.
 */
#include "uploads/form.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "jobs/jobs.h"
#include "metadata/jobs.h"
#include "uploads/answer.h"
#include "uploads/filename.h"
#include "uploads/multipart.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define OVERHEAD_BYTES ((uint64_t)1 << 20) /* boundaries, heads, fields, beside the files */

struct part {
	struct ct_form *form; /* set once */
	struct part *next;
	char filename[CT_FILENAME_MAX + 1]; /* set once */
	struct ct_session *session;
	bool is_finishing;	 /* the session is not ours */
	int status;		 /* of the outcome; 0: not known yet */
	struct ct_json *problem; /* refused: owned, until it is in the answer */
	struct ct_job_row job;	 /* taken */

	/* Under form->lock. */
	bool is_finished;
	int result;
};

struct ct_form {
	struct ct_uploads *uploads;	 /* set once */
	struct ct_http_request *request; /* set once */
	struct ct_multipart *parser;	 /* set once */
	uint64_t limit_bytes;		 /* set once: of the whole body */

	/* The loop thread's. */
	struct part *first, *last;
	unsigned file_count;
	struct part *current; /* the file whose bytes come; NULL: none yet, or a field */
	bool is_file;	      /* the part whose bytes come */
	char filename[CT_FILENAME_MAX + 1];
	uint64_t field_bytes, received_bytes;
	uint64_t left_bytes; /* of the body, from the piece on that is read now; 0: chunked */
	bool is_over;	     /* nothing more is read */
	int error;	     /* why it is over before its end */
	const char *why;

	struct ct_lock lock;
	/* Under lock. */
	unsigned finishing;
	bool sleeps; /* the request, until at most `wake_at` are finishing */
	unsigned wake_at;
	bool is_gone;
};

/* ---- life ---- */

static void destroy(struct ct_form *form)
{
	for (struct part *part = form->first, *next; part != NULL; part = next) {
		next = part->next;
		ct_session_end(part->session);
		ct_json_free(part->problem);
		free(part);
	}
	ct_multipart_free(form->parser);
	ct_lock_done(&form->lock);
	free(form);
}

bool ct_form_is_form(const struct ct_http_request *request)
{
	char boundary[CT_MULTIPART_MAX_BOUNDARY + 1];

	return ct_multipart_boundary(ct_http_header(request, "Content-Type"), boundary) != 0;
}

static uint64_t limit_of(const struct ct_uploads *uploads)
{
	uint64_t file = uploads->options.max_file_bytes;

	if (file > (UINT64_MAX - OVERHEAD_BYTES) / CT_FORM_MAX_FILES)
		return UINT64_MAX;
	return file * CT_FORM_MAX_FILES + OVERHEAD_BYTES;
}

static struct ct_http_response *check_head(const struct ct_uploads *uploads,
    const struct ct_http_request *request, char ret_boundary[CT_MULTIPART_MAX_BOUNDARY + 1])
{
	uint64_t limit = limit_of(uploads);
	uint64_t length = 1;

	if (ct_multipart_boundary(ct_http_header(request, "Content-Type"), ret_boundary) < 0)
		return ct_http_problem(request, CT_ERROR_MALFORMED_FORM,
		    "the Content-Type of a form has one boundary of 1 to %d visible characters",
		    CT_MULTIPART_MAX_BOUNDARY);
	if (!ct_http_has_body(request) || (ct_http_content_length(request, &length) && length == 0))
		return ct_http_problem(request, CT_ERROR_EMPTY_BODY, "the form has no bytes");
	if (length <= limit)
		return NULL;
	struct ct_http_response *response = ct_http_problem(
	    request, CT_ERROR_TOO_LARGE, "a form may have at most %" PRIu64 " bytes", limit);
	ct_http_problem_limit(response, limit, length);
	return response;
}

struct ct_form *ct_form_new(struct ct_uploads *uploads, struct ct_http_request *request,
    struct ct_http_response **ret_refusal)
{
	char boundary[CT_MULTIPART_MAX_BOUNDARY + 1];

	*ret_refusal = check_head(uploads, request, boundary);
	if (*ret_refusal != NULL)
		return NULL;
	ct_cleanup(ct_free_pointer) struct ct_form *form = calloc(1, sizeof(*form));
	if (form == NULL || ct_multipart_new(boundary, &form->parser) < 0)
		return NULL;
	form->uploads = uploads;
	form->request = request;
	form->limit_bytes = limit_of(uploads);
	ct_lock_init(&form->lock, CT_LOCK_LEAF);
	return ct_steal(form);
}

void ct_form_gone(struct ct_form *form)
{
	for (struct part *part = form->first; part != NULL; part = part->next) {
		if (!part->is_finishing)
			ct_session_end(ct_steal(part->session));
	}
	ct_lock_take(&form->lock);
	CT_ASSERT(!form->sleeps);
	form->is_gone = true;
	bool is_last = form->finishing == 0;
	ct_lock_release(&form->lock);
	if (is_last)
		destroy(form);
}

/* ---- the outcome of a part ---- */

static int add_part(struct ct_form *form, const char *filename, struct part **ret_part)
{
	struct part *part = calloc(1, sizeof(*part));

	if (part == NULL)
		return -ENOMEM;
	part->form = form;
	memcpy(part->filename, filename, strlen(filename) + 1);
	if (form->last != NULL)
		form->last->next = part;
	else
		form->first = part;
	form->last = part;
	*ret_part = part;
	return 0;
}

/* Takes over `problem`. */
static void refuse(struct part *part, int error, struct ct_http_response *problem)
{
	CT_ASSERT(part->status == 0 && !part->is_finishing);
	part->status = ct_error_http_status(error);
	part->problem = ct_http_problem_take_json(problem);
	ct_session_end(ct_steal(part->session));
}

static void refuse_for(struct part *part, int error)
{
	const struct ct_form *form = part->form;

	refuse(part, error,
	    ct_answer_problem(
		form->uploads, form->request, part->session, error, CT_BLOB_LENGTH_UNKNOWN));
}

/* Ends the form before its end. What was taken stays. */
static void stop(struct ct_form *form, int error, const char *why)
{
	struct part *part = form->current;

	form->is_over = true;
	form->error = error;
	form->why = why;
	form->current = NULL;
	if (part != NULL && part->status != 0) {
		form->filename[0] = '\0'; /* has its entry */
		part = NULL;
	}
	/* Without memory even for this entry the others say enough. */
	if (part == NULL && form->first != NULL)
		(void)add_part(form, form->filename, &part);
	if (part != NULL)
		refuse(part, error, ct_http_problem(form->request, error, "%s", why));
}

/* ---- waiting for the disk ---- */

/* The commit pool's or the database's thread. */
static void finished(void *arg, int result)
{
	struct part *part = arg;
	struct ct_form *form = part->form;

	ct_lock_take(&form->lock);
	part->is_finished = true;
	part->result = result;
	form->finishing--;
	bool wakes = form->sleeps && form->finishing <= form->wake_at;
	if (wakes)
		form->sleeps = false;
	bool is_last = form->is_gone && form->finishing == 0;
	struct ct_http_request *request = form->request;
	ct_lock_release(&form->lock);
	/* A request that sleeps keeps its form; otherwise the form may be gone by now. */
	if (wakes)
		ct_http_proceed(request);
	if (is_last)
		destroy(form);
}

/* True: the request must sleep until at most `count` files are finishing. */
static bool must_wait(struct ct_form *form, unsigned count)
{
	ct_lock_take(&form->lock);
	form->sleeps = form->finishing > count;
	form->wake_at = count;
	bool sleeps = form->sleeps;
	ct_lock_release(&form->lock);
	return sleeps;
}

static void collect_part(struct part *part)
{
	ct_lock_take(&part->form->lock);
	bool is_finished = part->is_finished;
	int result = part->result;
	ct_lock_release(&part->form->lock);
	if (!is_finished)
		return;
	part->is_finishing = false;
	if (result < 0) {
		refuse_for(part, result);
		return;
	}
	part->status = 202;
	ct_session_job(part->session, &part->job);
	ct_session_end(ct_steal(part->session));
}

/* Takes the sessions back that are finished. */
static void collect(struct ct_form *form)
{
	for (struct part *part = form->first; part != NULL; part = part->next) {
		if (part->is_finishing)
			collect_part(part);
	}
}

static void finish(struct part *part)
{
	struct ct_form *form = part->form;

	ct_lock_take(&form->lock);
	form->finishing++;
	ct_lock_release(&form->lock);
	part->is_finishing = true;
	int r = ct_session_finish(part->session, finished, part);
	if (r == 0)
		return;
	part->is_finishing = false;
	ct_lock_take(&form->lock);
	form->finishing--;
	ct_lock_release(&form->lock);
	refuse_for(part, r);
}

/* ---- what the parser tells ---- */

static bool is_plain_encoding(struct ct_slice encoding)
{
	return encoding.data == NULL || ct_slice_equal_ignore_case(encoding, "binary") ||
	       ct_slice_equal_ignore_case(encoding, "8bit") ||
	       ct_slice_equal_ignore_case(encoding, "7bit");
}

/* 0, -EINVAL and why, or -ENAMETOOLONG. */
static int judge_head(
    struct ct_form *form, const struct ct_multipart_head *head, const char **ret_why)
{
	form->filename[0] = '\0';
	form->is_file = false;
	*ret_why = "a part's Content-Transfer-Encoding may only be binary, 8bit or 7bit";
	if (!is_plain_encoding(head->transfer_encoding))
		return -EINVAL;
	*ret_why = "a part has no Content-Disposition";
	if (head->disposition.data == NULL)
		return -EINVAL;
	*ret_why = "a part's Content-Disposition is not form-data, or its file name is malformed";
	return ct_filename_from_form(head->disposition, form->filename, &form->is_file);
}

/* Fields count no more than the parser lets through. */
static int add_file(struct ct_form *form, struct part **ret_part)
{
	if (form->file_count++ == CT_FORM_MAX_FILES)
		return CT_ERROR_TOO_MANY_PARTS;
	return add_part(form, form->filename, ret_part);
}

static int take_head(struct ct_form *form, const struct ct_multipart_head *head)
{
	const char *why;
	int wrong = judge_head(form, head, &why);

	form->current = NULL;
	form->field_bytes = 0;
	if (wrong == 0)
		return 0;
	form->is_file = true; /* refused: an entry, and its bytes are skipped */
	int r = add_file(form, &form->current);
	if (r == 0)
		refuse(form->current, CT_ERROR_INVALID_HEADER,
		    wrong == -ENAMETOOLONG
			? ct_answer_name_problem(form->request, CT_ERROR_INVALID_HEADER, wrong, 0)
			: ct_http_problem(form->request, CT_ERROR_INVALID_HEADER, "%s", why));
	return r;
}

static int begin(struct ct_form *form, struct part *part)
{
	const struct ct_session_start start = {
		.length_bytes = CT_BLOB_LENGTH_UNKNOWN,
		.most_bytes = form->left_bytes,
		.filename = part->filename,
		.key_id = ct_http_key_id(form->request),
	};

	int r = ct_session_new(
	    form->uploads, ct_http_request_id(form->request), NULL, NULL, &part->session);
	return r < 0 ? r : ct_session_begin_whole(part->session, &start);
}

static int take_field_data(struct ct_form *form, size_t length)
{
	form->field_bytes += length;
	if (form->field_bytes <= CT_FORM_MAX_FIELD_BYTES)
		return 0;
	form->is_file = true;
	int r = add_file(form, &form->current);
	if (r < 0)
		return r;
	struct ct_http_response *problem = ct_http_problem(form->request, CT_ERROR_TOO_LARGE,
	    "a part without a file name may have at most %d bytes; a file's part has one",
	    CT_FORM_MAX_FIELD_BYTES);
	ct_http_problem_limit(problem, CT_FORM_MAX_FIELD_BYTES, form->field_bytes);
	refuse(form->current, CT_ERROR_TOO_LARGE, problem);
	return 0;
}

static int take_data(struct ct_form *form, struct ct_slice data)
{
	int r = 0;

	if (!form->is_file)
		return take_field_data(form, data.length);
	if (form->current == NULL) {
		r = add_file(form, &form->current);
		if (r < 0)
			return r;
		r = begin(form, form->current);
	}
	struct part *part = form->current;
	if (r == 0 && part->status == 0)
		r = ct_session_append(part->session, data.data, data.length);
	if (r < 0)
		refuse_for(part, r);
	return 0;
}

static int end_part(struct ct_form *form)
{
	struct part *part = form->current;

	form->current = NULL;
	if (part != NULL) {
		if (part->status == 0)
			finish(part);
	} else if (form->is_file && form->filename[0] != '\0') {
		int r = add_file(form, &part);
		if (r < 0)
			return r;
		refuse(part, CT_ERROR_EMPTY_BODY,
		    ct_http_problem(form->request, CT_ERROR_EMPTY_BODY, "the file has no bytes"));
	} /* else a field, or a file input in which nothing was chosen */
	form->filename[0] = '\0';
	return 0;
}

static void take_event(struct ct_form *form, const struct ct_multipart_event *event)
{
	int r = 0;

	switch (event->kind) {
	case CT_MULTIPART_PART: r = take_head(form, &event->head); break;
	case CT_MULTIPART_DATA: r = take_data(form, event->data); break;
	case CT_MULTIPART_PART_END: r = end_part(form); break;
	case CT_MULTIPART_MORE:
	case CT_MULTIPART_END: break;
	}
	if (r == CT_ERROR_TOO_MANY_PARTS)
		stop(form, r, "a form may hold at most 100 files");
	else if (r < 0)
		stop(form, r, ct_error_text(r));
}

/* ---- the answer ---- */

static struct ct_json *entry_of(const struct ct_form *form, struct part *part)
{
	struct ct_json *entry = part->status == 202 ? ct_job_to_json(&part->job) : ct_json_object();

	if (part->status != 202)
		ct_json_set(entry, "error", ct_steal(part->problem));
	else
		ct_answer_durability(form->uploads, NULL, entry);
	ct_json_set_text(entry, "filename", part->filename[0] != '\0' ? part->filename : NULL);
	return entry;
}

static struct ct_http_response *refusal_of(const struct ct_form *form)
{
	if (form->error != 0)
		return ct_http_problem(form->request, form->error, "%s", form->why);
	return ct_http_problem(form->request, CT_ERROR_EMPTY_BODY,
	    "the form holds no file; a file's part has a file name, as in curl -F file=@photo.jpg");
}

/* All that was taken is durable. */
static enum ct_http_next answer(struct ct_form *form)
{
	const struct part *taken = NULL;
	unsigned taken_count = 0;

	if (form->first == NULL)
		return ct_http_answer(form->request, refusal_of(form));
	struct ct_json *json = ct_json_object();
	struct ct_json *jobs = ct_json_array();
	for (struct part *part = form->first; part != NULL; part = part->next) {
		CT_ASSERT(part->status != 0);
		if (part->status == 202) {
			taken = part;
			taken_count++;
		}
		ct_json_append(jobs, entry_of(form, part));
	}
	int status = taken != NULL ? 202 : form->first->status;
	struct ct_http_response *response = ct_http_response_new(status);
	if (taken != NULL)
		ct_answer_durability(form->uploads, response, NULL);
	if (taken_count == 1) {
		ct_answer_location(form->uploads, response, "jobs", taken->job.id);
		ct_answer_job_link(form->uploads, response, taken->job.id);
	}
	if (status == 503 || status == 429)
		ct_http_response_header(response, "Retry-After", "1");
	ct_json_set(json, "jobs", jobs);
	ct_http_response_json(response, json);
	return ct_http_answer(form->request, response);
}

/* ---- the steps ---- */

/* `rest` bytes of the piece are for later. */
static enum ct_http_next sleep_on(struct ct_form *form, size_t rest)
{
	form->received_bytes -= rest;
	ct_http_keep_rest(form->request, rest);
	return CT_HTTP_WAIT;
}

static enum ct_http_next conclude(struct ct_form *form, size_t length_bytes)
{
	/* The piece is kept so that it brings us here again. */
	if (must_wait(form, 0))
		return sleep_on(form, length_bytes);
	collect(form);
	return answer(form);
}

static void take_next(
    struct ct_form *form, struct ct_slice *bytes, struct ct_multipart_event *event)
{
	int r = ct_multipart_next(form->parser, bytes, event);

	if (r < 0)
		stop(form, r, ct_multipart_why(form->parser));
	else
		take_event(form, event);
}

enum ct_http_next ct_form_body(struct ct_form *form, const void *data, size_t length_bytes)
{
	struct ct_slice bytes = { data, length_bytes };
	struct ct_multipart_event event = { .kind = CT_MULTIPART_MORE };

	collect(form);
	if (!form->is_over && length_bytes > form->limit_bytes - form->received_bytes)
		stop(form, CT_ERROR_TOO_LARGE,
		    "the form has more bytes than all its files may have");
	uint64_t declared_bytes = 0;
	if (ct_http_content_length(form->request, &declared_bytes))
		form->left_bytes = declared_bytes - form->received_bytes;
	form->received_bytes += length_bytes;
	do {
		if (!form->is_over)
			take_next(form, &bytes, &event);
		if (form->is_over)
			return conclude(form, length_bytes);
		if (event.kind == CT_MULTIPART_PART_END &&
		    must_wait(form, CT_FORM_MAX_FINISHING - 1))
			return sleep_on(form, bytes.length);
	} while (event.kind != CT_MULTIPART_MORE);
	return CT_HTTP_PROCEED;
}

enum ct_http_next ct_form_end(struct ct_form *form)
{
	collect(form);
	if (!form->is_over && ct_multipart_finish(form->parser) < 0)
		stop(form, CT_ERROR_MALFORMED_FORM, ct_multipart_why(form->parser));
	form->is_over = true;
	if (must_wait(form, 0))
		return CT_HTTP_WAIT;
	collect(form);
	return answer(form);
}
