/*
 * Clients that wait for a job (`Prefer: wait`, RFC 7240 section 4.3): their requests sleep in a
 * table by job, and one thread answers them when the job changes, or their time is over. A change
 * is told by its job's id alone, for nothing; the thread reads the row once for all who wait.
 *
 * A waiter costs its connection and some hundred bytes; there are never more of them than
 * connections. One whose client leaves is answered soon after (http/route.h, `left`), which ends
 * it.
 *
 * Threads: any; ct_job_waiting_tell() never waits. The lock is a leaf.
 */
#ifndef CT_JOBS_WAITING_H
#define CT_JOBS_WAITING_H

#include "http/http.h"

struct ct_jobs;
struct ct_job_waiting;

int ct_job_waiting_new(struct ct_jobs *jobs, struct ct_job_waiting **ret_waiting);
int ct_job_waiting_start(struct ct_job_waiting *waiting);
/* Answers all who wait, now, and lets nobody wait any more. BLOCKING; may be called again. */
void ct_job_waiting_drain(struct ct_job_waiting *waiting);
/* Drains, ends the thread, frees. NULL is allowed. */
void ct_job_waiting_free(struct ct_job_waiting *waiting);

/* The job has changed, and the change can be read; id NULL: any may have. */
void ct_job_waiting_tell(struct ct_job_waiting *waiting, const char *id);

/* Before the row is read that says whether to wait: what is told from here on is not missed. */
uint32_t ct_job_waiting_mark(struct ct_job_waiting *waiting, const char *id);
/*
 * The request is answered by the thread, in `wait_s` at the latest; its handler says WAIT. False:
 * nobody waits now (no thread, drained, out of memory), answer it.
 */
bool ct_job_waiting_add(struct ct_job_waiting *waiting, struct ct_http_request *request,
    const char *id, unsigned wait_s, uint32_t mark);
/* From `left` of the handler that added it. */
void ct_job_waiting_leave(struct ct_job_waiting *waiting, struct ct_http_request *request);

#endif
