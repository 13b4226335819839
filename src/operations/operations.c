#include "operations/operations_priv.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "http/http.h"
#include "metadata/api_keys.h"
#include "metrics/metrics.h"

#include <errno.h>
#include <stdlib.h>

static enum ct_http_next answer_livez(struct ct_http_request *request, void *context)
{
	(void)context;
	struct ct_http_response *response = ct_http_response_new(200);
	struct ct_json *json = ct_json_object();
	ct_json_set_text(json, "status", "alive");
	ct_http_response_header(response, "Cache-Control", "no-store");
	ct_http_response_json(response, json);
	return ct_http_answer(request, response);
}

static enum ct_http_next answer_readyz(struct ct_http_request *request, void *context)
{
	struct ct_json *json = ct_json_object();
	struct ct_json *checks = ct_json_array();
	bool ready = ct_operations_check(context, checks);
	ct_json_set_text(json, "status", ready ? "ready" : "not ready");
	ct_json_set(json, "checks", checks);
	struct ct_http_response *response = ct_http_response_new(ready ? 200 : 503);
	ct_http_response_header(response, "Cache-Control", "no-store");
	if (!ready)
		ct_http_response_header_u64(response, "Retry-After", 5);
	ct_http_response_json(response, json);
	return ct_http_answer(request, response);
}

static enum ct_http_next answer_metrics(struct ct_http_request *request, void *context)
{
	(void)context;
	ct_cleanup(ct_buffer_done) struct ct_buffer buffer;
	size_t length = 0;
	ct_buffer_init(&buffer, CT_METRICS_MAX_BYTES);
	int r = ct_metrics_write(&buffer);
	if (r < 0)
		return ct_http_answer(request, ct_http_problem(request, r, "/metrics"));
	char *text = ct_buffer_steal(&buffer, &length);
	struct ct_http_response *response = ct_http_response_new(200);
	ct_http_response_header(response, "Cache-Control", "no-store");
	ct_http_response_body(response, CT_METRICS_CONTENT_TYPE, text, length);
	return ct_http_answer(request, response);
}

int ct_operations_new(
    const struct ct_operations_options *options, struct ct_operations **ret_operations)
{
	struct ct_operations *operations = calloc(1, sizeof(*operations));
	if (operations == NULL)
		return -ENOMEM;
	operations->options = *options;
	operations->started_ms = ct_clock_wall_ms();
	atomic_init(&operations->drains, false);
	ct_operations_set_readers(operations);
	*ret_operations = operations;
	return 0;
}

void ct_operations_free(struct ct_operations *operations)
{
	if (operations == NULL)
		return;
	ct_operations_unset_readers();
	free(operations);
}

void ct_operations_drain(struct ct_operations *operations)
{
	atomic_store(&operations->drains, true);
}

int ct_operations_add_routes(struct ct_operations *operations, struct ct_http_server *server)
{
	static const struct ct_http_handler livez = { .head = answer_livez };
	static const struct ct_http_handler readyz = { .head = answer_readyz };
	static const struct ct_http_handler metrics = { .head = answer_metrics };
	const struct ct_http_route routes[] = {
		{ CT_HTTP_GET, "/livez", 0, &livez, operations },
		{ CT_HTTP_GET, "/readyz", 0, &readyz, operations },
		{ CT_HTTP_GET, "/metrics", CT_SCOPE_READ, &metrics, operations },
	};
	return ct_http_server_add(server, routes, sizeof(routes) / sizeof(routes[0]));
}
