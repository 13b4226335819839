/*
 * What the server does by itself: the housekeeper's rounds and the jobs, one step at a time.
 */
#ifndef CT_TESTS_MODEL_HOUSE_H
#define CT_TESTS_MODEL_HOUSE_H

#include "model.h"
#include "world.h"

/* Expiry, what a crash left finishing, orphans, retention of uploads, jobs and events. */
void house_tick(struct model *model, struct world *world);
/* All of a sweep: rows that no image has any more, then files without a row. */
void house_sweep(struct model *model, struct world *world);
/* The oldest job as a worker would, without decoding. False: none is queued. */
bool house_run_job(struct model *model, struct world *world);

#endif
