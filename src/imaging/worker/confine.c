#include "imaging/worker/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int ct_confine_harden(void)
{
	const struct rlimit none = { 0, 0 };
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		return -errno;
	/* A print that grows too large is a failed write, not a death. */
	if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
		return -errno;
	return setrlimit(RLIMIT_CORE, &none) < 0 ? -errno : 0;
}

/* ---- no_new_privileges, no_capabilities, descriptors ---- */

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };
	return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

static bool has_no_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct has[_LINUX_CAPABILITY_U32S_3];
	if (syscall(SYS_capget, &header, has) < 0)
		return false;
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		if ((has[i].effective | has[i].permitted | has[i].inheritable) != 0)
			return false;
	}
	return true;
}

static int limit_descriptors(void)
{
	const struct rlimit limit = { CT_SANDBOX_MAX_DESCRIPTORS, CT_SANDBOX_MAX_DESCRIPTORS };
	return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

static bool are_descriptors_limited(void)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, CT_SANDBOX_MAX_DESCRIPTORS);
	if (fd >= 0)
		(void)close(fd); /* a copy */
	return fd < 0;
}

/* ---- what the parent has set ---- */

static bool is_memory_limited(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_AS, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return false;
	void *memory = mmap(NULL, limit.rlim_cur, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory != MAP_FAILED)
		(void)munmap(memory, limit.rlim_cur); /* its own mapping */
	return memory == MAP_FAILED;
}

static bool is_file_size_limited(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return false;
	int fd = memfd_create("try", MFD_CLOEXEC);
	bool limited = fd >= 0 && pwrite(fd, "x", 1, (off_t)limit.rlim_cur) < 0 && errno == EFBIG;
	if (fd >= 0)
		(void)close(fd); /* nothing was written */
	return limited;
}

/* This one cannot be tried and survived. */
static bool is_cpu_time_limited(void)
{
	struct rlimit limit;
	return getrlimit(RLIMIT_CPU, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

/* ---- Landlock ---- */

/*
 * struct landlock_ruleset_attr of the newest kernel known here; an older one is told less of it.
 * Everything that it can refuse is refused, since the ruleset has no rules.
 */
struct ruleset {
	uint64_t files;
	uint64_t network; /* from version 4 on */
	uint64_t scoped;  /* from version 6 on */
};

static const struct ruleset versions[] = {
	{ (1u << 13) - 1, 0, 0 }, { (1u << 14) - 1, 0, 0 }, /* renaming across folders */
	{ (1u << 15) - 1, 0, 0 },			    /* truncating */
	{ (1u << 15) - 1, 3, 0 },			    /* bind and connect of TCP */
	{ (1u << 16) - 1, 3, 0 },			    /* ioctl of devices */
	{ (1u << 16) - 1, 3, 3 },			    /* abstract sockets, signals */
};

static size_t size_of_ruleset(const struct ruleset *rules)
{
	if (rules->scoped != 0)
		return sizeof(*rules);
	return rules->network != 0 ? offsetof(struct ruleset, scoped)
				   : offsetof(struct ruleset, network);
}

/* It holds for the calling thread and those that it starts later: there must be no other. */
static bool has_other_threads(void)
{
	struct stat tasks;
	return stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink > 3;
}

static int lock_files(void)
{
	const long count = sizeof(versions) / sizeof(versions[0]);
	if (has_other_threads())
		return -EBUSY;
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
	if (version < 1)
		return version < 0 ? -errno : -ENOSYS;
	const struct ruleset *rules = &versions[(version < count ? version : count) - 1];
	int fd = (int)syscall(SYS_landlock_create_ruleset, rules, size_of_ruleset(rules), 0);
	if (fd < 0)
		return -errno;
	int r = syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : 0;
	(void)close(fd); /* the kernel has its own */
	return r;
}

static bool are_files_locked(void)
{
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		(void)close(fd); /* only read from */
	return fd < 0 && errno == EACCES;
}

/* ---- seccomp ---- */

/* Is -1 with EPERM what came back? The kernel's own reasons to refuse these are others. */
static bool is_refused(long result)
{
	return result == -1 && errno == EPERM;
}

/* A child that should not exist ends at once. */
static bool is_fork_refused(void)
{
	long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		_exit(0);
	bool refused = is_refused(pid);
	if (pid > 0)
		(void)waitpid((pid_t)pid, NULL, 0); /* our own child */
	return refused;
}

static bool are_calls_refused(void)
{
	char *const no_arguments[] = { NULL };
	return is_refused(open("/", O_RDONLY)) && is_refused(socket(AF_UNIX, SOCK_STREAM, 0)) &&
	       is_refused(execve("", no_arguments, no_arguments)) && is_fork_refused() &&
	       is_refused(kill(getpid(), 0)) &&
	       is_refused(ptrace(PTRACE_PEEKDATA, getpid(), NULL, NULL));
}

/* ---- all ---- */

int ct_confine_apply(enum ct_sandbox_layer layer)
{
	switch (layer) {
	case CT_SANDBOX_NO_NEW_PRIVILEGES:
		return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
	case CT_SANDBOX_NO_CAPABILITIES: return drop_capabilities();
	case CT_SANDBOX_DESCRIPTORS: return limit_descriptors();
	case CT_SANDBOX_MEMORY:
	case CT_SANDBOX_FILE_SIZE:
	case CT_SANDBOX_CPU_TIME: return 0;
	case CT_SANDBOX_LANDLOCK: return lock_files();
	case CT_SANDBOX_SECCOMP: return ct_filter_load();
	case CT_SANDBOX_LAYERS: break;
	}
	return -EINVAL;
}

bool ct_confine_holds(enum ct_sandbox_layer layer)
{
	switch (layer) {
	case CT_SANDBOX_NO_NEW_PRIVILEGES: return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
	case CT_SANDBOX_NO_CAPABILITIES: return has_no_capabilities();
	case CT_SANDBOX_DESCRIPTORS: return are_descriptors_limited();
	case CT_SANDBOX_MEMORY: return is_memory_limited();
	case CT_SANDBOX_FILE_SIZE: return is_file_size_limited();
	case CT_SANDBOX_CPU_TIME: return is_cpu_time_limited();
	case CT_SANDBOX_LANDLOCK: return are_files_locked();
	case CT_SANDBOX_SECCOMP: return are_calls_refused();
	case CT_SANDBOX_LAYERS: break;
	}
	return false;
}

static void lay_on(enum ct_sandbox_layer layer, unsigned *layers)
{
	if (ct_confine_apply(layer) == 0 && ct_confine_holds(layer))
		*layers |= CT_SANDBOX_BIT(layer);
}

void ct_confine_before_codecs(unsigned *layers)
{
	for (unsigned i = 0; i < CT_SANDBOX_SECCOMP; i++)
		lay_on((enum ct_sandbox_layer)i, layers);
}

void ct_confine_after_codecs(unsigned *layers)
{
	lay_on(CT_SANDBOX_SECCOMP, layers);
}
