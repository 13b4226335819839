/*
 * Ways to go wrong on demand, for tests of the pool. Only when CT_WORKER_TEST_VARIABLE is 1.
 */
#ifndef CT_WORKER_HOOKS_H
#define CT_WORKER_HOOKS_H

#include "imaging/protocol.h"
#include <stdbool.h>

/*
 * By the type of a request: test/crash, test/abort, test/exit, test/hang (sleeps), test/spin (burns
 * processor time), test/memory, and test/lie, which fills a reply that makes no sense. False: none
 * of these.
 */
bool ct_hook_run(const struct ct_worker_request *request, struct ct_worker_reply *ret_reply);

#endif
