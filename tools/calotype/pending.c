#include "pending.h"

#include "base/assert.h"
#include "base/clock.h"
#include "interrupt.h"
#include "progress.h"
#include "report.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FIRST_POLL_MS 100
#define DEFAULT_POLL_MS 500
#define MAX_POLL_MS 30000
#define WAIT_S 20
#define REDRAW_MS 250
#define FIRST_CAPACITY 16
#define STATE_CHARS 31

struct ct_pending_job {
	char *path;
	char *name; /* escaped */
	char id[CT_ID_CHARS + 1];
	char etag[CT_SERVER_ETAG_MAX + 1];
	char state[STATE_CHARS + 1]; /* for the live line */
	int64_t next_ms;
};

void ct_pending_init(struct ct_pending *pending, struct ct_cli *cli)
{
	*pending = (struct ct_pending){ .cli = cli };
}

static void job_done(struct ct_pending_job *job)
{
	free(job->path);
	free(job->name);
}

void ct_pending_done(struct ct_pending *pending)
{
	for (size_t i = 0; i < pending->count; i++)
		job_done(&pending->jobs[i]);
	free(pending->jobs);
	pending->jobs = NULL;
	pending->count = 0;
}

static int grow(struct ct_pending *pending)
{
	size_t capacity = pending->capacity > 0 ? pending->capacity * 2 : FIRST_CAPACITY;
	if (pending->count < pending->capacity)
		return 0;
	struct ct_pending_job *jobs = realloc(pending->jobs, capacity * sizeof(*jobs));
	if (jobs == NULL)
		return -ENOMEM;
	pending->jobs = jobs;
	pending->capacity = capacity;
	return 0;
}

int ct_pending_add(struct ct_pending *pending, const char *path, const char *job_id)
{
	if (grow(pending) < 0)
		return -ENOMEM;
	struct ct_pending_job job = {
		.path = strdup(path),
		.name = ct_cli_escape(path),
		.state = "processing",
		.next_ms = ct_clock_monotonic_ms() + FIRST_POLL_MS,
	};
	int r = ct_slice_copy(ct_slice_from_string(job_id), job.id, sizeof(job.id));
	CT_ASSERT(r == 0);
	if (job.path == NULL || job.name == NULL) {
		job_done(&job);
		return -ENOMEM;
	}
	pending->jobs[pending->count++] = job;
	return 0;
}

bool ct_job_is_in_state(const struct ct_json *job, const char *state)
{
	const char *text = ct_json_get_text(job, "state");
	return text != NULL && strcmp(text, state) == 0;
}

struct ct_json *ct_job_take_image(const struct ct_json *job, const char *url)
{
	ct_cleanup(ct_cli_json_cleanup) struct ct_json *response = ct_json_get(job, "response");
	struct ct_json *image = ct_json_get(response, "image");
	ct_image_make_absolute(image, url);
	return image;
}

/* The problem inside a failed job, as if a call had failed with it. */
static void read_problem(const struct ct_json *job, struct ct_failure *failure)
{
	ct_cleanup(ct_cli_json_cleanup) struct ct_json *error = ct_json_get(job, "error");
	const char *code = ct_json_get_text(error, "code");
	const char *detail = ct_json_get_text(error, "detail");
	if (detail == NULL)
		detail = ct_json_get_text(error, "title");
	ct_cleanup(ct_free_pointer) char *escaped_code = code != NULL ? ct_cli_escape(code) : NULL;
	ct_cleanup(ct_free_pointer) char *escaped = detail != NULL ? ct_cli_escape(detail) : NULL;
	*failure = (struct ct_failure){ .verdict = CT_VERDICT_REFUSED };
	/* Both are cut where they are too long. */
	(void)snprintf(failure->code, sizeof(failure->code), "%s",
	    escaped_code != NULL ? escaped_code : "failed");
	(void)snprintf(failure->detail, sizeof(failure->detail), "%s",
	    escaped != NULL ? escaped : "the job has failed");
	if (error != NULL)
		ct_failure_set_problem(failure, error);
}

static enum ct_exit report_end(
    struct ct_pending *pending, const struct ct_pending_job *job, const struct ct_json *json)
{
	struct ct_failure failure;
	ct_cleanup(ct_cli_json_cleanup) struct ct_json *image =
	    ct_job_take_image(json, ct_server_url(pending->cli->server));
	struct ct_report report = {
		.path = job->path, .state = "ready", .job = job->id, .image = image
	};
	if (ct_job_is_in_state(json, "succeeded"))
		return ct_report_file(pending->cli, &report);
	read_problem(json, &failure);
	report.state = "failed";
	report.failure = &failure;
	if (ct_job_is_in_state(json, "canceled"))
		(void)snprintf(failure.detail, sizeof(failure.detail), "the job was canceled");
	return ct_exit_worse(CT_EXIT_FAILED, ct_report_file(pending->cli, &report));
}

static void note_progress(struct ct_pending_job *job, const struct ct_json *json)
{
	double progress = ct_json_get_real(json, "progress", 0);
	bool queued = ct_job_is_in_state(json, "queued");
	if (progress > 0 && progress <= 1)
		(void)snprintf(
		    job->state, sizeof(job->state), "processing %3.0f%%", progress * 100);
	else
		(void)snprintf(
		    job->state, sizeof(job->state), "%s", queued ? "queued" : "processing");
}

static void take_out(struct ct_pending *pending, size_t index)
{
	job_done(&pending->jobs[index]);
	pending->count--;
	memmove(&pending->jobs[index], &pending->jobs[index + 1],
	    (pending->count - index) * sizeof(*pending->jobs));
}

/* The server knows this job no more, or will never say. */
static enum ct_exit give_up(struct ct_pending *pending, size_t index, enum ct_exit reason)
{
	struct ct_report report = {
		.path = pending->jobs[index].path,
		.state = "failed",
		.job = pending->jobs[index].id,
		.failure = ct_server_failure(pending->cli->server),
	};
	enum ct_exit code = ct_report_file(pending->cli, &report);
	take_out(pending, index);
	pending->worst = ct_exit_worse(pending->worst, ct_exit_worse(reason, code));
	return CT_EXIT_OK;
}

void ct_pending_abandon(
    struct ct_pending *pending, const char *state, const struct ct_failure *failure)
{
	for (size_t i = 0; i < pending->count; i++) {
		struct ct_report report = {
			.path = pending->jobs[i].path,
			.state = state,
			.job = pending->jobs[i].id,
			.failure = failure,
		};
		pending->worst =
		    ct_exit_worse(pending->worst, ct_report_file(pending->cli, &report));
	}
}

static void schedule(struct ct_pending_job *job, int64_t retry_after_ms)
{
	int64_t wait_ms = retry_after_ms > 0 ? retry_after_ms : DEFAULT_POLL_MS;
	job->next_ms = ct_clock_monotonic_ms() + (wait_ms < MAX_POLL_MS ? wait_ms : MAX_POLL_MS);
}

/* Asks for one; `*ret_ended` tells whether it was taken out. */
static enum ct_exit poll_one(struct ct_pending *pending, size_t index, bool *ret_ended)
{
	struct ct_pending_job *job = &pending->jobs[index];
	struct ct_job_poll poll = { .job = NULL };
	*ret_ended = false;
	memcpy(poll.etag, job->etag, sizeof(poll.etag));
	/* One call at a time: a wait for one job must not hide the end of another. */
	if (pending->may_wait && pending->count == 1 && job->etag[0] != '\0')
		poll.wait_s = WAIT_S;
	if (ct_server_get_job(pending->cli->server, job->id, &poll) < 0) {
		enum ct_exit code = ct_retry_wait(&pending->retry,
		    ct_server_failure(pending->cli->server), &pending->cli->screen, job->name);
		*ret_ended = code == CT_EXIT_FAILED || code == CT_EXIT_AUTH;
		return *ret_ended ? give_up(pending, index, code) : code;
	}
	ct_cleanup(ct_cli_json_cleanup) struct ct_json *json = poll.job;
	pending->retry.failures = 0;
	memcpy(job->etag, poll.etag, sizeof(job->etag));
	if (json != NULL && ct_json_get_bool(json, "done", false)) {
		pending->worst = ct_exit_worse(pending->worst, report_end(pending, job, json));
		take_out(pending, index);
		*ret_ended = true;
		return CT_EXIT_OK;
	}
	if (json != NULL)
		note_progress(job, json);
	schedule(job, poll.waited ? FIRST_POLL_MS : poll.retry_after_ms);
	return CT_EXIT_OK;
}

enum ct_exit ct_pending_poll(struct ct_pending *pending, size_t most)
{
	int64_t now_ms = ct_clock_monotonic_ms();
	size_t index = 0;
	while (index < pending->count && most > 0) {
		bool ended;
		if (pending->jobs[index].next_ms > now_ms) {
			index++;
			continue;
		}
		enum ct_exit code = poll_one(pending, index, &ended);
		if (code != CT_EXIT_OK)
			return code;
		most--;
		if (!ended)
			index++;
	}
	return CT_EXIT_OK;
}

size_t ct_pending_draw(const struct ct_pending *pending, size_t most, struct ct_buffer *ret_lines)
{
	size_t columns = ct_screen_columns();
	size_t made = 0;
	for (; made < pending->count && made < most; made++) {
		const struct ct_pending_job *job = &pending->jobs[made];
		struct ct_progress progress = { .name = job->name, .state = job->state };
		char more[STATE_CHARS + 1];
		ct_buffer_init(&ret_lines[made], CT_SCREEN_LINE_MAX);
		if (made + 1 == most && made + 1 < pending->count) {
			(void)snprintf(more, sizeof(more), "%zu more", pending->count - made);
			progress.name = "and";
			progress.state = more;
		}
		ct_progress_format(&progress, columns, &ret_lines[made]);
	}
	return made;
}

static void draw_all(struct ct_pending *pending)
{
	struct ct_buffer lines[CT_SCREEN_MAX_LIVE];
	if (!ct_screen_is_due(&pending->cli->screen))
		return;
	size_t count = ct_pending_draw(pending, CT_SCREEN_MAX_LIVE, lines);
	ct_screen_draw(&pending->cli->screen, lines, count);
	for (size_t i = 0; i < count; i++)
		ct_buffer_done(&lines[i]);
}

static int64_t next_due_ms(const struct ct_pending *pending)
{
	int64_t soonest = INT64_MAX;
	for (size_t i = 0; i < pending->count; i++) {
		if (pending->jobs[i].next_ms < soonest)
			soonest = pending->jobs[i].next_ms;
	}
	return soonest;
}

enum ct_exit ct_pending_wait(struct ct_pending *pending)
{
	pending->may_wait = true;
	while (pending->count > 0) {
		enum ct_exit code = ct_pending_poll(pending, SIZE_MAX);
		if (code != CT_EXIT_OK)
			return code;
		draw_all(pending);
		int64_t wait_ms = next_due_ms(pending) - ct_clock_monotonic_ms();
		if (pending->cli->screen.live && wait_ms > REDRAW_MS)
			wait_ms = REDRAW_MS;
		if (pending->count > 0 && wait_ms > 0 && !ct_interrupt_sleep(wait_ms))
			return CT_EXIT_INTERRUPTED;
	}
	ct_screen_clear(&pending->cli->screen);
	return CT_EXIT_OK;
}
