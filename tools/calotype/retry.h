/*
 * Trying again: 0.5, 1, 2, 4, 8 seconds, then no more until something has moved forward.
 */
#ifndef CT_CLI_RETRY_H
#define CT_CLI_RETRY_H

#include "exit.h"
#include "screen.h"
#include "server.h"
#include <stdint.h>

#define CT_RETRY_MAX 5

struct ct_retry {
	unsigned failures; /* since something last moved forward; set to 0 when it does */
};

/* How long to wait after so many failures, from 1 on; -1: no more tries. Pure. */
int64_t ct_retry_delay_ms(unsigned failures);

/* What a failure ends a command with if it isn't tried again. Pure. */
enum ct_exit ct_failure_exit(const struct ct_failure *failure);

/*
 * After a failed call: CT_EXIT_OK when a wait is over and it should be tried again, else how to
 * end. `name` is escaped and begins the message.
 */
enum ct_exit ct_retry_wait(struct ct_retry *retry, const struct ct_failure *failure,
    struct ct_screen *screen, const char *name);

#endif
