/*
 * What bounds the worker from inside. A file of the worker program; one thread.
 */
#ifndef CT_WORKER_LIMITS_H
#define CT_WORKER_LIMITS_H

#include <stddef.h>
#include <stdint.h>

/* First thing in the program: dies with its parent, leaves no core, cannot be traced. -errno. */
int ct_limits_harden(void);

/*
 * After warm-up, before the first hostile byte: gives up for good what decoding does not need.
 * What is to be denied to the whole process (system calls, the file system) belongs here.
 * -errno.
 */
int ct_limits_confine(void);

/*
 * Before each image: address space for the process plus the `input_bytes` that are mapped, files
 * no larger than `file_bytes`, and `cpu_s` of processor time from now; beyond it the kernel sends
 * SIGXCPU, which ends the process. -errno.
 */
int ct_limits_arm(uint64_t memory_bytes, uint64_t input_bytes, uint64_t file_bytes, uint32_t cpu_s);

#endif
