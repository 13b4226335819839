/*
 * SIGINT and SIGTERM ask the program to stop; a second one ends it at once. The main thread only.
 */
#ifndef CT_CLI_INTERRUPT_H
#define CT_CLI_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

/* Also ignores SIGPIPE. -errno. */
int ct_interrupt_setup(void);
bool ct_interrupt_requested(void);

/* False when it was cut short by a signal. */
bool ct_interrupt_sleep(int64_t duration_ms);

#endif
