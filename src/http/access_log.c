/*
 * One line for each request, when it has ended: a late line of base/log.h, which says what a kill
 * -9 may lose. The query is left out: it may carry a signature.
 */
#include "http/request_priv.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/server_priv.h"
#include "metrics/metrics.h"

static void count(const struct ct_http_request *request, int64_t duration_us)
{
	static const enum ct_metric classes[] = { CT_METRIC_HTTP_0XX, CT_METRIC_HTTP_0XX,
		CT_METRIC_HTTP_2XX, CT_METRIC_HTTP_3XX, CT_METRIC_HTTP_4XX, CT_METRIC_HTTP_5XX };
	enum ct_metric timing = CT_METRIC_HTTP_OTHER_TIME;
	if (request->method == CT_HTTP_GET)
		timing = CT_METRIC_HTTP_GET_TIME;
	else if (request->method == CT_HTTP_POST || request->method == CT_HTTP_PUT ||
		 request->method == CT_HTTP_PATCH)
		timing = CT_METRIC_HTTP_SEND_TIME;
	ct_metrics_add(classes[request->status / 100 % 6], 1);
	ct_metrics_observe_us(timing, duration_us);
	ct_metrics_add(CT_METRIC_HTTP_IN, request->received_bytes);
	ct_metrics_add(CT_METRIC_HTTP_OUT, request->sent_bytes);
}

void ct_http_access_log_refusal(const struct ct_http_server *server,
    const struct ct_http_peer *peer, const char *request_id, int error)
{
	int status = ct_error_http_status(error);
	ct_metrics_add(CT_METRIC_HTTP_4XX, 1);
	CT_ASSERT(status / 100 == 4);
	if (!server->options.access_log)
		return;
	ct_log_late(CT_LOG_INFO, "http.request", CT_LOG_TEXT("id", request_id),
	    CT_LOG_TEXT("peer", peer->text), CT_LOG_TEXT("method", ""), CT_LOG_TEXT("path", ""),
	    CT_LOG_NUMBER("status", status), CT_LOG_NUMBER("in", 0), CT_LOG_NUMBER("out", 0),
	    CT_LOG_NUMBER("ms", 0), CT_LOG_TEXT("key", ""));
}

void ct_http_access_log(const struct ct_http_request *request)
{
	const struct ct_http_connection *connection = request->connection;
	int64_t duration_us = ct_clock_monotonic_us() - request->began_us;
	count(request, duration_us);
	if (!connection->server->options.access_log)
		return;
	/* Status 0: the connection broke, and nobody was answered. */
	ct_log_late(CT_LOG_INFO, "http.request", CT_LOG_TEXT("id", request->id),
	    CT_LOG_TEXT("peer", request->client.text), CT_LOG_TEXT("method", request->method_text),
	    CT_LOG_TEXT("path", request->path), CT_LOG_NUMBER("status", request->status),
	    CT_LOG_NUMBER("in", request->received_bytes), CT_LOG_NUMBER("out", request->sent_bytes),
	    CT_LOG_NUMBER("ms", duration_us / 1000), CT_LOG_TEXT("key", request->key_id));
}
