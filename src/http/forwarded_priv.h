/*
 * What proxies say of the client (forwarded.c). Only trusted ones are listened to: their addresses
 * are in the option trusted_proxies. The connection's thread.
 */
#ifndef CT_HTTP_FORWARDED_PRIV_H
#define CT_HTTP_FORWARDED_PRIV_H

#include "http/request_priv.h"

/*
 * Sets request->client: the connection's peer, or the last one behind it that is not trusted,
 * by X-Forwarded-For or Forwarded (RFC 7239), and whether TLS ended at a proxy. Counts it against
 * the limit of its address. NULL, or the refusal.
 */
struct ct_http_response *ct_http_forwarded_check(struct ct_http_request *request);

/* Uncounts, at the end of the request. */
void ct_http_forwarded_end(struct ct_http_request *request);

/* The address in a `for` of Forwarded or in an entry of X-Forwarded-For, without port; absent when
 * it is hidden or makes no sense. Pure. */
struct ct_slice ct_http_forwarded_node(struct ct_slice text);

/* The value of a parameter of one element of Forwarded, without its quotes. Pure. */
struct ct_slice ct_http_forwarded_parameter(struct ct_slice element, const char *name);

/* Cuts the last element of a list off, at a comma outside of quotes. Pure. */
struct ct_slice ct_http_forwarded_cut_last(struct ct_slice *rest);

#endif
