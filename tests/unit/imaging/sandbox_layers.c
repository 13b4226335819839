/*
 * sandbox_layers LAYER: proves one layer of the worker's sandbox alone. A child lays that layer on
 * and nothing else, then tries; another child tries the same without, and must get through, or
 * the trial would say nothing. Exit 77: this kernel has no such layer.
 */
#include "base/assert.h"
#include "imaging/sandbox.h"
#include "imaging/worker/confine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SKIP 77
#define NOBODY 65534

static char *const no_words[] = { NULL };

/* ---- what is tried: 0 when it works, else the errno ---- */

static int done(long result)
{
	return result < 0 ? errno : 0;
}

static int try_open(void)
{
	return done(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int try_create(void)
{
	return done(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
}

static int try_socket(void)
{
	return done(socket(AF_INET, SOCK_STREAM, 0));
}

static int try_connect(void)
{
	struct sockaddr_in nobody_there = { .sin_family = AF_INET, .sin_port = htons(1) };
	nobody_there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int r = done(connect(fd, (struct sockaddr *)&nobody_there, sizeof(nobody_there)));
	return r == ECONNREFUSED ? 0 : r;
}

/* Where it works, the child's status says so. */
static int try_execve(void)
{
	(void)execve("/bin/true", no_words, no_words);
	return errno;
}

static int try_fork(void)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	int r = done(pid);
	if (pid > 0)
		CT_ASSERT(waitpid(pid, NULL, 0) == pid);
	return r;
}

static int try_vfork(void)
{
	pid_t pid = vfork();
	if (pid == 0)
		_exit(0);
	return done(pid);
}

static int try_clone3(void)
{
	uint64_t arguments[11] = { 0 };
	long pid = syscall(SYS_clone3, arguments, sizeof(arguments));
	if (pid == 0)
		_exit(0);
	return done(pid);
}

static int try_kill(void)
{
	return done(kill(getppid(), 0));
}

static int try_ptrace(void)
{
	return done(
	    ptrace(PTRACE_SEIZE, getppid(), NULL, NULL)); /* it goes on, unlike with ATTACH */
}

static int try_stat(void)
{
	struct stat status;
	return done(stat("/etc/passwd", &status));
}

static int try_memory_file(void)
{
	return done(memfd_create("x", MFD_CLOEXEC));
}

static int try_new_code(void)
{
	void *code = mmap(
	    NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return code == MAP_FAILED ? errno : 0;
}

static int try_more_memory(void)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	return done(setrlimit(RLIMIT_AS, &limit));
}

static int try_signal_thread_of_parent(void)
{
	return done(syscall(SYS_tgkill, getppid(), getppid(), 0));
}

static int try_chroot(void)
{
	return done(chroot("/"));
}

static int try_descriptor_32(void)
{
	return done(fcntl(0, F_DUPFD_CLOEXEC, CT_SANDBOX_MAX_DESCRIPTORS));
}

static void *return_argument(void *arg)
{
	return arg;
}

static int try_thread(void)
{
	pthread_t thread;
	int r = pthread_create(&thread, NULL, return_argument, NULL);
	return r != 0 ? r : pthread_join(thread, NULL);
}

/* ---- trials ---- */

struct trial {
	const char *what;
	int (*run)(void);
	int expected; /* errno under the layer; without it there is none */
};

/* What a child told by its exit status: an errno, or 0. A program that it became tells 0 too. */
static int in_child(int layer, int (*run)(void))
{
	int status;
	pid_t pid = fork();
	CT_ASSERT(pid >= 0);
	if (pid == 0) {
		if (layer >= 0 && ct_confine_apply((enum ct_sandbox_layer)layer) != 0)
			_exit(255);
		_exit(run());
	}
	CT_ASSERT(waitpid(pid, &status, 0) == pid);
	CT_ASSERT(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int failures;

static void expect(const struct trial *trial, int layer, int expected)
{
	int r = in_child(layer, trial->run);
	const char *with = layer < 0 ? "without it" : "with it";
	(void)printf("%-28s %-10s %s\n", trial->what, with, r == 0 ? "works" : strerror(r));
	if (r == expected)
		return;
	(void)printf("  expected: %s\n", expected == 0 ? "works" : strerror(expected));
	failures++;
}

static void run_trials(int layer, const struct trial *trials, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		expect(&trials[i], -1, 0);
		expect(&trials[i], layer, trials[i].expected);
	}
}

#define RUN(layer, trials) run_trials(layer, trials, sizeof(trials) / sizeof(trials[0]))

static void test_seccomp(void)
{
	static const struct trial trials[] = {
		{ "open a file", try_open, EPERM },
		{ "create a file", try_create, EPERM },
		{ "make a socket", try_socket, EPERM },
		{ "execve", try_execve, EPERM },
		{ "fork", try_fork, EPERM },
		{ "vfork", try_vfork, EPERM },
		{ "clone3", try_clone3, ENOSYS },
		{ "signal the parent", try_kill, EPERM },
		{ "signal a thread of it", try_signal_thread_of_parent, EPERM },
		{ "trace the parent", try_ptrace, EPERM },
		{ "stat a file", try_stat, EPERM },
		{ "make a memory file", try_memory_file, EPERM },
		{ "map new code", try_new_code, EPERM },
		{ "raise its limits", try_more_memory, EPERM },
		{ "start a thread", try_thread, 0 },
	};
	RUN(CT_SANDBOX_SECCOMP, trials);
}

static void test_landlock(void)
{
	static const struct trial files[] = {
		{ "open a file", try_open, EACCES },
		{ "create a file", try_create, EACCES },
		{ "execve", try_execve, EACCES },
		{ "trace the parent", try_ptrace, EPERM },
	};
	static const struct trial connects = { "connect by TCP", try_connect, EACCES };
	static const struct trial kills = { "signal the parent", try_kill, EPERM };
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
	if (version < 1) {
		(void)puts("this kernel has no Landlock");
		exit(SKIP);
	}
	(void)printf("Landlock version %ld\n", version);
	RUN(CT_SANDBOX_LANDLOCK, files);
	expect(&connects, CT_SANDBOX_LANDLOCK, version >= 4 ? connects.expected : 0);
	expect(&kills, CT_SANDBOX_LANDLOCK, version >= 6 ? kills.expected : 0);
}

static void test_no_capabilities(void)
{
	static const struct trial trials[] = { { "change the root folder", try_chroot, EPERM } };
	if (geteuid() == 0)
		RUN(CT_SANDBOX_NO_CAPABILITIES, trials);
	CT_ASSERT(ct_confine_apply(CT_SANDBOX_NO_CAPABILITIES) == 0);
	failures += !ct_confine_holds(CT_SANDBOX_NO_CAPABILITIES);
}

static void test_descriptors(void)
{
	static const struct trial trials[] = { { "open a 33rd file", try_descriptor_32, EINVAL } };
	RUN(CT_SANDBOX_DESCRIPTORS, trials);
}

/* ---- no_new_privileges: a setuid program, run by somebody else ---- */

static const char *setuid_program;

static int try_setuid(void)
{
	static char name[] = "sandbox_layers", word[] = "is-root";
	char *const words[] = { name, word, NULL };
	if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
		return errno;
	(void)execve(setuid_program, words, no_words);
	return errno;
}

/* Copies this very program and makes the copy root's; run as such it tells who it is. */
static void make_setuid_copy(char *path)
{
	char command[512];
	int fd = mkstemp(path);
	CT_ASSERT(fd >= 0 && close(fd) == 0);
	(void)snprintf(command, sizeof(command),
	    "cp /proc/%d/exe %s && chown 0:0 %s && chmod 4755 %s", (int)getpid(), path, path, path);
	CT_ASSERT(system(command) == 0);
}

static void test_no_new_privileges(void)
{
	static const struct trial trial = { "be root by a setuid program", try_setuid, EPERM };
	char path[] = "/tmp/calotype-setuid-XXXXXX";
	CT_ASSERT(!ct_confine_holds(CT_SANDBOX_NO_NEW_PRIVILEGES));
	if (geteuid() == 0) {
		make_setuid_copy(path);
		setuid_program = path;
		expect(&trial, -1, 0);
		expect(&trial, CT_SANDBOX_NO_NEW_PRIVILEGES, EPERM);
		CT_ASSERT(unlink(path) == 0);
	}
	CT_ASSERT(ct_confine_apply(CT_SANDBOX_NO_NEW_PRIVILEGES) == 0);
	failures += !ct_confine_holds(CT_SANDBOX_NO_NEW_PRIVILEGES);
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "no_new_privileges", test_no_new_privileges },
	{ "no_capabilities", test_no_capabilities },
	{ "descriptors", test_descriptors },
	{ "landlock", test_landlock },
	{ "seccomp", test_seccomp },
};

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "is-root") == 0)
		return geteuid() == 0 ? 0 : EPERM;
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (argc != 2 || strcmp(argv[1], tests[i].name) != 0)
			continue;
		tests[i].run();
		(void)printf("%d wrong\n", failures);
		return failures == 0 ? 0 : 1;
	}
	(void)fprintf(stderr, "usage: sandbox_layers LAYER\n");
	return 2;
}
