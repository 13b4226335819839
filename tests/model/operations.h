/*
 * What is done, by chance: each operation chooses what it works on, does it through the real
 * interface, expects the result that the model foresees, and tells the model.
 */
#ifndef CT_TESTS_MODEL_OPERATIONS_H
#define CT_TESTS_MODEL_OPERATIONS_H

#include "model.h"
#include "world.h"

/* One operation; those that find nothing to work on are not counted, and another is tried. */
void operation_run(struct model *model, struct world *world);
/* Ends all sessions, and looks at everything once more. */
void operation_end(struct model *model, struct world *world);

#endif
