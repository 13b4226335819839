#include "base/http_client.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "calotype/error.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_CONNECT_TIMEOUT_MS 10000
#define DEFAULT_STALL_TIMEOUT_MS 60000

struct ct_http_client {
	/* Set once. */
	CURL *easy;
	char *authorization; /* a whole header line, or NULL */
	char *ca_file;
	long connect_timeout_ms;
	long stall_timeout_s;

	char reason[CURL_ERROR_SIZE];
};

/* One call while it runs. */
struct transfer {
	const struct ct_http_call *call;
	struct ct_http_result *result;
	uint64_t body_read; /* bytes of the request's body that libcurl has taken */
	int status;	    /* of the head that is coming in; interim ones are skipped */
	bool in_head;	    /* of the final response */
	int error;	    /* why a callback broke the call off; 0: it did not */
};

static pthread_once_t global_once = PTHREAD_ONCE_INIT;
static CURLcode global_code;

static void init_global(void)
{
	global_code = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static bool is_one_line(const char *text)
{
	return strpbrk(text, "\r\n") == NULL;
}

static long or_default(int64_t value, long otherwise)
{
	CT_ASSERT(value >= 0 && value <= INT32_MAX);
	return value > 0 ? (long)value : otherwise;
}

CT_DEFINE_CLEANUP(client_cleanup, struct ct_http_client *, ct_http_client_free)
CT_DEFINE_CLEANUP(header_list_cleanup, struct curl_slist *, curl_slist_free_all)

static int make_authorization(const char *token, char **ret_line)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer line;
	ct_buffer_init(&line, CT_HTTP_CLIENT_MAX_HEAD);
	if (!is_one_line(token))
		return -EINVAL;
	ct_buffer_printf(&line, "Authorization: Bearer %s", token);
	char *text = ct_buffer_steal(&line, NULL);
	if (text == NULL)
		return ct_buffer_error(&line);
	*ret_line = text;
	return 0;
}

int ct_http_client_new(
    const struct ct_http_client_options *options, struct ct_http_client **ret_client)
{
	CT_ASSERT(pthread_once(&global_once, init_global) == 0);
	ct_cleanup(client_cleanup) struct ct_http_client *client = calloc(1, sizeof(*client));
	if (client == NULL || global_code != CURLE_OK)
		return -ENOMEM;
	client->easy = curl_easy_init();
	if (client->easy == NULL)
		return -ENOMEM;
	client->connect_timeout_ms =
	    or_default(options->connect_timeout_ms, DEFAULT_CONNECT_TIMEOUT_MS);
	client->stall_timeout_s =
	    (or_default(options->stall_timeout_ms, DEFAULT_STALL_TIMEOUT_MS) + 999) / 1000;
	if (options->bearer_token != NULL) {
		int r = make_authorization(options->bearer_token, &client->authorization);
		if (r < 0)
			return r;
	}
	if (options->ca_file != NULL) {
		client->ca_file = strdup(options->ca_file);
		if (client->ca_file == NULL)
			return -ENOMEM;
	}
	*ret_client = ct_steal(client);
	return 0;
}

void ct_http_client_free(struct ct_http_client *client)
{
	if (client == NULL)
		return;
	curl_easy_cleanup(client->easy);
	free(client->authorization);
	free(client->ca_file);
	free(client);
}

/* Makes libcurl give up, which tells the caller `error`. */
static size_t break_off(struct transfer *transfer, int error, size_t how)
{
	if (transfer->error == 0)
		transfer->error = error;
	return how;
}

static size_t on_read(char *data, size_t size, size_t count, void *arg)
{
	struct transfer *transfer = arg;
	const struct ct_http_call *call = transfer->call;
	size_t capacity = size * count;
	uint64_t left = call->body_bytes - transfer->body_read;

	if (capacity > left)
		capacity = (size_t)left;
	if (capacity == 0)
		return 0;
	if (call->read == NULL) {
		memcpy(data, (const char *)call->body + transfer->body_read, capacity);
		transfer->body_read += capacity;
		return capacity;
	}
	int64_t got = call->read(call->arg, data, capacity);
	if (got < 0)
		return break_off(transfer, -ECANCELED, CURL_READFUNC_ABORT);
	/* The length was promised: without the rest, both sides would wait for each other. */
	if (got == 0)
		return break_off(transfer, -ENODATA, CURL_READFUNC_ABORT);
	CT_ASSERT((uint64_t)got <= capacity);
	transfer->body_read += (uint64_t)got;
	return (size_t)got;
}

/* libcurl sends again when a kept connection turns out to be dead. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct transfer *transfer = arg;
	if (transfer->call->read != NULL || origin != SEEK_SET || offset < 0 ||
	    (uint64_t)offset > transfer->call->body_bytes)
		return CURL_SEEKFUNC_CANTSEEK;
	transfer->body_read = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

/* "HTTP/1.1 204 No Content": the number; 0 when there is none. */
static int parse_status(struct ct_slice line)
{
	uint64_t status = 0;
	(void)ct_slice_cut(&line, ' '); /* the version, which libcurl has checked */
	if (ct_slice_to_u64(ct_slice_cut(&line, ' '), 999, &status) < 0)
		return 0;
	return (int)status;
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
	struct transfer *transfer = arg;
	struct ct_http_result *result = transfer->result;
	struct ct_slice line = { data, size * count };

	while (line.length > 0 &&
	       (line.data[line.length - 1] == '\n' || line.data[line.length - 1] == '\r'))
		line.length--;
	if (!transfer->in_head) {
		/* Trailers and interim heads fall through here. */
		if (result->status == 0 && ct_slice_starts_with(line, "HTTP/")) {
			transfer->status = parse_status(line);
			transfer->in_head = transfer->status >= 200;
		}
		return size * count;
	}
	if (line.length == 0) {
		transfer->in_head = false;
		result->status = transfer->status;
		return size * count;
	}
	ct_buffer_append(&result->head, line.data, line.length);
	ct_buffer_append(&result->head, "\n", 1);
	int r = ct_buffer_error(&result->head);
	if (r < 0)
		return break_off(transfer, r == -EMSGSIZE ? CT_ERROR_PEER_PROTOCOL : r, 0);
	return size * count;
}

static bool writes_out(const struct transfer *transfer)
{
	int status = transfer->result->status;
	return transfer->call->write != NULL && status >= 200 && status <= 299;
}

static size_t on_write(char *data, size_t size, size_t count, void *arg)
{
	struct transfer *transfer = arg;
	size_t length = size * count;
	if (writes_out(transfer)) {
		if (transfer->call->write(transfer->call->arg, data, length) != 0)
			return break_off(transfer, -ECANCELED, length + 1);
		return length;
	}
	ct_buffer_append(&transfer->result->body, data, length);
	int r = ct_buffer_error(&transfer->result->body);
	if (r < 0)
		return break_off(transfer, r == -EMSGSIZE ? CT_ERROR_PEER_PROTOCOL : r, length + 1);
	return length;
}

static int on_progress(
    void *arg, curl_off_t total_in, curl_off_t in, curl_off_t total_out, curl_off_t out)
{
	struct transfer *transfer = arg;
	(void)total_in;
	(void)total_out;
	if (transfer->call->progress == NULL)
		return 0;
	if (transfer->call->progress(transfer->call->arg, (uint64_t)out, (uint64_t)in) == 0)
		return 0;
	return (int)break_off(transfer, -ECANCELED, 1);
}

/* Later options do nothing once one has failed. */
#define SET(code, easy, option, value)                                         \
	do {                                                                   \
		if (*(code) == CURLE_OK)                                       \
			*(code) = curl_easy_setopt((easy), (option), (value)); \
	} while (0)

static void set_connection(struct ct_http_client *client, CURLcode *code)
{
	SET(code, client->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	SET(code, client->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(code, client->easy, CURLOPT_FOLLOWLOCATION, 0L);
	SET(code, client->easy, CURLOPT_NOSIGNAL, 1L);
	SET(code, client->easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(code, client->easy, CURLOPT_CONNECTTIMEOUT_MS, client->connect_timeout_ms);
	SET(code, client->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
	SET(code, client->easy, CURLOPT_LOW_SPEED_TIME, client->stall_timeout_s);
	SET(code, client->easy, CURLOPT_ERRORBUFFER, client->reason);
	SET(code, client->easy, CURLOPT_USERAGENT, "calotype/" CALOTYPE_VERSION);
	if (client->ca_file != NULL)
		SET(code, client->easy, CURLOPT_CAINFO, client->ca_file);
}

static void set_callbacks(CURL *easy, struct transfer *transfer, CURLcode *code)
{
	SET(code, easy, CURLOPT_HEADERFUNCTION, on_header);
	SET(code, easy, CURLOPT_HEADERDATA, transfer);
	SET(code, easy, CURLOPT_WRITEFUNCTION, on_write);
	SET(code, easy, CURLOPT_WRITEDATA, transfer);
	SET(code, easy, CURLOPT_READFUNCTION, on_read);
	SET(code, easy, CURLOPT_READDATA, transfer);
	SET(code, easy, CURLOPT_SEEKFUNCTION, on_seek);
	SET(code, easy, CURLOPT_SEEKDATA, transfer);
	SET(code, easy, CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(code, easy, CURLOPT_XFERINFODATA, transfer);
	SET(code, easy, CURLOPT_NOPROGRESS, 0L);
}

/* These state a length also without a body (RFC 9110 section 8.6). */
static bool states_length(const struct ct_http_call *call)
{
	return call->has_body || strcmp(call->method, "POST") == 0 ||
	       strcmp(call->method, "PUT") == 0 || strcmp(call->method, "PATCH") == 0;
}

static void set_call(CURL *easy, const struct ct_http_call *call, CURLcode *code)
{
	SET(code, easy, CURLOPT_URL, call->url);
	if (strcmp(call->method, "HEAD") == 0)
		SET(code, easy, CURLOPT_NOBODY, 1L);
	else if (states_length(call)) {
		SET(code, easy, CURLOPT_UPLOAD, 1L);
		SET(code, easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)call->body_bytes);
	}
	SET(code, easy, CURLOPT_CUSTOMREQUEST, call->method);
	if (call->max_send_bytes_per_second > 0)
		SET(code, easy, CURLOPT_MAX_SEND_SPEED_LARGE,
		    (curl_off_t)call->max_send_bytes_per_second);
}

/* Appends a line, taking over and giving back the list. */
static int add_header(struct curl_slist **list, const char *line)
{
	if (!is_one_line(line))
		return -EINVAL;
	struct curl_slist *longer = curl_slist_append(*list, line);
	if (longer == NULL)
		return -ENOMEM;
	*list = longer;
	return 0;
}

static int make_headers(const struct ct_http_client *client, const struct ct_http_call *call,
    struct curl_slist **ret_list)
{
	ct_cleanup(header_list_cleanup) struct curl_slist *list = NULL;
	int r = 0;
	if (client->authorization != NULL)
		r = add_header(&list, client->authorization);
	for (size_t i = 0; r == 0 && call->headers != NULL && call->headers[i] != NULL; i++)
		r = add_header(&list, call->headers[i]);
	if (r < 0)
		return r;
	*ret_list = ct_steal(list);
	return 0;
}

static bool sent_a_request(CURL *easy)
{
	long bytes = 0;
	return curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &bytes) == CURLE_OK && bytes > 0;
}

static int to_error(CURL *easy, CURLcode code)
{
	switch (code) {
	case CURLE_OUT_OF_MEMORY: return -ENOMEM;
	case CURLE_OPERATION_TIMEDOUT: return -ETIMEDOUT;
	case CURLE_ABORTED_BY_CALLBACK: return -ECANCELED;
	case CURLE_URL_MALFORMAT: return -EINVAL;
	/* The scheme of the URL, or an answer that isn't HTTP/1. */
	case CURLE_UNSUPPORTED_PROTOCOL:
		return sent_a_request(easy) ? CT_ERROR_PEER_PROTOCOL : -EINVAL;
	case CURLE_WEIRD_SERVER_REPLY: return CT_ERROR_PEER_PROTOCOL;
	default: return CT_ERROR_UNREACHABLE;
	}
}

/*
 * A server may answer before it has read the whole body, and close: what it said counts, not that
 * the rest could no longer be sent.
 */
static bool is_early_answer(const struct transfer *transfer, CURLcode code)
{
	if (transfer->result->status == 0 || writes_out(transfer))
		return false;
	return code == CURLE_SEND_ERROR ||
	       (code == CURLE_RECV_ERROR && transfer->body_read < transfer->call->body_bytes);
}

static int perform(struct ct_http_client *client, struct transfer *transfer)
{
	CURLcode code = curl_easy_perform(client->easy);
	if (code != CURLE_OK && client->reason[0] == '\0')
		(void)snprintf(client->reason, sizeof(client->reason), "%s",
		    curl_easy_strerror(code)); /* a cut reason is good enough */
	if (transfer->error < 0)
		return transfer->error;
	if (code != CURLE_OK && !is_early_answer(transfer, code))
		return to_error(client->easy, code);
	return transfer->result->status > 0 ? 0 : CT_ERROR_PEER_PROTOCOL;
}

int ct_http_client_call(struct ct_http_client *client, const struct ct_http_call *call,
    struct ct_http_result *ret_result)
{
	ct_cleanup(header_list_cleanup) struct curl_slist *headers = NULL;
	struct transfer transfer = { .call = call, .result = ret_result };
	CURLcode code = CURLE_OK;

	CT_ASSERT(call->method != NULL && call->url != NULL);
	CT_ASSERT(call->body_bytes == 0 ||
		  (call->has_body && (call->body != NULL || call->read != NULL)));
	ret_result->status = 0;
	ct_buffer_init(&ret_result->head, CT_HTTP_CLIENT_MAX_HEAD);
	ct_buffer_init(&ret_result->body, CT_HTTP_CLIENT_MAX_BODY);
	client->reason[0] = '\0';
	if (call->body_bytes > INT64_MAX || !is_one_line(call->method))
		return -EINVAL;
	int r = make_headers(client, call, &headers);
	if (r < 0)
		return r;

	set_connection(client, &code);
	set_callbacks(client->easy, &transfer, &code);
	set_call(client->easy, call, &code);
	SET(&code, client->easy, CURLOPT_HTTPHEADER, headers);
	r = code == CURLE_OK ? perform(client, &transfer) : to_error(client->easy, code);
	/* Nothing of this call's stays in the handle but the connections. */
	curl_easy_reset(client->easy);
	return r;
}

void ct_http_result_done(struct ct_http_result *result)
{
	ct_buffer_done(&result->head);
	ct_buffer_done(&result->body);
}

const char *ct_http_client_reason(const struct ct_http_client *client)
{
	return client->reason;
}

struct ct_slice ct_http_result_header(const struct ct_http_result *result, const char *name)
{
	struct ct_slice rest = { result->head.data, result->head.length };
	while (rest.data != NULL) {
		struct ct_slice line = ct_slice_cut(&rest, '\n');
		struct ct_slice before = ct_slice_cut(&line, ':');
		if (line.data != NULL && ct_slice_equal_ignore_case(before, name))
			return ct_slice_trim(line);
	}
	return CT_SLICE_ABSENT;
}
