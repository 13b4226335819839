#include "mortal.h"

#include "base/lock.h"
#include "calotype/blob_backend.h"

#include <errno.h>
#include <stdlib.h>

struct mortal {
	/* set once */
	struct ct_blob_store *inner; /* owned */
	void (*died)(void *arg);
	void *arg;

	struct ct_lock lock;
	/* under lock */
	unsigned nth; /* 0: no death is near */
	bool after;
	bool is_dead;
};

int mortal_new(
    struct ct_blob_store *inner, void (*died)(void *arg), void *arg, struct mortal **ret_mortal)
{
	struct mortal *mortal = calloc(1, sizeof(*mortal));

	if (mortal == NULL)
		return -ENOMEM;
	mortal->inner = inner;
	mortal->died = died;
	mortal->arg = arg;
	ct_lock_init(&mortal->lock, CT_LOCK_LEAF);
	*ret_mortal = mortal;
	return 0;
}

void mortal_free(struct mortal *mortal)
{
	if (mortal == NULL)
		return;
	ct_blob_store_close(mortal->inner);
	ct_lock_done(&mortal->lock);
	free(mortal);
}

void mortal_set_death(struct mortal *mortal, unsigned nth, bool after)
{
	ct_lock_take(&mortal->lock);
	mortal->nth = nth;
	mortal->after = after;
	ct_lock_release(&mortal->lock);
}

bool mortal_is_dead(struct mortal *mortal)
{
	ct_lock_take(&mortal->lock);
	bool is_dead = mortal->is_dead;
	ct_lock_release(&mortal->lock);
	return is_dead;
}

void mortal_die(struct mortal *mortal)
{
	ct_lock_take(&mortal->lock);
	bool was_dead = mortal->is_dead;
	mortal->is_dead = true;
	ct_lock_release(&mortal->lock);
	if (!was_dead)
		mortal->died(mortal->arg);
}

static bool changes_something(enum ct_failing_operation operation)
{
	return operation != CT_FAIL_OBJECT_OPEN && operation != CT_FAIL_OBJECT_READ;
}

/*
 * Counts one operation. When it is the last one (`after`) it is done by a store that is dead to all
 * others already.
 */
static int strike(void *arg, enum ct_failing_operation operation)
{
	struct mortal *mortal = arg;

	if (!changes_something(operation))
		return 0;
	ct_lock_take(&mortal->lock);
	bool was_dead = mortal->is_dead;
	bool dies = !was_dead && mortal->nth > 0 && --mortal->nth == 0;
	bool is_done = !was_dead && (!dies || mortal->after);
	ct_lock_release(&mortal->lock);
	if (dies)
		mortal_die(mortal);
	return is_done ? 0 : -EIO;
}

int mortal_open(struct mortal *mortal, struct ct_blob_store **ret_store)
{
	ct_lock_take(&mortal->lock);
	mortal->nth = 0;
	mortal->is_dead = false;
	ct_lock_release(&mortal->lock);
	return ct_blob_store_open_judged(mortal->inner, strike, mortal, ret_store);
}
