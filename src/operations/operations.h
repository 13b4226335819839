/*
 * What those who run the server ask it:
 *
 *     GET, HEAD /livez    200 while the process answers at all; public
 *     GET, HEAD /readyz   200, or 503 with what is wrong: store, database, jobs, stop; public
 *     GET, HEAD /metrics  Prometheus text; read scope once keys exist, as it tells what is going on
 *
 * The answers are made in the HTTP thread, from what is in memory and one statvfs(): no count, no
 * walk, so that asking every second costs nothing.
 *
 * A server that is not ready still answers: what it holds can be read on a full disk, and an upload
 * says by itself what it lacks. /readyz is for whoever shares work out among servers.
 */
#ifndef CT_OPERATIONS_H
#define CT_OPERATIONS_H

struct ct_blob_store;
struct ct_cache;
struct ct_http_server;
struct ct_jobs;
struct ct_metadata;
struct ct_operations;

struct ct_operations_options {
	struct ct_blob_store *store;
	struct ct_metadata *metadata;
	struct ct_jobs *jobs;
	struct ct_cache *cache;
	struct ct_http_server *server;
};

/* Also sets the readers of the metrics; once in the process at a time. -ENOMEM. */
int ct_operations_new(
    const struct ct_operations_options *options, struct ct_operations **ret_operations);
/* After the server has ended. NULL is allowed. */
void ct_operations_free(struct ct_operations *operations);
int ct_operations_add_routes(struct ct_operations *operations, struct ct_http_server *server);

/* From now on /readyz says 503: it stops. Any thread. */
void ct_operations_drain(struct ct_operations *operations);

#endif
