/*
 * A store that dies on demand, as its process would at a kill -9: from then on nothing reaches the
 * store beneath, which lives on and is opened anew. Operations that change something are counted;
 * it dies before or after the nth. Any thread.
 */
#ifndef CT_TESTS_MODEL_MORTAL_H
#define CT_TESTS_MODEL_MORTAL_H

#include "calotype/blob.h"

struct mortal;

/* Takes over `inner`. `died` is called once at each death, in the thread that it strikes. */
int mortal_new(
    struct ct_blob_store *inner, void (*died)(void *arg), void *arg, struct mortal **ret_mortal);
void mortal_free(struct mortal *mortal);

/* Alive again. Closing the store leaves what is beneath. One is open at a time. */
int mortal_open(struct mortal *mortal, struct ct_blob_store **ret_store);

/* At the nth operation from now (1 is the next); 0: not at all. */
void mortal_set_death(struct mortal *mortal, unsigned nth, bool after);
void mortal_die(struct mortal *mortal);
bool mortal_is_dead(struct mortal *mortal);

#endif
