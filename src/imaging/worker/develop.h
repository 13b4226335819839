/*
 * One image in the worker: from its bytes to prints, hash and what is told about it.
 */
#ifndef CT_WORKER_DEVELOP_H
#define CT_WORKER_DEVELOP_H

#include "imaging/protocol.h"

/* Fills *ret_reply whatever happens. `fds`: the input and request->width_count outputs, borrowed.
 */
void ct_develop(
    const struct ct_worker_request *request, const int *fds, struct ct_worker_reply *ret_reply);

#endif
