/*
 * The layers of a worker's sandbox, as the worker reports them and the pool judges them. Each is
 * tried by the worker at its start, after it was laid on (worker/confine.h): one that is said to
 * hold has refused something. Only the limit on processor time is read back instead.
 */
#ifndef CT_IMAGING_SANDBOX_H
#define CT_IMAGING_SANDBOX_H

#include <stdbool.h>

/* Laid on in this order. */
enum ct_sandbox_layer {
	CT_SANDBOX_NO_NEW_PRIVILEGES, /* no setuid program gives any */
	CT_SANDBOX_NO_CAPABILITIES,   /* those of root are given up */
	CT_SANDBOX_DESCRIPTORS,	      /* at most CT_SANDBOX_MAX_DESCRIPTORS open */
	CT_SANDBOX_MEMORY,	      /* address space */
	CT_SANDBOX_FILE_SIZE,	      /* what can be written into a print */
	CT_SANDBOX_CPU_TIME,
	/* No file, no TCP, no signal to a stranger, as far as the kernel can. */
	CT_SANDBOX_LANDLOCK,
	CT_SANDBOX_SECCOMP, /* system calls that decoding does not need fail with EPERM */
	CT_SANDBOX_LAYERS,
};

#define CT_SANDBOX_BIT(layer) (1u << (layer))
#define CT_SANDBOX_ALL (CT_SANDBOX_BIT(CT_SANDBOX_LAYERS) - 1)
/* An old kernel has no Landlock; seccomp alone refuses all that it would. */
#define CT_SANDBOX_REQUIRED (CT_SANDBOX_ALL & ~CT_SANDBOX_BIT(CT_SANDBOX_LANDLOCK))
#define CT_SANDBOX_MAX_DESCRIPTORS 32

/* "seccomp"; what it means in half a line. Static. */
const char *ct_sandbox_name(enum ct_sandbox_layer layer);
const char *ct_sandbox_text(enum ct_sandbox_layer layer);

/* The names of the set bits, comma between, "none" when there is none. */
#define CT_SANDBOX_LIST_BYTES 160
void ct_sandbox_list(unsigned layers, char ret_list[CT_SANDBOX_LIST_BYTES]);

#endif
