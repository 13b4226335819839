#include "imaging/worker/limits.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>

#define MAX_DESCRIPTORS 32

static int set_limit(int resource, rlim_t soft, rlim_t hard)
{
	struct rlimit limit = { .rlim_cur = soft, .rlim_max = hard };
	return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

/* The hard limit stays: it may be lower than ours, and the next image needs the soft one again. */
static int set_soft_limit(int resource, rlim_t soft)
{
	struct rlimit limit;
	if (getrlimit(resource, &limit) < 0)
		return -errno;
	if (limit.rlim_max != RLIM_INFINITY && soft > limit.rlim_max)
		soft = limit.rlim_max;
	return set_limit(resource, soft, limit.rlim_max);
}

int ct_limits_harden(void)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return -errno;
	/* A print that grows too large is a failed write, not a death. */
	if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
		return -errno;
	return set_limit(RLIMIT_CORE, 0, 0);
}

int ct_limits_confine(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return set_limit(RLIMIT_NOFILE, MAX_DESCRIPTORS, MAX_DESCRIPTORS);
}

/* Rounded up. */
static int used_cpu_s(rlim_t *ret_seconds)
{
	struct rusage usage;
	if (getrusage(RUSAGE_SELF, &usage) < 0)
		return -errno;
	rlim_t microseconds = (rlim_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
	*ret_seconds = (rlim_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		       (microseconds + 999999) / 1000000;
	return 0;
}

int ct_limits_arm(uint64_t memory_bytes, uint64_t input_bytes, uint64_t file_bytes, uint32_t cpu_s)
{
	rlim_t used = 0;
	int r = used_cpu_s(&used);
	if (r == 0)
		r = set_soft_limit(RLIMIT_AS, (rlim_t)(memory_bytes + input_bytes));
	if (r == 0)
		r = set_soft_limit(RLIMIT_FSIZE, (rlim_t)file_bytes);
	/* It counts over the life of the process, so each image moves it on. */
	if (r == 0)
		r = set_soft_limit(RLIMIT_CPU, used + cpu_s);
	return r;
}
