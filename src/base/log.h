/*
 * The log: one line an event on standard error,
 *   2026-11-24T06:54:19.123Z info upload.finished id=... size=12
 * Values with blanks, quotes or control bytes are quoted and escaped as in JSON, so that hostile
 * bytes stay inside their line. Any thread; a line of ct_log() is one write(2).
 *
 * ct_log_late() is for what is logged at each request: it copies the line, and one thread writes
 * all that came within CT_LOG_LATE_MS, or CT_LOG_LATE_BYTES as soon as they are there. So
 *   - a kill -9, or a crash, loses the late lines of the last 20 ms (what they tell is lost with
 *     them, nothing else);
 *   - a line of ct_log() may stand before late ones that are up to 20 ms older;
 *   - while standard error takes nothing, a request does not wait for it: beyond
 *     CT_LOG_LATE_MAX_BYTES late lines are dropped, and log.dropped says how many.
 */
#ifndef CT_BASE_LOG_H
#define CT_BASE_LOG_H

#include "calotype/error.h"
#include <stddef.h>
#include <stdint.h>

enum ct_log_level { CT_LOG_DEBUG, CT_LOG_INFO, CT_LOG_WARNING, CT_LOG_ERROR };

#define CT_LOG_LATE_MS 20
#define CT_LOG_LATE_BYTES (64u << 10)
#define CT_LOG_LATE_MAX_BYTES (1u << 20)

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

/* The same, perhaps late; at once while no thread for it runs. The caller holds no lock. */
void ct_log_fields_late(
    enum ct_log_level level, const char *event, const struct ct_log_field *fields);

#define ct_log_late(level, event, ...) \
	ct_log_fields_late(            \
	    level, event, (const struct ct_log_field[]){ __VA_ARGS__ __VA_OPT__(, ){ 0 } })

/* Starts the thread that writes late lines. */
int ct_log_late_start(void);
/* Writes what is there and ends it; harmless without a start. */
void ct_log_late_stop(void);

#endif
