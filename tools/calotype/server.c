#include "server_priv.h"

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "calotype/error.h"
#include "format.h"
#include "interrupt.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_KEY_BYTES 4096
#define MAX_RETRY_AFTER_S 3600
#define STALL_TIMEOUT_MS 30000
#define MAX_PROBLEM_BYTES (4 * CT_SERVER_DETAIL_MAX)

CT_DEFINE_CLEANUP(server_cleanup, struct ct_server *, ct_server_close)

int ct_server_key_from_environment(char **ret_key)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer line;
	const char *key = getenv("CALOTYPE_API_KEY");
	const char *file = getenv("CALOTYPE_API_KEY_FILE");
	ct_buffer_init(&line, MAX_KEY_BYTES);
	*ret_key = NULL;
	if (key != NULL && key[0] != '\0') {
		ct_buffer_append_string(&line, key);
	} else if (file != NULL && file[0] != '\0') {
		int r = ct_file_read_line(file, &line);
		if (r < 0)
			return r;
	}
	if (line.length == 0)
		return ct_buffer_error(&line);
	char *text = ct_buffer_steal(&line, NULL);
	if (text == NULL)
		return ct_buffer_error(&line);
	*ret_key = text;
	return 0;
}

int ct_server_open(const char *url, const char *api_key, struct ct_server **ret_server)
{
	struct ct_http_client_options options = {
		.bearer_token = api_key,
		.stall_timeout_ms = STALL_TIMEOUT_MS,
	};
	ct_cleanup(server_cleanup) struct ct_server *server = calloc(1, sizeof(*server));
	if (server == NULL)
		return -ENOMEM;
	int r = ct_slice_copy(ct_slice_from_string(url), server->url, sizeof(server->url));
	if (r < 0)
		return r;
	r = ct_http_client_new(&options, &server->client);
	if (r < 0)
		return r;
	*ret_server = ct_steal(server);
	return 0;
}

void ct_server_close(struct ct_server *server)
{
	if (server == NULL)
		return;
	ct_http_client_free(server->client);
	free(server);
}

const char *ct_server_url(const struct ct_server *server)
{
	return server->url;
}

const struct ct_failure *ct_server_failure(const struct ct_server *server)
{
	return &server->failure;
}

static void set_detail(struct ct_failure *failure, const char *text)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer escaped;
	ct_buffer_init(&escaped, MAX_PROBLEM_BYTES * 4);
	ct_escape_append(&escaped, (struct ct_slice){ text, strnlen(text, MAX_PROBLEM_BYTES / 4) });
	(void)snprintf(failure->detail, sizeof(failure->detail), "%s",
	    ct_buffer_error(&escaped) == 0 && escaped.data != NULL ? escaped.data : "");
}

static void set_code(struct ct_failure *failure, const char *code)
{
	size_t length = strspn(code, "abcdefghijklmnopqrstuvwxyz0123456789_-");
	if (code[length] == '\0')
		(void)snprintf(failure->code, sizeof(failure->code), "%s", code); /* or cut */
}

int ct_server_fail(struct ct_server *server, enum ct_verdict verdict, int error, const char *detail)
{
	server->failure = (struct ct_failure){ .verdict = verdict, .error = error };
	set_code(&server->failure, ct_error_code(error));
	set_detail(&server->failure, detail);
	return error;
}

int ct_server_fail_protocol(struct ct_server *server, const char *detail)
{
	return ct_server_fail(server, CT_VERDICT_REFUSED, CT_ERROR_PEER_PROTOCOL, detail);
}

int ct_server_fail_local(struct ct_server *server, int error)
{
	struct ct_failure *failure = &server->failure;
	*failure = (struct ct_failure){ .verdict = CT_VERDICT_LOCAL, .error = error };
	set_code(failure, "local");
	if (error == -ECANCELED && ct_interrupt_requested()) {
		failure->verdict = CT_VERDICT_INTERRUPTED;
		set_code(failure, "interrupted");
		set_detail(failure, "interrupted");
		return error;
	}
	set_detail(failure, error <= -CT_ERROR_FIRST ? ct_error_text(error) : strerror(-error));
	return error;
}

static int fail_transport(struct ct_server *server, int error)
{
	if (error == CT_ERROR_PEER_PROTOCOL)
		return ct_server_fail_protocol(server, "the answer is not HTTP as it should be");
	if (error != CT_ERROR_UNREACHABLE && error != -ETIMEDOUT)
		return ct_server_fail_local(server, error);
	const char *reason = ct_http_client_reason(server->client);
	return ct_server_fail(server, CT_VERDICT_RETRY, CT_ERROR_UNREACHABLE,
	    reason[0] != '\0' ? reason : ct_error_text(CT_ERROR_UNREACHABLE));
}

static enum ct_verdict judge(int status)
{
	if (status == 401 || status == 403)
		return CT_VERDICT_AUTH;
	if (status == 404 || status == 410)
		return CT_VERDICT_MISSING;
	if (status >= 500 || status == 408 || status == 409 || status == 423 || status == 429)
		return CT_VERDICT_RETRY;
	return CT_VERDICT_REFUSED;
}

/* An answer to HEAD has no problem in it. */
static void describe_status(struct ct_failure *failure)
{
	for (int i = 0; i < CT_ERROR_COUNT && failure->status >= 400; i++) {
		int error = -(CT_ERROR_FIRST + i);
		if (ct_error_http_status(error) == failure->status) {
			set_code(failure, ct_error_code(error));
			set_detail(failure, ct_error_text(error));
			return;
		}
	}
	(void)snprintf(failure->code, sizeof(failure->code), "http_%d", failure->status);
	(void)snprintf(failure->detail, sizeof(failure->detail),
	    "the server answered with status %d", failure->status);
}

void ct_failure_set_problem(struct ct_failure *failure, const struct ct_json *problem)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer text;
	ct_buffer_init(&text, CT_SERVER_PROBLEM_MAX);
	/* One that can't be kept is told by its code and detail. */
	if (ct_json_print(problem, &text) == 0 && text.data[0] == '{')
		(void)snprintf(failure->problem, sizeof(failure->problem), "%s", text.data);
}

static int fail_status(struct ct_server *server, const struct ct_http_result *result)
{
	struct ct_failure *failure = &server->failure;
	ct_cleanup(ct_json_cleanup) struct ct_json *problem = NULL;
	struct ct_slice body = { result->body.data, result->body.length };

	*failure = (struct ct_failure){
		.verdict = judge(result->status),
		.status = result->status,
		.retry_after_ms = ct_server_retry_after_ms(result),
	};
	describe_status(failure);
	/* A body that isn't a problem, of a proxy say, tells nothing. */
	if (body.length > 0 && ct_json_parse(body, &problem) == 0) {
		const char *code = ct_json_get_text(problem, "code");
		const char *detail = ct_json_get_text(problem, "detail");
		if (detail == NULL)
			detail = ct_json_get_text(problem, "title");
		if (code != NULL)
			set_code(failure, code);
		if (detail != NULL)
			set_detail(failure, detail);
		if (code != NULL)
			ct_failure_set_problem(failure, problem);
	}
	failure->error = ct_error_from_code(failure->code);
	return failure->error;
}

static int end_on_interrupt(void *arg, uint64_t sent_bytes, uint64_t received_bytes)
{
	(void)arg;
	(void)sent_bytes;
	(void)received_bytes;
	return ct_interrupt_requested() ? 1 : 0;
}

int ct_server_call(struct ct_server *server, struct ct_http_call *call, const char *path, int also,
    struct ct_http_result *ret_result)
{
	char url[CT_URL_MAX + CT_SERVER_NEXT_MAX + 1];
	int chars = snprintf(url, sizeof(url), "%s%s", server->url, path);
	*ret_result = (struct ct_http_result){ 0 };
	if (chars < 0 || (size_t)chars >= sizeof(url))
		return ct_server_fail_local(server, -ENAMETOOLONG);
	if (ct_interrupt_requested())
		return ct_server_fail_local(server, -ECANCELED);
	call->url = url;
	if (call->progress == NULL)
		call->progress = end_on_interrupt;
	int r = ct_http_client_call(server->client, call, ret_result);
	call->url = NULL;
	if (r < 0)
		return fail_transport(server, r);
	if (ret_result->status / 100 == 2 || ret_result->status == also)
		return 0;
	return fail_status(server, ret_result);
}

int64_t ct_server_retry_after_ms(const struct ct_http_result *result)
{
	uint64_t seconds;
	struct ct_slice value = ct_http_result_header(result, "Retry-After");
	if (value.data == NULL || ct_slice_to_u64(value, MAX_RETRY_AFTER_S, &seconds) < 0)
		return 0;
	return (int64_t)seconds * 1000;
}

struct ct_slice ct_server_find_link(const struct ct_http_result *result, const char *relation)
{
	struct ct_slice rest = { result->head.data, result->head.length };
	while (rest.data != NULL) {
		struct ct_slice line = ct_slice_cut(&rest, '\n');
		struct ct_slice name = ct_slice_cut(&line, ':');
		if (line.data == NULL || !ct_slice_equal_ignore_case(name, "Link"))
			continue;
		struct ct_slice target = ct_link_find(line, relation);
		if (target.data != NULL)
			return target;
	}
	return CT_SLICE_ABSENT;
}

int ct_server_parse_body(
    struct ct_server *server, const struct ct_http_result *result, struct ct_json **ret_json)
{
	struct ct_slice body = { result->body.data, result->body.length };
	int r = ct_json_parse(body, ret_json);
	if (r == -ENOMEM)
		return ct_server_fail_local(server, r);
	return r < 0 ? ct_server_fail_protocol(server, "the answer is not JSON") : 0;
}
