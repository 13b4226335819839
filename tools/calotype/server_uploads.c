#include "server_priv.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "calotype/error.h"
#include "interrupt.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define TUS_VERSION "Tus-Resumable: 1.0.0"
#define PATH_CHARS 127
#define LENGTH_HEADER_CHARS 47 /* "Upload-Length: 18446744073709551615" */

/*
 * Tus 1.0.0, creation extension: a file name travels in base64. The server takes UTF-8 only; of a
 * name in another encoding, as old folders have them, what is not ASCII becomes '_'.
 */
static int make_metadata(const char *filename, char ret_header[CT_SERVER_HEADER_MAX + 1])
{
	static const char start[] = "Upload-Metadata: filename ";
	char name[NAME_MAX + 1];
	int r = ct_slice_copy(ct_slice_from_string(filename), name, sizeof(name));
	if (r < 0)
		return r;
	if (!ct_slice_is_utf8(ct_slice_from_string(name))) {
		for (char *at = name; *at != '\0'; at++) {
			if ((unsigned char)*at >= 0x80)
				*at = '_';
		}
	}
	memcpy(ret_header, start, sizeof(start));
	ct_base64_encode(name, strlen(name), ret_header + sizeof(start) - 1);
	return 0;
}

static void read_job(const struct ct_http_result *result, struct ct_upload_status *status)
{
	struct ct_slice link = ct_server_find_link(result, "status");
	if (ct_url_last_id(link, "jobs", status->job) < 0)
		status->job[0] = '\0';
}

static int read_offset(
    struct ct_server *server, const struct ct_http_result *result, uint64_t *ret_offset)
{
	struct ct_slice offset = ct_http_result_header(result, "Upload-Offset");
	if (offset.data == NULL || ct_slice_to_u64(offset, INT64_MAX, ret_offset) < 0)
		return ct_server_fail_protocol(server, "the answer has no Upload-Offset");
	return 0;
}

int ct_server_create_upload(struct ct_server *server, const char *filename, uint64_t size_bytes,
    struct ct_upload_status *ret_status)
{
	char length[LENGTH_HEADER_CHARS + 1];
	char metadata[CT_SERVER_HEADER_MAX + 1];
	const char *headers[] = { TUS_VERSION, length, metadata, NULL };
	struct ct_http_call call = { .method = "POST", .headers = headers };
	ct_cleanup(ct_http_result_done) struct ct_http_result result = { 0 };
	struct ct_upload_status status = { .offset = 0 };

	int r = make_metadata(filename, metadata);
	if (r < 0)
		return ct_server_fail_local(server, r);
	int chars =
	    snprintf(length, sizeof(length), "Upload-Length: %llu", (unsigned long long)size_bytes);
	CT_ASSERT(chars > 0 && (size_t)chars < sizeof(length));
	r = ct_server_call(server, &call, "/uploads", 0, &result);
	if (r < 0)
		return r;
	struct ct_slice location = ct_http_result_header(&result, "Location");
	if (ct_url_last_id(location, "uploads", status.upload) < 0)
		return ct_server_fail_protocol(server, "the answer names no upload");
	read_job(&result, &status);
	*ret_status = status;
	return 0;
}

static void make_path(const char *upload, char ret_path[PATH_CHARS + 1])
{
	int chars = snprintf(ret_path, PATH_CHARS + 1, "/uploads/%s", upload);
	CT_ASSERT(chars > 0 && chars <= PATH_CHARS);
}

static int read_status(struct ct_server *server, const struct ct_http_result *result,
    const char *upload, struct ct_upload_status *ret_status)
{
	struct ct_upload_status status = { .offset = 0 };
	int r = read_offset(server, result, &status.offset);
	if (r < 0)
		return r;
	r = ct_slice_copy(ct_slice_from_string(upload), status.upload, sizeof(status.upload));
	CT_ASSERT(r == 0);
	read_job(result, &status);
	*ret_status = status;
	return 0;
}

int ct_server_get_upload(
    struct ct_server *server, const char *upload, struct ct_upload_status *ret_status)
{
	char path[PATH_CHARS + 1];
	const char *headers[] = { TUS_VERSION, NULL };
	struct ct_http_call call = { .method = "HEAD", .headers = headers };
	ct_cleanup(ct_http_result_done) struct ct_http_result result = { 0 };

	make_path(upload, path);
	int r = ct_server_call(server, &call, path, 0, &result);
	return r < 0 ? r : read_status(server, &result, upload, ret_status);
}

static int64_t read_piece(void *arg, void *data, size_t capacity)
{
	const struct ct_append *append = arg;
	return append->read(append->arg, data, capacity);
}

static int tell_sent(void *arg, uint64_t sent_bytes, uint64_t received_bytes)
{
	const struct ct_append *append = arg;
	(void)received_bytes;
	append->sent(append->arg, sent_bytes);
	return ct_interrupt_requested() ? 1 : 0;
}

int ct_server_append(
    struct ct_server *server, const struct ct_append *append, struct ct_upload_status *ret_status)
{
	char path[PATH_CHARS + 1];
	char offset[LENGTH_HEADER_CHARS + 1];
	const char *headers[] = { TUS_VERSION, "Content-Type: application/offset+octet-stream",
		offset, NULL };
	struct ct_http_call call = {
		.method = "PATCH",
		.headers = headers,
		.has_body = true,
		.body_bytes = append->length_bytes,
		.read = read_piece,
		.progress = tell_sent,
		.max_send_bytes_per_second = append->max_bytes_per_second,
		.arg = (void *)append, /* only read */
	};
	ct_cleanup(ct_http_result_done) struct ct_http_result result = { 0 };

	make_path(append->upload, path);
	int chars = snprintf(
	    offset, sizeof(offset), "Upload-Offset: %llu", (unsigned long long)append->offset);
	CT_ASSERT(chars > 0 && (size_t)chars < sizeof(offset));
	int r = ct_server_call(server, &call, path, 0, &result);
	return r < 0 ? r : read_status(server, &result, append->upload, ret_status);
}

int ct_server_delete_upload(struct ct_server *server, const char *upload)
{
	char path[PATH_CHARS + 1];
	const char *headers[] = { TUS_VERSION, NULL };
	struct ct_http_call call = { .method = "DELETE", .headers = headers };
	ct_cleanup(ct_http_result_done) struct ct_http_result result = { 0 };

	make_path(upload, path);
	return ct_server_call(server, &call, path, 0, &result);
}
