/*
 * The ways out of a response (response.c, problem.c, shared.c). The thread that answers.
 */
#ifndef CT_HTTP_RESPONSE_PRIV_H
#define CT_HTTP_RESPONSE_PRIV_H

#include "base/buffer.h"
#include "http/response.h"
#include "http/shared.h"
#include <stdbool.h>

struct MHD_Response;

/* The MHD_Response of an answer with the request's own headers; NULL: out of memory. */
struct MHD_Response *ct_http_response_build(
    struct ct_http_response *response, const struct ct_http_request *request, uint64_t *ret_size);
int ct_http_response_status(const struct ct_http_response *response);
/* As bytes for a socket that is then closed; only bodies in memory (others give a 500). */
void ct_http_response_write(struct ct_http_response *response, const char *request_id,
    bool head_only, struct ct_buffer *buffer);
/* Its body is in memory, and fits into the buffer of any socket in which nothing else is. */
bool ct_http_response_is_small(struct ct_http_response *response);
void ct_http_response_json_as(
    struct ct_http_response *response, const char *type, struct ct_json *json);
struct ct_json *ct_http_response_json_of(struct ct_http_response *response);
/* Borrowed: `shared` must be held until the answer has been queued. */
struct MHD_Response *ct_http_shared_response(struct ct_http_shared *shared, uint64_t *ret_size);
/* One of its own for a single answer, with further headers; NULL: out of memory. */
struct MHD_Response *ct_http_shared_copy(struct ct_http_shared *shared,
    const struct ct_http_header_field *more, size_t count, uint64_t *ret_size);
struct MHD_Response *ct_http_shared_part(
    struct ct_http_shared *shared, uint64_t offset, uint64_t length);
const void *ct_http_shared_data(const struct ct_http_shared *shared, uint64_t *ret_size);
/* Adds a field unless there is one of that name. */
void ct_http_response_default(
    struct ct_http_response *response, const char *name, const char *value);
/* For whom there is no request (yet). */
struct ct_http_response *ct_http_problem_for(const char *request_id, int error, const char *detail);
/* Takes the problem over; writes what fits into the socket's buffer, without waiting. */
void ct_http_send_problem(int fd, const char *request_id, struct ct_http_response *response);

#endif
