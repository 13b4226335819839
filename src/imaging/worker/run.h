/*
 * The life of a worker process: confined, warmed up, then one image after the other until the
 * other side closes.
 */
#ifndef CT_WORKER_RUN_H
#define CT_WORKER_RUN_H

#include "imaging/protocol.h"

/* Fills all of *ret_reply. `fds`: the input and request->width_count outputs, borrowed. */
typedef void (*ct_worker_handle_fn)(
    const struct ct_worker_request *request, const int *fds, struct ct_worker_reply *ret_reply);

/* The whole program; its exit status. What answers a request is given, so that tests can lie. */
int ct_worker_run(ct_worker_handle_fn handle);

#endif
