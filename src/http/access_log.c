/*
 * One line for each request, when it has ended. The query is left out: it may carry a signature.
 */
#include "http/http_priv.h"
#include "base/clock.h"
#include "base/log.h"

void ct_http_access_log(const struct ct_http_request *request)
{
	const struct ct_http_connection *connection = request->connection;
	if (!connection->server->options.access_log)
		return;
	/* Status 0: the connection broke, or the engine refused what it could not read. */
	ct_log(CT_LOG_INFO, "http.request", CT_LOG_TEXT("id", request->id),
	    CT_LOG_TEXT("peer", connection->peer.text), CT_LOG_TEXT("method", request->method_text),
	    CT_LOG_TEXT("path", request->path), CT_LOG_NUMBER("status", request->status),
	    CT_LOG_NUMBER("in", request->received_bytes), CT_LOG_NUMBER("out", request->sent_bytes),
	    CT_LOG_NUMBER("ms", (ct_clock_monotonic_us() - request->began_us) / 1000),
	    CT_LOG_TEXT("key", request->key_id));
}
