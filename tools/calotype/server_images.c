#include "server_priv.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "calotype/error.h"
#include "interrupt.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PATH_CHARS 127
#define RANGE_HEADER_CHARS 47 /* "Range: bytes=18446744073709551615-" */

static void make_path(const char *folder, const char *id, char ret_path[PATH_CHARS + 1])
{
	int chars = snprintf(ret_path, PATH_CHARS + 1, "/%s/%s", folder, id);
	CT_ASSERT(chars > 0 && chars <= PATH_CHARS);
}

/* "" when there is none, or one of a length that no server of ours makes. */
static void copy_etag(const struct ct_http_result *result, char ret_etag[CT_SERVER_ETAG_MAX + 1])
{
	struct ct_slice etag = ct_http_result_header(result, "ETag");
	if (etag.data == NULL || ct_slice_copy(etag, ret_etag, CT_SERVER_ETAG_MAX + 1) < 0)
		ret_etag[0] = '\0';
}

static void make_etag_header(const char *name, const char *etag, char *ret_header, size_t capacity)
{
	int chars = snprintf(ret_header, capacity, "%s: %s", name, etag);
	CT_ASSERT(chars > 0 && (size_t)chars < capacity);
}

int ct_server_get_job(struct ct_server *server, const char *job, struct ct_job_poll *poll)
{
	char path[PATH_CHARS + 1];
	char match[CT_SERVER_ETAG_MAX + 33];
	char prefer[32];
	const char *headers[] = { poll->etag[0] != '\0' ? match : NULL,
		poll->wait_s > 0 ? prefer : NULL, NULL };
	struct ct_http_call call = { .method = "GET", .headers = headers };
	ct_cleanup(ct_http_result_done) struct ct_http_result result = { 0 };

	make_path("jobs", job, path);
	(void)snprintf(prefer, sizeof(prefer), "Prefer: wait=%u", poll->wait_s); /* it fits */
	make_etag_header("If-None-Match", poll->etag, match, sizeof(match));
	poll->job = NULL;
	int r = ct_server_call(server, &call, path, 304, &result);
	if (r < 0)
		return r;
	poll->waited = ct_http_result_header(&result, "Preference-Applied").data != NULL;
	poll->retry_after_ms = poll->waited ? 0 : ct_server_retry_after_ms(&result);
	if (result.status == 304)
		return 0;
	copy_etag(&result, poll->etag);
	return ct_server_parse_body(server, &result, &poll->job);
}

int ct_server_get_image(struct ct_server *server, const char *image, struct ct_json **ret_image)
{
	char path[PATH_CHARS + 1];
	struct ct_http_call call = { .method = "GET" };
	ct_cleanup(ct_http_result_done) struct ct_http_result result = { 0 };

	make_path("images", image, path);
	int r = ct_server_call(server, &call, path, 0, &result);
	return r < 0 ? r : ct_server_parse_body(server, &result, ret_image);
}

int ct_server_delete_image(struct ct_server *server, const char *image)
{
	char path[PATH_CHARS + 1];
	struct ct_http_call call = { .method = "DELETE" };
	ct_cleanup(ct_http_result_done) struct ct_http_result result = { 0 };

	make_path("images", image, path);
	return ct_server_call(server, &call, path, 0, &result);
}

/* The query of the address, "" without one. */
static int copy_query(struct ct_slice target, char ret_query[CT_SERVER_NEXT_MAX + 1])
{
	ret_query[0] = '\0';
	if (target.data == NULL)
		return 0;
	const char *mark = memchr(target.data, '?', target.length);
	if (mark == NULL)
		return 0;
	struct ct_slice query = { mark, target.length - (size_t)(mark - target.data) };
	return ct_slice_copy(query, ret_query, CT_SERVER_NEXT_MAX + 1);
}

int ct_server_list_images(struct ct_server *server, const char *query, struct ct_json **ret_page,
    char ret_next[CT_SERVER_NEXT_MAX + 1])
{
	char path[CT_SERVER_NEXT_MAX + 32];
	struct ct_http_call call = { .method = "GET" };
	ct_cleanup(ct_http_result_done) struct ct_http_result result = { 0 };

	int chars = snprintf(path, sizeof(path), "/images%s", query);
	CT_ASSERT(chars > 0 && (size_t)chars < sizeof(path));
	int r = ct_server_call(server, &call, path, 0, &result);
	if (r < 0)
		return r;
	if (copy_query(ct_server_find_link(&result, "next"), ret_next) < 0)
		return ct_server_fail_protocol(server, "the address of the next page is too long");
	return ct_server_parse_body(server, &result, ret_page);
}

static void make_member_absolute(struct ct_json *object, const char *key, const char *url)
{
	char absolute[CT_URL_MAX];
	const char *reference = ct_json_get_text(object, key);
	/* One that is too long stays as it came. */
	if (reference != NULL && ct_url_join(url, reference, absolute, sizeof(absolute)) == 0)
		ct_json_set_text(object, key, absolute);
}

void ct_image_make_absolute(struct ct_json *image, const char *url)
{
	if (image == NULL)
		return;
	ct_cleanup(ct_json_cleanup) struct ct_json *prints = ct_json_get(image, "prints");
	make_member_absolute(image, "url", url);
	make_member_absolute(image, "original", url);
	for (size_t i = 0; i < ct_json_length(prints); i++) {
		ct_cleanup(ct_json_cleanup) struct ct_json *print = ct_json_at(prints, i);
		make_member_absolute(print, "url", url);
	}
}

int ct_server_head_blob(struct ct_server *server, const char *sha256, struct ct_blob_head *ret_head)
{
	char path[PATH_CHARS + 1];
	struct ct_http_call call = { .method = "HEAD" };
	ct_cleanup(ct_http_result_done) struct ct_http_result result = { 0 };
	struct ct_blob_head head;

	make_path("blobs", sha256, path);
	int r = ct_server_call(server, &call, path, 0, &result);
	if (r < 0)
		return r;
	struct ct_slice length = ct_http_result_header(&result, "Content-Length");
	if (length.data == NULL || ct_slice_to_u64(length, INT64_MAX, &head.size_bytes) < 0)
		return ct_server_fail_protocol(server, "the answer has no Content-Length");
	copy_etag(&result, head.etag);
	*ret_head = head;
	return 0;
}

/* One download while it runs. */
struct download {
	const struct ct_blob_download *download;
	const struct ct_http_result *result; /* its head is complete before the first byte */
	bool begun;
};

/* "bytes 100-999/1000" (RFC 9110 section 14.4): must begin where it was asked to. */
static bool is_range_from(struct ct_slice field, uint64_t offset)
{
	uint64_t first;
	if (!ct_slice_starts_with(field, "bytes "))
		return false;
	(void)ct_slice_cut(&field, ' ');
	struct ct_slice start = ct_slice_cut(&field, '-');
	return ct_slice_to_u64(start, INT64_MAX, &first) == 0 && first == offset;
}

static int begin_body(struct download *run)
{
	const struct ct_blob_download *download = run->download;
	struct ct_slice length = ct_http_result_header(run->result, "Content-Length");
	uint64_t left;
	uint64_t start = 0;

	if (run->result->status == 206) {
		struct ct_slice range = ct_http_result_header(run->result, "Content-Range");
		if (!is_range_from(range, download->offset))
			return -EPROTO;
		start = download->offset;
	}
	if (length.data == NULL || ct_slice_to_u64(length, INT64_MAX, &left) < 0)
		return download->begin(download->arg, start, UINT64_MAX);
	return download->begin(download->arg, start, start + left);
}

static int write_piece(void *arg, const void *data, size_t length)
{
	struct download *run = arg;
	if (!run->begun && begin_body(run) != 0)
		return -EPROTO;
	run->begun = true;
	return run->download->write(run->download->arg, data, length);
}

int ct_server_download_blob(
    struct ct_server *server, const char *sha256, const struct ct_blob_download *download)
{
	char path[PATH_CHARS + 1];
	char range[RANGE_HEADER_CHARS + 1];
	char if_range[CT_SERVER_ETAG_MAX + 33];
	ct_cleanup(ct_http_result_done) struct ct_http_result result = { 0 };
	struct download run = { .download = download, .result = &result };
	const char *headers[] = { download->offset > 0 ? range : NULL, if_range, NULL };
	struct ct_http_call call = {
		.method = "GET", .headers = headers, .write = write_piece, .arg = &run
	};

	make_path("blobs", sha256, path);
	int chars = snprintf(
	    range, sizeof(range), "Range: bytes=%llu-", (unsigned long long)download->offset);
	CT_ASSERT(chars > 0 && (size_t)chars < sizeof(range));
	make_etag_header(
	    "If-Range", download->offset > 0 ? download->etag : "", if_range, sizeof(if_range));
	return ct_server_call(server, &call, path, 0, &result);
}
