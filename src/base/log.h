/*
 * The log: one line an event on standard error,
 *   2026-11-24T06:54:19.123Z info upload.finished id=... size=12
 * Values with blanks, quotes or control bytes are quoted and escaped as in JSON, so that hostile
 * bytes stay inside their line. Any thread; a line is one write(2).
 */
#ifndef CT_BASE_LOG_H
#define CT_BASE_LOG_H

#include "calotype/error.h"
#include <stddef.h>
#include <stdint.h>

enum ct_log_level { CT_LOG_DEBUG, CT_LOG_INFO, CT_LOG_WARNING, CT_LOG_ERROR };

/* Events below `level` are dropped; the start value is CT_LOG_INFO. */
void ct_log_set_level(enum ct_log_level level);

struct ct_log_field {
	const char *key;
	const char *text; /* NULL: `number` is the value */
	int64_t number;
};

static inline struct ct_log_field ct_log_text(const char *key, const char *text)
{
	return (struct ct_log_field){ key, text != NULL ? text : "", 0 };
}

#define CT_LOG_TEXT(key, value) ct_log_text((key), (value)) /* NULL is logged as "" */
#define CT_LOG_NUMBER(key, value) ((struct ct_log_field){ (key), NULL, (int64_t)(value) })
/* An error of error.h, by its name. */
#define CT_LOG_CODE(value) ((struct ct_log_field){ "error", ct_error_name(value), 0 })

/* Ends with a field whose key is NULL; use ct_log(). */
void ct_log_fields(enum ct_log_level level, const char *event, const struct ct_log_field *fields);

/* ct_log(CT_LOG_INFO, "job.ended", CT_LOG_TEXT("id", id), CT_LOG_NUMBER("attempt", n)); */
#define ct_log(level, event, ...) \
	ct_log_fields(            \
	    level, event, (const struct ct_log_field[]){ __VA_ARGS__ __VA_OPT__(, ){ 0 } })

#endif
