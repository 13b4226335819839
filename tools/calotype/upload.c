/*
 * What the server has is the truth: after anything unexpected it is asked (HEAD) before the next
 * byte is sent. A failure counts against the retries unless the server had got further than ever
 * before, so an upload over a bad line goes on as long as it moves, and one that is refused each
 * time does not.
 */
#include "upload.h"

#include "base/assert.h"
#include "base/clock.h"
#include "calotype/error.h"
#include "format.h"
#include "interrupt.h"
#include "resume_state.h"
#include "retry.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_POLL_MS 200

struct upload {
	/* Set once. */
	struct ct_cli *cli;
	const struct ct_upload_options *options;
	int fd;
	char real_path[PATH_MAX];
	struct ct_resume_file file;
	struct ct_resume_state *state; /* NULL: none is kept */

	struct ct_upload_status status;
	bool exists;	/* the server has said so, or the state file did */
	bool unsure;	/* its offset must be asked for */
	bool inherited; /* from the state file; not yet found by the server */
	uint64_t best_offset;
	uint64_t sent_bytes; /* from the start of the file on; the server may have fewer */
	struct ct_retry retry;

	/* Of the request that runs. */
	uint64_t read_offset;
	int read_error;
	struct ct_rate rate;
};

static void upload_done(struct upload *upload)
{
	ct_close_fd(&upload->fd); /* only read */
	ct_resume_close(upload->state);
}

static int fail_read(struct upload *upload, int error)
{
	upload->read_error = error;
	return -1;
}

/* Is the open file still what it was when the upload was begun? */
static bool is_unchanged(const struct upload *upload)
{
	struct stat status;
	return fstat(upload->fd, &status) == 0 &&
	       (uint64_t)status.st_size == upload->file.size_bytes &&
	       status.st_mtim.tv_sec * 1000000000LL + status.st_mtim.tv_nsec ==
		   upload->file.modified_ns;
}

/* The last bytes only go out if the file didn't change below the ones before. */
static int64_t read_file(void *arg, void *data, size_t capacity)
{
	struct upload *upload = arg;
	ssize_t got;
	do
		got = pread(upload->fd, data, capacity, (off_t)upload->read_offset);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return fail_read(upload, -errno);
	upload->read_offset += (uint64_t)got;
	bool is_last = got == 0 || upload->read_offset >= upload->file.size_bytes;
	if (is_last && (got == 0 || !is_unchanged(upload)))
		return fail_read(upload, -ESTALE);
	return got;
}

static void draw(struct upload *upload, uint64_t done)
{
	const struct ct_upload_options *options = upload->options;
	if (!ct_screen_is_due(&upload->cli->screen))
		return;
	ct_rate_sample(&upload->rate, ct_clock_monotonic_ms(), done);
	struct ct_progress progress = {
		.name = options->name,
		.done = done,
		.total = upload->file.size_bytes,
		.bytes_per_second = upload->rate.bytes_per_second,
		.state = done >= upload->file.size_bytes ? "finishing" : NULL,
	};
	options->draw(options->arg, &progress);
}

static void show_sent(void *arg, uint64_t sent_bytes)
{
	struct upload *upload = arg;
	upload->sent_bytes = upload->status.offset + sent_bytes;
	draw(upload, upload->sent_bytes);
}

/* Takes over what the server says of the upload. */
static int accept_status(struct upload *upload, const struct ct_upload_status *status)
{
	if (status->offset > upload->file.size_bytes)
		return ct_server_fail(upload->cli->server, CT_VERDICT_REFUSED,
		    CT_ERROR_PEER_PROTOCOL, "the server claims to have more than the file");
	upload->status = *status;
	upload->exists = true;
	upload->unsure = false;
	upload->inherited = false;
	upload->sent_bytes = status->offset;
	if (status->offset > upload->best_offset) {
		upload->best_offset = status->offset;
		upload->retry.failures = 0;
	}
	return 0;
}

static void save_state(struct upload *upload)
{
	if (upload->state == NULL)
		return;
	int r = ct_resume_save(upload->state, upload->status.upload);
	if (r < 0)
		ct_screen_complain(&upload->cli->screen,
		    "%s: cannot be continued later, its state was not written: %s",
		    upload->options->name, strerror(-r));
}

static int create(struct upload *upload)
{
	char size[CT_FORMAT_BYTES_CHARS + 1];
	const char *slash = strrchr(upload->options->path, '/');
	const char *filename = slash != NULL ? slash + 1 : upload->options->path;
	struct ct_upload_status status;

	int r = ct_server_create_upload(
	    upload->cli->server, filename, upload->file.size_bytes, &status);
	if (r == 0)
		r = accept_status(upload, &status);
	if (r < 0)
		return r;
	save_state(upload);
	ct_format_bytes(upload->file.size_bytes, size);
	ct_screen_plain(&upload->cli->screen, "%s uploading %s", upload->options->name, size);
	upload->unsure = upload->file.size_bytes == 0;
	return 0;
}

static int ask(struct upload *upload)
{
	struct ct_upload_status status;
	bool inherited = upload->inherited;
	int r = ct_server_get_upload(upload->cli->server, upload->status.upload, &status);
	if (r == 0)
		r = accept_status(upload, &status);
	if (r < 0)
		return r;
	if (inherited || status.offset < upload->file.size_bytes) {
		char at[CT_FORMAT_BYTES_CHARS + 1];
		char size[CT_FORMAT_BYTES_CHARS + 1];
		ct_format_bytes(status.offset, at);
		ct_format_bytes(upload->file.size_bytes, size);
		ct_screen_plain(&upload->cli->screen, "%s resuming at %s of %s",
		    upload->options->name, at, size);
	}
	return 0;
}

static int append(struct upload *upload)
{
	const struct ct_options *options = upload->cli->options;
	uint64_t left = upload->file.size_bytes - upload->status.offset;
	struct ct_upload_status status;
	struct ct_append append = {
		.upload = upload->status.upload,
		.offset = upload->status.offset,
		.length_bytes = left,
		.max_bytes_per_second = options->limit_rate,
		.read = read_file,
		.sent = show_sent,
		.arg = upload,
	};
	if (options->chunk_size > 0 && options->chunk_size < left)
		append.length_bytes = options->chunk_size;
	upload->read_offset = append.offset;
	upload->read_error = 0;
	if (upload->rate.at_ms == 0)
		ct_rate_start(&upload->rate, ct_clock_monotonic_ms(), append.offset);

	int r = ct_server_append(upload->cli->server, &append, &status);
	if (r < 0)
		return r;
	/* A success that takes nothing would go on for ever. */
	if (status.offset <= append.offset)
		return ct_server_fail(upload->cli->server, CT_VERDICT_RETRY, CT_ERROR_PEER_PROTOCOL,
		    "the server took nothing of what was sent");
	return accept_status(upload, &status);
}

static bool is_complete(const struct upload *upload)
{
	return upload->exists && !upload->unsure &&
	       upload->status.offset == upload->file.size_bytes;
}

/* One step forward. */
static int advance(struct upload *upload)
{
	if (!upload->exists)
		return create(upload);
	if (upload->unsure)
		return ask(upload);
	if (is_complete(upload)) {
		/* The server has all of it, but its answer named no job: not yet, or lost. */
		if (upload->retry.failures > 0)
			return ct_server_fail(upload->cli->server, CT_VERDICT_RETRY,
			    CT_ERROR_PEER_PROTOCOL, "the server has all but names no job yet");
		upload->unsure = true;
		upload->retry.failures = 1;
		return 0;
	}
	return append(upload);
}

/* The file can't be read, or not as one: what the server has of it is of no use. */
static enum ct_exit end_unreadable(struct upload *upload, struct ct_upload_outcome *outcome)
{
	const char *why = upload->read_error == -ESTALE ? "the file changed while it was sent"
							: strerror(-upload->read_error);
	/* One that can't be deleted expires. */
	(void)ct_server_delete_upload(upload->cli->server, upload->status.upload);
	outcome->failure = (struct ct_failure){
		.verdict = CT_VERDICT_LOCAL,
		.error = upload->read_error,
		.code = "unreadable",
	};
	(void)snprintf(outcome->failure.detail, sizeof(outcome->failure.detail), "%s", why);
	return CT_EXIT_FAILED;
}

/* CT_EXIT_OK: go on. */
static enum ct_exit after_failure(struct upload *upload, struct ct_upload_outcome *outcome)
{
	const struct ct_failure *failure = ct_server_failure(upload->cli->server);
	outcome->failure = *failure;
	if (upload->read_error < 0)
		return end_unreadable(upload, outcome);
	if (failure->verdict == CT_VERDICT_MISSING && upload->exists) {
		/* Expired, or refused. An inherited one costs nothing, others are counted. */
		bool inherited = upload->inherited;
		upload->exists = false;
		upload->inherited = false;
		if (inherited || ++upload->retry.failures <= CT_RETRY_MAX)
			return CT_EXIT_OK;
		return CT_EXIT_FAILED;
	}
	upload->unsure = upload->exists;
	return ct_retry_wait(&upload->retry, failure, &upload->cli->screen, upload->options->name);
}

static enum ct_exit run(struct upload *upload, struct ct_upload_outcome *outcome)
{
	while (!is_complete(upload) || upload->status.job[0] == '\0') {
		draw(upload, upload->status.offset);
		if (advance(upload) == 0)
			continue;
		enum ct_exit code = after_failure(upload, outcome);
		if (code != CT_EXIT_OK)
			return code;
	}
	int r = ct_slice_copy(
	    ct_slice_from_string(upload->status.job), outcome->job, sizeof(outcome->job));
	CT_ASSERT(r == 0);
	return CT_EXIT_OK;
}

/* Waits while another process sends the same file. */
static int open_state(struct upload *upload)
{
	const char *folder = upload->options->state_folder;
	bool told = false;
	if (folder == NULL)
		return 0;
	for (;;) {
		int r = ct_resume_open(folder, &upload->file, &upload->state);
		if (r != -EWOULDBLOCK)
			return r;
		if (!told)
			ct_screen_complain(&upload->cli->screen,
			    "%s: another process is uploading this file; waiting for it",
			    upload->options->name);
		told = true;
		if (!ct_interrupt_sleep(LOCK_POLL_MS))
			return -ECANCELED;
	}
}

static int open_file(struct upload *upload)
{
	struct stat status;
	const char *path = upload->options->path;
	upload->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (upload->fd < 0 || fstat(upload->fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EINVAL;
	if (realpath(path, upload->real_path) == NULL)
		return -errno;
	upload->file = (struct ct_resume_file){
		.server_url = ct_server_url(upload->cli->server),
		.path = upload->real_path,
		.size_bytes = (uint64_t)status.st_size,
		.modified_ns = status.st_mtim.tv_sec * 1000000000LL + status.st_mtim.tv_nsec,
	};
	return 0;
}

/* What an earlier process has begun. */
static void inherit(struct upload *upload)
{
	if (upload->state == NULL || ct_resume_load(upload->state, upload->status.upload) < 0)
		return;
	upload->exists = true;
	upload->unsure = true;
	upload->inherited = true;
}

static int prepare(struct upload *upload)
{
	int r = open_file(upload);
	if (r < 0)
		return r;
	r = open_state(upload);
	if (r == -ECANCELED || r == -ENOMEM)
		return r;
	if (r < 0)
		ct_screen_complain(&upload->cli->screen,
		    "%s: cannot be continued later, no state is kept: %s", upload->options->name,
		    strerror(-r));
	inherit(upload);
	return 0;
}

static enum ct_exit end_unprepared(int error, struct ct_upload_outcome *outcome)
{
	bool interrupted = error == -ECANCELED;
	outcome->failure = (struct ct_failure){
		.verdict = interrupted ? CT_VERDICT_INTERRUPTED : CT_VERDICT_LOCAL,
		.error = error,
		.code = "unreadable",
	};
	(void)snprintf(outcome->failure.detail, sizeof(outcome->failure.detail), "%s",
	    error == -EINVAL ? "not a regular file" : strerror(-error));
	return interrupted ? CT_EXIT_INTERRUPTED : CT_EXIT_FAILED;
}

enum ct_exit ct_upload_file(struct ct_cli *cli, const struct ct_upload_options *options,
    struct ct_upload_outcome *ret_outcome)
{
	ct_cleanup(upload_done) struct upload upload = { .cli = cli, .options = options, .fd = -1 };
	*ret_outcome = (struct ct_upload_outcome){ .was_complete = false };
	int r = prepare(&upload);
	if (r < 0)
		return end_unprepared(r, ret_outcome);

	bool inherited = upload.inherited;
	enum ct_exit code = run(&upload, ret_outcome);
	ret_outcome->was_begun = upload.exists;
	ret_outcome->sent_bytes = upload.sent_bytes;
	ret_outcome->size_bytes = upload.file.size_bytes;
	ret_outcome->was_complete = inherited && code == CT_EXIT_OK && upload.rate.at_ms == 0;
	if (upload.state == NULL)
		return code;
	if (code == CT_EXIT_FAILED)
		/* One that can't be removed leads to an upload that is gone, and is swept later. */
		(void)ct_resume_forget(upload.state);
	else
		ct_resume_name(&upload.file, ret_outcome->state_name);
	return code;
}

void ct_upload_forget(const char *state_folder, const struct ct_upload_outcome *outcome)
{
	if (state_folder == NULL || outcome->state_name[0] == '\0')
		return;
	/* As above: it would be swept. */
	(void)ct_resume_forget_named(state_folder, outcome->state_name);
}
