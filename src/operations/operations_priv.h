/* The inside of operations.h: its state, health checks, readers of metrics. */
#ifndef CT_OPERATIONS_PRIV_H
#define CT_OPERATIONS_PRIV_H

#include "operations/operations.h"

#include "base/json.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct ct_operations {
	struct ct_operations_options options; /* set once */
	int64_t started_ms;
	atomic_bool drains;
};

/* Appends {"name", "ok", "detail"} of each check to `checks`. True: all are well. */
bool ct_operations_check(struct ct_operations *operations, struct ct_json *checks);

void ct_operations_set_readers(struct ct_operations *operations);
void ct_operations_unset_readers(void);

#endif
