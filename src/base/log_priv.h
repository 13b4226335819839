/*
 * What log.c and log_late.c share.
 */
#ifndef CT_BASE_LOG_PRIV_H
#define CT_BASE_LOG_PRIV_H

#include "base/log.h"
#include <stdbool.h>

#define CT_LOG_MAX_LINE_BYTES 8192

/* Takes a copy of a whole line, or counts it as dropped. False: no thread runs that would write. */
bool ct_log_late_put(const char *line, size_t length);

#endif
