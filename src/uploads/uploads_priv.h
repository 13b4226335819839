/*
 * What the files of this folder share. uploads.c builds it; session.c, finish.c and expiry.c work
 * on it and know no HTTP; whole.c and tus.c are the routes.
 */
#ifndef CT_UPLOADS_PRIV_H
#define CT_UPLOADS_PRIV_H

#include "metadata/metadata.h"
#include "uploads/accept.h"
#include "uploads/registry.h"
#include "uploads/sniff.h"
#include "uploads/uploads.h"
#include <stdatomic.h>

struct ct_http_route;

struct ct_uploads {
	struct ct_uploads_options options; /* set once, defaults filled in */
	char instance[CT_NODE_MAX + 1];	   /* set once: owner and a random word, anew each start */
	struct ct_accept *accept;	   /* set once */
	struct ct_sniffer *sniffer;
	struct ct_registry registry;
	atomic_uint creating;		 /* resumable ones whose row is not there yet */
	char joined_to[CT_ID_CHARS + 1]; /* the housekeeper's: the last final upload it looked at */
	int64_t orphans_seen_ms;	 /* the housekeeper's: monotonic time of the last look */
};

/* Are there as many open uploads as are allowed? */
bool ct_uploads_is_full(struct ct_uploads *uploads);

int ct_uploads_add_whole_routes(struct ct_uploads *uploads, struct ct_http_server *server);
int ct_uploads_add_tus_routes(struct ct_uploads *uploads, struct ct_http_server *server);

#endif
