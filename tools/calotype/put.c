/*
 * Files go up one after another; their jobs are asked for in between and at the end. The states of
 * uploads that are complete are kept until the whole command is done, so that the same command,
 * after an interrupt, finds the first half of a folder on the server and doesn't send it twice.
 */
#include "commands.h"

#include "base/clock.h"
#include "pending.h"
#include "report.h"
#include "resume_state.h"
#include "upload.h"
#include "walk.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define POLLS_BETWEEN_UPLOADS 8
#define STATE_LIFETIME_MS (7 * 24 * 3600 * 1000LL) /* a server keeps ended jobs so long */
#define FIRST_CAPACITY 16

struct put {
	struct ct_cli *cli;
	struct ct_walk walk;
	struct ct_pending pending;
	char state_folder[PATH_MAX]; /* "": no state is kept */
	char (*kept)[CT_DIGEST_HEX_CHARS + 1];
	size_t kept_count;
	size_t kept_capacity;
	enum ct_exit worst;
};

static void put_done(struct put *put)
{
	ct_walk_done(&put->walk);
	ct_pending_done(&put->pending);
	free(put->kept);
}

static const char *state_folder(const struct put *put)
{
	return put->state_folder[0] != '\0' ? put->state_folder : NULL;
}

static void report_failure(
    struct put *put, const char *path, const char *state, const struct ct_failure *failure)
{
	struct ct_report report = { .path = path, .state = state, .failure = failure };
	put->worst = ct_exit_worse(put->worst, ct_report_file(put->cli, &report));
}

static void note_unreadable(void *arg, const char *path, int error)
{
	struct put *put = arg;
	struct ct_failure failure = { .verdict = CT_VERDICT_LOCAL, .code = "unreadable" };
	const char *why = error == -EINVAL ? "neither a file nor a folder" : strerror(-error);
	(void)snprintf(failure.detail, sizeof(failure.detail), "%s", why);
	report_failure(put, path, "failed", &failure);
	put->worst = ct_exit_worse(put->worst, CT_EXIT_FAILED);
}

static void draw(void *arg, const struct ct_progress *progress)
{
	struct put *put = arg;
	struct ct_buffer lines[CT_SCREEN_MAX_LIVE];
	size_t count = ct_pending_draw(&put->pending, CT_SCREEN_MAX_LIVE - 1, lines);
	ct_buffer_init(&lines[count], CT_SCREEN_LINE_MAX);
	ct_progress_format(progress, ct_screen_columns(), &lines[count]);
	ct_screen_draw(&put->cli->screen, lines, count + 1);
	for (size_t i = 0; i <= count; i++)
		ct_buffer_done(&lines[i]);
}

/* Remembers a complete upload's state; without memory it stays until it is swept. */
static void keep_state(struct put *put, const char *name)
{
	if (name[0] == '\0')
		return;
	if (put->kept_count == put->kept_capacity) {
		size_t capacity = put->kept_capacity > 0 ? put->kept_capacity * 2 : FIRST_CAPACITY;
		void *grown = realloc(put->kept, capacity * sizeof(*put->kept));
		if (grown == NULL)
			return;
		put->kept = grown;
		put->kept_capacity = capacity;
	}
	memcpy(put->kept[put->kept_count++], name, sizeof(*put->kept));
}

static void forget_states(struct put *put)
{
	for (size_t i = 0; i < put->kept_count; i++)
		/* One that stays behind is swept later. */
		(void)ct_resume_forget_named(put->state_folder, put->kept[i]);
}

/*
 * An upload that an earlier process completed counts, unless its job has failed or its image was
 * deleted since: then the file is to be sent again.
 */
static bool is_worth_keeping(struct put *put, const char *job_id)
{
	struct ct_job_poll poll = { .job = NULL };
	ct_cleanup(ct_cli_json_cleanup) struct ct_json *image = NULL;
	if (ct_server_get_job(put->cli->server, job_id, &poll) < 0)
		return ct_server_failure(put->cli->server)->verdict != CT_VERDICT_MISSING;
	ct_cleanup(ct_cli_json_cleanup) struct ct_json *job = poll.job;
	if (!ct_json_get_bool(job, "done", false))
		return true;
	const char *id = ct_json_get_text(job, "image");
	if (!ct_job_is_in_state(job, "succeeded") || id == NULL ||
	    !ct_id_is_valid(ct_slice_from_string(id)))
		return false;
	if (ct_server_get_image(put->cli->server, id, &image) < 0)
		return ct_server_failure(put->cli->server)->verdict != CT_VERDICT_MISSING;
	return true;
}

static enum ct_exit upload(struct put *put, const char *path, struct ct_upload_outcome *outcome)
{
	ct_cleanup(ct_free_pointer) char *name = ct_cli_escape(path);
	struct ct_upload_options options = {
		.path = path,
		.name = name,
		.state_folder = state_folder(put),
		.draw = draw,
		.arg = put,
	};
	if (name == NULL)
		return CT_EXIT_FAILED;
	enum ct_exit code = ct_upload_file(put->cli, &options, outcome);
	if (code != CT_EXIT_OK || !outcome->was_complete || is_worth_keeping(put, outcome->job))
		return code;
	ct_upload_forget(state_folder(put), outcome);
	return ct_upload_file(put->cli, &options, outcome);
}

static const char *failure_state(enum ct_exit code, const struct ct_failure *failure)
{
	if (code == CT_EXIT_INTERRUPTED)
		return "interrupted";
	if (code == CT_EXIT_UNREACHABLE)
		return "unreachable";
	return failure->verdict == CT_VERDICT_LOCAL ? "failed" : "refused";
}

static enum ct_exit after_upload(
    struct put *put, const char *path, const struct ct_upload_outcome *outcome)
{
	struct ct_report report = { .path = path, .state = "uploaded", .job = outcome->job };
	keep_state(put, outcome->state_name);
	if (put->cli->options->no_wait)
		return ct_report_file(put->cli, &report);
	if (ct_pending_add(&put->pending, path, outcome->job) < 0) {
		ct_screen_complain(&put->cli->screen, "%s", strerror(ENOMEM));
		return CT_EXIT_FAILED;
	}
	return ct_pending_poll(&put->pending, POLLS_BETWEEN_UPLOADS);
}

static enum ct_exit put_file(struct put *put, const char *path)
{
	struct ct_upload_outcome outcome;
	enum ct_exit code = upload(put, path, &outcome);
	if (code == CT_EXIT_OK)
		return after_upload(put, path, &outcome);
	/* For people, an interrupt is told once, at the end. */
	if (code == CT_EXIT_INTERRUPTED && !put->cli->options->json)
		return code;
	struct ct_report report = {
		.path = path,
		.state = failure_state(code, &outcome.failure),
		.failure = &outcome.failure,
		.was_begun = outcome.was_begun && ct_exit_is_end(code),
		.sent_bytes = outcome.sent_bytes,
		.size_bytes = outcome.size_bytes,
	};
	put->worst = ct_exit_worse(put->worst, ct_report_file(put->cli, &report));
	return code;
}

/* A program is told of each file; people are told once. */
static void report_rest(struct put *put, size_t first, enum ct_exit code)
{
	struct ct_failure failure = *ct_server_failure(put->cli->server);
	if (!put->cli->options->json)
		return;
	if (code == CT_EXIT_INTERRUPTED)
		failure = (struct ct_failure){ .verdict = CT_VERDICT_INTERRUPTED,
			.code = "interrupted",
			.detail = "interrupted" };
	const char *state = failure_state(code, &failure);
	ct_pending_abandon(&put->pending, state, &failure);
	for (size_t i = first; i < put->walk.count; i++)
		report_failure(put, put->walk.paths[i], state, &failure);
}

static void find_state_folder(struct put *put)
{
	int r = ct_resume_folder(put->state_folder, sizeof(put->state_folder));
	if (r == 0)
		r = ct_resume_sweep(put->state_folder, ct_clock_wall_ms() - STATE_LIFETIME_MS);
	else
		put->state_folder[0] = '\0';
	if (r < 0)
		ct_screen_complain(&put->cli->screen,
		    "the states of uploads (under XDG_STATE_HOME or HOME): %s", strerror(-r));
}

static enum ct_exit find_files(struct put *put)
{
	const struct ct_options *options = put->cli->options;
	for (size_t i = 0; i < options->argument_count; i++) {
		int r = ct_walk_add(&put->walk, options->arguments[i]);
		if (r >= 0)
			continue;
		struct ct_failure failure = { .verdict = CT_VERDICT_LOCAL, .code = "local" };
		if (r == -E2BIG)
			(void)snprintf(failure.detail, sizeof(failure.detail),
			    "more than %d files at once", CT_WALK_MAX_FILES); /* it fits */
		else
			(void)snprintf(failure.detail, sizeof(failure.detail), "%s", strerror(-r));
		ct_screen_complain(&put->cli->screen, "%s", failure.detail);
		return ct_exit_worse(
		    CT_EXIT_USAGE, ct_cli_print_failure(put->cli, ct_json_object(), &failure));
	}
	return CT_EXIT_OK;
}

static enum ct_exit put_files(struct put *put)
{
	enum ct_exit code = CT_EXIT_OK;
	size_t i = 0;
	while (i < put->walk.count && !ct_exit_is_end(code)) {
		code = put_file(put, put->walk.paths[i++]);
		put->worst = ct_exit_worse(put->worst, code);
	}
	if (!ct_exit_is_end(code))
		code = ct_pending_wait(&put->pending);
	ct_screen_clear(&put->cli->screen);
	if (ct_exit_is_end(code))
		report_rest(put, i, code);
	put->worst = ct_exit_worse(put->worst, code);
	return ct_exit_worse(put->worst, put->pending.worst);
}

enum ct_exit ct_put(struct ct_cli *cli)
{
	ct_cleanup(put_done) struct put put = {
		.cli = cli,
		.walk = { .problem = note_unreadable },
	};
	put.walk.arg = &put;
	ct_pending_init(&put.pending, cli);
	find_state_folder(&put);
	enum ct_exit code = find_files(&put);
	if (code != CT_EXIT_OK)
		return code;
	if (put.walk.count == 0 && put.worst == CT_EXIT_OK)
		ct_screen_complain(&cli->screen, "no files found");
	code = put_files(&put);
	if (!ct_exit_is_end(code))
		forget_states(&put);
	ct_cli_tell_how_to_continue(cli, code);
	return code;
}
