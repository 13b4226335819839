/*
 * What the worker gives up for good. A file of the worker program; all functions belong to its
 * first thread.
 *
 * The order is given by threads: a thread that libvips starts keeps what its parent had. So
 * everything but seccomp is laid on before the first codec runs, while there is one thread, and
 * seccomp, which can be laid on all threads at once, after that.
 */
#ifndef CT_WORKER_CONFINE_H
#define CT_WORKER_CONFINE_H

#include "imaging/sandbox.h"

/* Dies with its parent, leaves no core, cannot be traced, ignores SIGXFSZ. -errno. */
int ct_confine_harden(void);

/*
 * Lays one layer on, for ever. -errno: it is not to be had. The limits of memory, file size and
 * processor time are the parent's business, from outside (pool_priv.h): nothing to do.
 */
int ct_confine_apply(enum ct_sandbox_layer layer);

/* Tries what it should refuse. Before seccomp, those before it in the order; after it, seccomp. */
bool ct_confine_holds(enum ct_sandbox_layer layer);

/*
 * Lays on and tries all layers up to Landlock; and seccomp. They set the bits of what holds. What
 * does not is for the parent to judge.
 */
void ct_confine_before_codecs(unsigned *layers);
void ct_confine_after_codecs(unsigned *layers);

/* In filter.c: the allow-list. Every thread of the process. -errno. */
int ct_filter_load(void);

#endif
