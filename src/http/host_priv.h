/*
 * To which names a server without keys answers (host.c). A page of any site can let its own name
 * lead to 127.0.0.1 (DNS rebinding); its requests then come from this machine, and the browser
 * lets the page read the answers, as both have one origin. What gives them away is the name: the
 * browser sends it in Host, and no page can change that.
 */
#ifndef CT_HTTP_HOST_PRIV_H
#define CT_HTTP_HOST_PRIV_H

#include "base/slice.h"

struct ct_http_request;

/*
 * Does "host" or "host:port" name this machine: localhost and names under it (RFC 6761 section
 * 6.3), 127.0.0.0/8, [::1]; or the host of `public_url` (NULL, "": none)? Ports don't matter. Pure.
 */
bool ct_http_host_is_ours(struct ct_slice authority, const char *public_url);

/* Whom the request asks (RFC 9112 section 3.2.2); absent: HTTP/1.0 without a Host. */
struct ct_slice ct_http_host_of(const struct ct_http_request *request);

#endif
