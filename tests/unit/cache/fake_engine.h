/*
 * In place of the HTTP engine: requests that are nothing but what the cache and delivery ask of
 * them, and answers that can be looked at. A request is freed inside of its answer, the earliest
 * moment at which a real one may be gone. Asserts by itself; any thread.
 */
#ifndef CT_TESTS_FAKE_ENGINE_H
#define CT_TESTS_FAKE_ENGINE_H

#include "base/lock.h"
#include "http/http.h"

#define FAKE_HEADERS_BYTES 2048

/* What became of a request; outlives it. */
struct fake_exchange {
	struct ct_lock lock;
	struct ct_condition changed;
	bool answered;
	int status;
	char headers[FAKE_HEADERS_BYTES]; /* "Name: value\n" each */
	char *body;			  /* NUL-terminated; of a problem "code: detail" */
	bool cut;			  /* its stream ended with an error; `body` until then */
	bool left;			  /* `halfway` said so */
	uint64_t sent_bytes;		  /* of a stream */
	uint64_t size_bytes;		  /* also of a HEAD */
	bool was_shared;		  /* the shared object itself went out */
};

/* What it asks; a NULL is absent. */
struct fake_ask {
	enum ct_http_method method;
	const char *if_match, *if_none_match, *if_range, *range;
	const char *parameter; /* of the path, whatever its name */
	const char *width;     /* ?w= */
	/* Of a stream, which then is read by a thread of its own: called before its second half;
	 * false: the client goes away. */
	bool (*halfway)(void *arg);
	void *halfway_arg;
};

void fake_exchange_init(struct fake_exchange *exchange);
void fake_exchange_done(struct fake_exchange *exchange);
struct ct_http_request *fake_request(struct fake_exchange *exchange, const struct fake_ask *ask);
void fake_wait(struct fake_exchange *exchange);
/* The header's value, empty when there is none; asserts that it is there once at most. */
const char *fake_header(
    const struct fake_exchange *exchange, const char *name, char ret_value[512]);

/* For routes: a server that only remembers them. */
struct ct_http_server *fake_server(void);
const struct ct_http_route *fake_route(const char *pattern);

/* What lives: must be 0 at the end. */
unsigned fake_live_requests(void);
unsigned fake_live_shared(void);
uint64_t fake_live_bytes(void); /* of shared bodies in memory */

#endif
