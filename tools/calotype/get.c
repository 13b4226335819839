/*
 * A download goes into FILE.part, which a later one continues: by Range, and If-Range with the
 * server's entity tag, so that bytes of two contents are never mixed. The SHA-256 of the whole
 * decides before FILE gets its name.
 */
#include "commands.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/slice.h"
#include "format.h"
#include "progress.h"
#include "retry.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PART_SUFFIX ".part"
#define COPY_BYTES 65536

struct get {
	struct ct_cli *cli;
	const char *output;
	char *name; /* of the output, escaped */
	char part_path[PATH_MAX];
	int fd;
	char image[CT_ID_CHARS + 1]; /* "": by digest */
	char sha256[CT_DIGEST_HEX_CHARS + 1];
	struct ct_digest digest;
	struct ct_retry retry;
	struct ct_failure failure; /* why it ends */

	/* Of the request that runs. */
	uint64_t offset;
	uint64_t total; /* UINT64_MAX: not told */
	int write_error;
	struct ct_rate rate;
};

static void get_done(struct get *get)
{
	ct_close_fd(&get->fd);
	free(get->name);
}

static enum ct_exit complain(struct get *get, const char *why)
{
	get->failure = (struct ct_failure){ .verdict = CT_VERDICT_LOCAL, .code = "local" };
	(void)snprintf(get->failure.detail, sizeof(get->failure.detail), "%s", why); /* or cut */
	ct_screen_complain(&get->cli->screen, "%s: %s", get->name, why);
	return CT_EXIT_FAILED;
}

/* After a failed call: CT_EXIT_OK to try again. */
static enum ct_exit after_failure(struct get *get)
{
	const struct ct_failure *failure = ct_server_failure(get->cli->server);
	enum ct_exit code = ct_retry_wait(&get->retry, failure, &get->cli->screen, get->name);
	if (code != CT_EXIT_OK && code != CT_EXIT_INTERRUPTED)
		ct_screen_complain(&get->cli->screen, "%s: %s", get->name, failure->detail);
	get->failure = *failure;
	return code;
}

/* The digest that an image's id stands for. */
static enum ct_exit resolve(struct get *get)
{
	const char *what = get->cli->options->arguments[0];
	struct ct_slice text = ct_slice_from_string(what);
	/* For what is said of it: an id is shorter than a digest. */
	if (ct_id_is_valid(text) && ct_slice_copy(text, get->image, sizeof(get->image)) < 0)
		return complain(get, "not an id");
	if (ct_digest_from_hex(text.data, text.length, &get->digest) == 0) {
		ct_digest_to_hex(&get->digest, get->sha256);
		return CT_EXIT_OK;
	}
	ct_cleanup(ct_cli_json_cleanup) struct ct_json *image = NULL;
	while (ct_server_get_image(get->cli->server, what, &image) < 0) {
		enum ct_exit code = after_failure(get);
		if (code != CT_EXIT_OK)
			return code;
	}
	get->retry.failures = 0;
	struct ct_slice sha256 = ct_slice_from_string(ct_json_get_text(image, "sha256"));
	if (ct_digest_from_hex(sha256.data, sha256.length, &get->digest) < 0)
		return complain(get, "the server tells no SHA-256 of this image");
	ct_digest_to_hex(&get->digest, get->sha256);
	return CT_EXIT_OK;
}

static enum ct_exit open_part(struct get *get)
{
	struct stat status;
	int chars =
	    snprintf(get->part_path, sizeof(get->part_path), "%s%s", get->output, PART_SUFFIX);
	if (chars < 0 || (size_t)chars >= sizeof(get->part_path))
		return complain(get, strerror(ENAMETOOLONG));
	if (stat(get->output, &status) == 0 && !S_ISREG(status.st_mode))
		return complain(get, "exists and is not a regular file");
	get->fd = open(get->part_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (get->fd < 0)
		return complain(get, strerror(errno));
	if (flock(get->fd, LOCK_EX | LOCK_NB) < 0)
		return complain(get, errno == EWOULDBLOCK
					 ? "another process is downloading to this file"
					 : strerror(errno));
	return CT_EXIT_OK;
}

static int part_size(const struct get *get, uint64_t *ret_bytes)
{
	struct stat status;
	if (fstat(get->fd, &status) < 0)
		return -errno;
	*ret_bytes = (uint64_t)status.st_size;
	return 0;
}

static void draw(struct get *get)
{
	struct ct_buffer line;
	if (!ct_screen_is_due(&get->cli->screen) || get->total == UINT64_MAX)
		return;
	ct_rate_sample(&get->rate, ct_clock_monotonic_ms(), get->offset);
	struct ct_progress progress = {
		.name = get->name,
		.done = get->offset,
		.total = get->total,
		.bytes_per_second = get->rate.bytes_per_second,
	};
	ct_buffer_init(&line, CT_SCREEN_LINE_MAX);
	ct_progress_format(&progress, ct_screen_columns(), &line);
	ct_screen_draw(&get->cli->screen, &line, 1);
	ct_buffer_done(&line);
}

static int begin(void *arg, uint64_t offset, uint64_t total_bytes)
{
	struct get *get = arg;
	get->offset = offset;
	get->total = total_bytes;
	if (get->rate.at_ms == 0)
		ct_rate_start(&get->rate, ct_clock_monotonic_ms(), offset);
	/* A whole answer to the question for the rest replaces what is there. */
	if (ftruncate(get->fd, (off_t)offset) < 0)
		get->write_error = -errno;
	return get->write_error;
}

static int write_part(void *arg, const void *data, size_t length)
{
	struct get *get = arg;
	get->write_error = ct_file_pwrite_all(get->fd, data, length, get->offset);
	if (get->write_error < 0)
		return get->write_error;
	get->offset += length;
	get->retry.failures = 0;
	draw(get);
	return 0;
}

/* Fetches what is missing; a part that can't be continued is begun anew. */
static int fetch(struct get *get)
{
	struct ct_blob_head head = { 0 };
	struct ct_blob_download download = { .begin = begin, .write = write_part, .arg = get };
	uint64_t have = 0;

	get->write_error = part_size(get, &have);
	if (get->write_error < 0)
		return get->write_error;
	if (have > 0) {
		int r = ct_server_head_blob(get->cli->server, get->sha256, &head);
		if (r < 0)
			return r;
		if (head.size_bytes == have)
			return 0;
	}
	/* A weak tag can't tell whether the bytes are the same (RFC 9110 section 13.1.5). */
	if (have < head.size_bytes && head.etag[0] == '"') {
		char at[CT_FORMAT_BYTES_CHARS + 1];
		download.offset = have;
		download.etag = head.etag;
		ct_format_bytes(have, at);
		ct_screen_plain(&get->cli->screen, "%s resuming at %s", get->name, at);
	}
	return ct_server_download_blob(get->cli->server, get->sha256, &download);
}

static enum ct_exit fetch_all(struct get *get)
{
	get->retry.failures = 0;
	while (fetch(get) < 0) {
		if (get->write_error < 0)
			return complain(get, strerror(-get->write_error));
		enum ct_exit code = after_failure(get);
		if (code != CT_EXIT_OK)
			return code;
	}
	return CT_EXIT_OK;
}

static int hash_part(struct get *get, struct ct_digest *ret_digest, uint64_t *ret_size)
{
	struct ct_hash hash;
	uint64_t size = 0;
	char piece[COPY_BYTES];
	int r = part_size(get, &size);
	ct_hash_init(&hash);
	for (uint64_t at = 0; r == 0 && at < size;) {
		size_t length = size - at < sizeof(piece) ? (size_t)(size - at) : sizeof(piece);
		r = ct_file_pread_all(get->fd, piece, length, at);
		if (r < 0)
			break;
		ct_hash_update(&hash, piece, length);
		at += length;
	}
	if (r < 0)
		return r;
	ct_hash_final(&hash, ret_digest);
	*ret_size = size;
	return 0;
}

/* The folder of the output, for its fsync. */
static int sync_folder(const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	struct ct_slice text = CT_SLICE_OF(".");
	if (slash != NULL)
		text = (struct ct_slice){ path, slash > path ? (size_t)(slash - path) : 1 };
	int r = ct_slice_copy(text, folder, sizeof(folder));
	return r < 0 ? r : ct_file_fsync_directory(folder);
}

static enum ct_exit publish(struct get *get)
{
	if (fsync(get->fd) < 0 || rename(get->part_path, get->output) < 0)
		return complain(get, strerror(errno));
	int r = sync_folder(get->output);
	return r < 0 ? complain(get, strerror(-r)) : CT_EXIT_OK;
}

/* CT_EXIT_OK with false: what came isn't it, and is gone. */
static enum ct_exit verify(struct get *get, bool *ret_is_it, uint64_t *ret_size)
{
	struct ct_digest digest;
	int r = hash_part(get, &digest, ret_size);
	if (r < 0)
		return complain(get, strerror(-r));
	*ret_is_it = ct_digest_equal(&digest, &get->digest);
	if (!*ret_is_it && ftruncate(get->fd, 0) < 0)
		return complain(get, strerror(errno));
	return CT_EXIT_OK;
}

/* What is known of it, for programs. */
static struct ct_json *to_json(const struct get *get)
{
	bool utf8 = ct_slice_is_utf8(ct_slice_from_string(get->output));
	struct ct_json *document = ct_json_object();
	ct_json_set_text(document, "file", utf8 ? get->output : get->name);
	if (get->image[0] != '\0')
		ct_json_set_text(document, "image", get->image);
	if (get->sha256[0] != '\0')
		ct_json_set_text(document, "sha256", get->sha256);
	return document;
}

/* How far it came, so that a program can tell whether the next call has much to do. */
static enum ct_exit report_failure(struct get *get)
{
	uint64_t size = 0;
	struct ct_json *document = to_json(get);
	if (get->fd >= 0 && part_size(get, &size) == 0)
		ct_json_set_number(document, "received", (int64_t)size);
	return ct_cli_print_failure(get->cli, document, &get->failure);
}

static enum ct_exit report(struct get *get, uint64_t size)
{
	char text[CT_FORMAT_BYTES_CHARS + 1];
	ct_cleanup(ct_cli_json_cleanup) struct ct_json *document = NULL;
	ct_screen_clear(&get->cli->screen);
	if (!get->cli->options->json) {
		ct_cleanup(ct_buffer_done) struct ct_buffer line;
		ct_buffer_init(&line, CT_SCREEN_LINE_MAX);
		ct_format_bytes(size, text);
		ct_buffer_printf(&line, "%s %s sha256=%s", get->name, text, get->sha256);
		return ct_cli_print_text(get->cli, &line);
	}
	document = to_json(get);
	ct_json_set_number(document, "size", (int64_t)size);
	return ct_cli_print_json(get->cli, document);
}

static enum ct_exit download(struct get *get)
{
	uint64_t before = 0;
	uint64_t size = 0;
	bool is_it = false;
	int r = part_size(get, &before);
	if (r < 0)
		return complain(get, strerror(-r));
	enum ct_exit code = fetch_all(get);
	if (code == CT_EXIT_OK)
		code = verify(get, &is_it, &size);
	if (code == CT_EXIT_OK && !is_it && before > 0) {
		/* The part that was there was of something else. */
		code = fetch_all(get);
		if (code == CT_EXIT_OK)
			code = verify(get, &is_it, &size);
	}
	if (code != CT_EXIT_OK)
		return code;
	if (!is_it) {
		(void)unlink(get->part_path); /* it is empty */
		return complain(get, "what came does not have the SHA-256 it should have");
	}
	code = publish(get);
	return code == CT_EXIT_OK ? report(get, size) : code;
}

/* An empty part is of no use to anybody. */
static void drop_empty_part(struct get *get)
{
	uint64_t size = 0;
	if (get->fd >= 0 && part_size(get, &size) == 0 && size == 0)
		(void)unlink(get->part_path); /* or is taken up next time */
}

enum ct_exit ct_get(struct ct_cli *cli)
{
	ct_cleanup(get_done) struct get get = {
		.cli = cli, .output = cli->options->output, .fd = -1, .total = UINT64_MAX
	};
	get.name = ct_cli_escape(get.output);
	if (get.name == NULL)
		return CT_EXIT_FAILED;
	enum ct_exit code = resolve(&get);
	if (code == CT_EXIT_OK)
		code = open_part(&get);
	if (code == CT_EXIT_OK)
		code = download(&get);
	ct_screen_clear(&cli->screen);
	if (code != CT_EXIT_OK) {
		code = ct_exit_worse(code, report_failure(&get));
		drop_empty_part(&get);
	}
	ct_cli_tell_how_to_continue(cli, code);
	return code;
}
