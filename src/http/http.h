/*
 * The HTTP engine: an acceptor, two libmicrohttpd daemons, framing guard, deadlines, router, auth,
 * access log. It knows no feature; features register routes. Its parts:
 *     route.h      routes, and the steps of a request
 *     server.h     options and life
 *     request.h    what a handler asks, and how it goes on
 *     response.h   answers and problems
 *     shared.h     bodies that many answers share
 */
#ifndef CT_HTTP_H
#define CT_HTTP_H

#include "http/request.h"
#include "http/response.h"
#include "http/route.h"
#include "http/server.h"
#include "http/shared.h"

#endif
