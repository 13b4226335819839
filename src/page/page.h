/*
 * The page at /, where people drop photos: a client of this server that runs in the browser. Its
 * files lie in assets/ as they are written, and embed.py makes them part of the program.
 *
 *     GET, HEAD /                       the document; asked anew each time, by its ETag
 *     GET, HEAD /page/{version}/{name}  what it loads; the version changes with the content, so
 *                                       these are immutable
 *
 * Public, also when there are keys: they hold no data. The page asks for a key by itself. Each goes
 * out as gzip to who accepts it (RFC 9110 section 12.5.3).
 */
#ifndef CT_PAGE_H
#define CT_PAGE_H

#include "base/slice.h"
#include <stdbool.h>

struct ct_http_server;
struct ct_page;

/* -ENOMEM. Any thread may serve from it; it holds answers that are built here, once. */
int ct_page_new(struct ct_page **ret_page);
/* After the server has ended. NULL is allowed. */
void ct_page_free(struct ct_page *page);
int ct_page_add_routes(struct ct_page *page, struct ct_http_server *server);

/* Does an Accept-Encoding with this value take gzip? An absent one does not. */
bool ct_page_takes_gzip(struct ct_slice accept_encoding);

#endif
