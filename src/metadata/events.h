/*
 * Rows of `event`: the durable log, written in the transaction that makes them true.
 * Thread rule and errors: metadata.h.
 */
#ifndef CT_METADATA_EVENTS_H
#define CT_METADATA_EVENTS_H

#include "metadata/metadata.h"

#define CT_EVENT_KEEP_MS (7 * 24 * 3600 * 1000LL) /* as long as a job */

/* `data` is a JSON object. Written in the transaction that makes it true. */
int ct_event_append(struct ct_metadata_view *view, const char *type, const char *image_id,
    const char *data, int64_t now);
/* Of the `limit` oldest events those from before `before` are forgotten; count. */
int ct_event_purge(struct ct_metadata_view *view, int64_t before, int limit);

#endif
