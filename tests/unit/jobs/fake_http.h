/*
 * In place of the HTTP engine: routes are called directly, so that handlers can be tested without
 * sockets. A request that sleeps is waited for; the query holds no escapes.
 */
#ifndef CT_TESTS_JOBS_FAKE_HTTP_H
#define CT_TESTS_JOBS_FAKE_HTTP_H

#include "http/http.h"

struct fake_answer {
	int status;
	char headers[1024];   /* "Name: value\n" each */
	struct ct_json *json; /* of the body, or NULL */
};

/* To be handed to ct_..._add_routes(). */
struct ct_http_server *fake_server(void);
/* "GET /jobs/1?x=y"; `if_none_match` may be NULL. Needs fake_answer_done(). */
struct fake_answer fake_call(const char *method_and_target, const char *if_none_match);
/* With a Prefer field. */
struct fake_answer fake_call_preferring(
    const char *method_and_target, const char *if_none_match, const char *prefer);
/* `run` is called once, when the next handler asks for If-None-Match: it has read its row by then.
 */
void fake_before_wait(void (*run)(void));
/* Whether the clients of requests that sleep from now on are told to have left. */
void fake_leave(bool all);
void fake_answer_done(struct fake_answer *answer);
/* The header's value, or NULL; good until the next call. */
const char *fake_header(const struct fake_answer *answer, const char *name);
/* The scope of the route that a request takes. */
unsigned fake_scope(const char *method_and_target);

#endif
