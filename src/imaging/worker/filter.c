/*
 * The system calls of a worker that decodes. It has no files: the input and the prints come as
 * descriptors, sizes in the request. All else is refused with EPERM, which libraries survive,
 * where a kill would not let them: malloc asks for /proc/sys/vm/overcommit_memory, GLib whether
 * standard error is a terminal.
 *
 * Two refusals are wanted for what follows from them: without sched_getaffinity() the decoders
 * that start as many threads as there are processors start one or two, so that the memory that an
 * image takes is the same on every machine; clone3(), whose flags lie in memory that a filter
 * cannot see, is said not to exist, and then glibc uses clone().
 */
#include "imaging/worker/confine.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

static const int plain_calls[] = {
	/* memory */
	SCMP_SYS(brk),
	SCMP_SYS(madvise),
	SCMP_SYS(mremap),
	SCMP_SYS(munmap),
	/* threads */
	SCMP_SYS(exit),
	SCMP_SYS(futex),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(rseq),
	SCMP_SYS(sched_yield),
	SCMP_SYS(set_robust_list),
	/* the socket and the files that came over it */
	SCMP_SYS(close),
	SCMP_SYS(pwrite64),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendto),
	/* the rest of a process's life */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(exit_group),
	SCMP_SYS(getrandom),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
};

static int allow_with_conditions(scmp_filter_ctx filter)
{
	const uint32_t yes = SCMP_ACT_ALLOW;
	const scmp_datum_t self = (scmp_datum_t)getpid();
	/* A thread, never a process. */
	int r = seccomp_rule_add(filter, yes, SCMP_SYS(clone), 1,
	    SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	/* Memory that holds new code was made when the codecs were warmed up, or is not made. */
	if (r == 0)
		r = seccomp_rule_add(
		    filter, yes, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (r == 0)
		r = seccomp_rule_add(
		    filter, yes, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* abort(); the name of a thread. */
	if (r == 0)
		r = seccomp_rule_add(
		    filter, yes, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, self, 0));
	if (r == 0)
		r = seccomp_rule_add(
		    filter, yes, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0));
	return r;
}

static int fill(scmp_filter_ctx filter)
{
	/* libvips has threads by now. */
	int r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	for (size_t i = 0; i < sizeof(plain_calls) / sizeof(plain_calls[0]) && r == 0; i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, plain_calls[i], 0);
	return r < 0 ? r : allow_with_conditions(filter);
}

int ct_filter_load(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (filter == NULL)
		return -ENOMEM;
	int r = fill(filter);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}
