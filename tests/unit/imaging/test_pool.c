/* Processes that come, go and misbehave. The worker is naughty_worker.c. */
#include "support.h"
#include "calotype/error.h"
#include "imaging/sandbox.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void assert_works(struct ct_imaging_pool *pool)
{
	struct ct_developed developed;
	char message[CT_IMAGING_MESSAGE_BYTES];
	int r = develop(pool, "small.jpg", "image/jpeg", &developed, message);
	cr_assert_eq(r, 0, "%s: %s", ct_error_name(r), message);
	cr_assert_eq(developed.print_count, 3);
	ct_developed_done(&developed);
}

/* The process id of the only child of ours. */
static pid_t find_worker(void)
{
	char path[64];
	char text[64] = "";
	(void)snprintf(path, sizeof(path), "/proc/self/task");
	DIR *tasks = opendir(path);
	struct dirent *entry;
	cr_assert_not_null(tasks);
	while (text[0] == '\0' && (entry = readdir(tasks)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "/proc/self/task/%.20s/children", entry->d_name);
		FILE *file = fopen(path, "r");
		if (file == NULL)
			continue;
		if (fgets(text, sizeof(text), file) == NULL)
			text[0] = '\0';
		(void)fclose(file);
	}
	(void)closedir(tasks);
	cr_assert_neq(text[0], '\0', "no worker");
	return (pid_t)strtol(text, NULL, 10);
}

static int count_descriptors(void)
{
	int count = 0;
	DIR *folder = opendir("/proc/self/fd");
	cr_assert_not_null(folder);
	while (readdir(folder) != NULL)
		count++;
	(void)closedir(folder);
	return count;
}

Test(pool, starts_at_the_first_image_and_keeps_the_worker)
{
	struct ct_imaging_pool *pool = pool_of((struct ct_imaging_options){ 0 });
	cr_assert_eq(ct_imaging_pool_workers(pool), 0);
	assert_works(pool);
	pid_t first = find_worker();
	assert_works(pool);
	cr_assert_eq(find_worker(), first);
	cr_assert_eq(ct_imaging_pool_workers(pool), 1);
	ct_imaging_pool_free(pool);
	cr_assert_eq(waitpid(-1, NULL, 0), -1);
	cr_assert_eq(errno, ECHILD, "it was reaped");
}

struct late {
	struct ct_imaging_pool *pool;
	int fd;
	struct ct_imaging_cut *cut;
	int result;
	struct ct_imaging_failure failure;
};

static void *run_hang(void *arg)
{
	struct late *late = arg;
	struct ct_developed developed;
	late->result = ct_imaging_pool_develop(late->pool, late->fd, "test/hang", ct_plan_widths,
	    ct_plan_width_count, late->cut, &developed, &late->failure);
	return NULL;
}

static void *run_late(void *arg)
{
	struct late *late = arg;
	struct ct_developed developed;
	late->result = ct_imaging_pool_develop(late->pool, late->fd, "test/late", ct_plan_widths,
	    ct_plan_width_count, late->cut, &developed, &late->failure);
	return NULL;
}

/* Before it has a worker, while it waits for one, while it is at work. */
Test(pool, call_is_cut_off)
{
	struct ct_imaging_pool *pool = pool_of((struct ct_imaging_options){ .max_workers = 1 });
	struct ct_imaging_cut cuts[3] = { 0 };
	struct late late[3];
	pthread_t threads[3];
	ct_imaging_pool_cut_off(pool, &cuts[0]);
	for (int i = 0; i < 3; i++) {
		late[i] =
		    (struct late){ pool, open_picture("small.jpg"), &cuts[i], 1, { .limit = 0 } };
		cr_assert_eq(pthread_create(&threads[i], NULL, run_hang, &late[i]), 0);
	}
	cr_assert_eq(pthread_join(threads[0], NULL), 0);
	cr_assert_eq(late[0].result, CT_ERROR_CANCELED);
	for (int i = 0; i < 400 && ct_imaging_pool_workers(pool) == 0; i++)
		(void)usleep(5000);
	(void)usleep(100000); /* one of them is at work by now, the other one waits */
	int64_t began = now_ms();
	for (int i = 1; i < 3; i++) {
		ct_imaging_pool_cut_off(pool, &cuts[i]);
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
		cr_assert_eq(late[i].result, CT_ERROR_CANCELED, "%s", late[i].failure.message);
		cr_assert_eq(close(late[i].fd), 0);
	}
	cr_assert_lt(now_ms() - began, 10000, "well before the deadline");
	cr_assert_eq(ct_imaging_pool_workers(pool), 0, "it was killed");
	assert_works(pool);
	ct_imaging_pool_free(pool);
}

struct misdeed {
	const char *type;
	int error;
	const char *message;
};

Test(pool, misdeeds_fail_one_image_only)
{
	static const struct misdeed misdeeds[] = {
		{ "test/crash", CT_ERROR_WORKER_CRASHED, "signal 4 (SIGILL)" },
		{ "test/abort", CT_ERROR_WORKER_CRASHED, "signal 6 (SIGABRT)" },
		{ "test/exit", CT_ERROR_WORKER_CRASHED, "status 1" },
		{ "test/hang", CT_ERROR_WORKER_TIMEOUT, "4000 ms" },
		{ "test/memory", CT_ERROR_WORKER_MEMORY, "512 MiB" },
		{ "test/lie", CT_ERROR_PEER_PROTOCOL, "no sense" },
	};
	struct ct_imaging_pool *pool =
	    pool_of((struct ct_imaging_options){ .max_workers = 1, .deadline_ms = 4000 });
	assert_works(pool);
	int descriptors = count_descriptors();
	for (size_t i = 0; i < sizeof(misdeeds) / sizeof(misdeeds[0]); i++) {
		struct ct_developed developed;
		char message[CT_IMAGING_MESSAGE_BYTES];
		int r = develop(pool, "small.jpg", misdeeds[i].type, &developed, message);
		cr_assert_eq(r, misdeeds[i].error, "%s: %s: %s", misdeeds[i].type, ct_error_name(r),
		    message);
		cr_assert_not_null(strstr(message, misdeeds[i].message), "%s", message);
		cr_assert_eq(ct_imaging_pool_workers(pool), 0);
		assert_works(pool);
	}
	cr_assert_eq(count_descriptors(), descriptors, "descriptors leak");
	ct_imaging_pool_free(pool);
}

Test(pool, processor_time_is_limited)
{
	struct ct_imaging_pool *pool = pool_of(
	    (struct ct_imaging_options){ .max_workers = 1, .cpu_s = 1, .deadline_ms = 100000 });
	struct ct_developed developed;
	char message[CT_IMAGING_MESSAGE_BYTES];
	cr_assert_eq(
	    develop(pool, "small.jpg", "test/spin", &developed, message), CT_ERROR_WORKER_TIMEOUT);
	cr_assert_not_null(strstr(message, "limit, 1 s"), "%s", message);
	assert_works(pool);
	ct_imaging_pool_free(pool);
}

/* The limit counts over the life of a process: it must move on, or a busy worker would die. */
Test(pool, processor_time_counts_for_each_image)
{
	struct ct_imaging_pool *pool =
	    pool_of((struct ct_imaging_options){ .max_workers = 1, .cpu_s = 1 });
	struct ct_developed developed;
	char message[CT_IMAGING_MESSAGE_BYTES];
	cr_assert_eq(develop(pool, "photo.jpg", "image/jpeg", &developed, message), 0);
	ct_developed_done(&developed);
	pid_t worker = find_worker();
	for (int i = 0; i < 5; i++) {
		cr_assert_eq(develop(pool, "photo.jpg", "image/jpeg", &developed, message), 0);
		ct_developed_done(&developed);
	}
	cr_assert_eq(find_worker(), worker);
	ct_imaging_pool_free(pool);
}

Test(pool, image_that_needs_too_much_memory)
{
	struct ct_imaging_pool *pool =
	    pool_of((struct ct_imaging_options){ .max_workers = 1, .memory_mib = 180 });
	struct ct_developed developed;
	char message[CT_IMAGING_MESSAGE_BYTES];
	int r = develop(pool, "progressive.jpg", "image/jpeg", &developed, message);
	cr_assert_eq(r, CT_ERROR_WORKER_MEMORY, "%s: %s", ct_error_name(r), message);
	assert_works(pool);
	ct_imaging_pool_free(pool);
}

/* Its file loses its end while it is mapped: that would be a SIGBUS. */
Test(pool, input_that_is_cut_off_meanwhile)
{
	struct ct_imaging_pool *pool = pool_of((struct ct_imaging_options){ .max_workers = 1 });
	char path[] = "/tmp/calotype-input-XXXXXX";
	int fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, 1 << 20), 0);
	struct late late = { pool, fd, NULL, 0, { .limit = 0 } };
	pthread_t thread;
	assert_works(pool);
	cr_assert_eq(pthread_create(&thread, NULL, run_late, &late), 0);
	(void)usleep(250 * 1000); /* it is mapped by then, and read later */
	cr_assert_eq(ftruncate(fd, 0), 0);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	cr_assert_eq(late.result, CT_ERROR_UNDECODABLE_IMAGE, "%s", late.failure.message);
	cr_assert_not_null(strstr(late.failure.message, "read it"), "%s", late.failure.message);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(close(fd), 0);
	ct_imaging_pool_free(pool);
}

Test(pool, prints_are_limited_from_outside)
{
	struct ct_imaging_pool *pool =
	    pool_of((struct ct_imaging_options){ .max_workers = 1, .max_print_bytes = 100000 });
	struct ct_developed developed;
	char message[CT_IMAGING_MESSAGE_BYTES];
	cr_assert_eq(develop(pool, "small.jpg", "test/write", &developed, message),
	    CT_ERROR_UNDECODABLE_IMAGE);
	cr_assert_str_eq(message, "limited");
	ct_imaging_pool_free(pool);
}

Test(pool, worker_that_keeps_memory_is_replaced)
{
	struct ct_imaging_pool *pool = pool_of((struct ct_imaging_options){ .max_workers = 1 });
	struct ct_developed developed;
	char message[CT_IMAGING_MESSAGE_BYTES];
	assert_works(pool);
	cr_assert_eq(ct_imaging_pool_workers(pool), 1);
	cr_assert_eq(develop(pool, "small.jpg", "test/fat", &developed, message),
	    CT_ERROR_UNDECODABLE_IMAGE);
	cr_assert_str_eq(message, "fat");
	cr_assert_eq(ct_imaging_pool_workers(pool), 0);
	assert_works(pool);
	ct_imaging_pool_free(pool);
}

static void assert_line(const char *status, const char *line)
{
	cr_assert_not_null(strstr(status, line), "no %s in %s", line, status);
}

/* Also the threads that libvips started while it was warmed up. */
Test(pool, every_thread_of_a_worker_is_confined)
{
	struct ct_imaging_pool *pool = pool_of((struct ct_imaging_options){ .max_workers = 1 });
	char path[128];
	int threads = 0;
	assert_works(pool);
	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)find_worker());
	DIR *folder = opendir(path);
	cr_assert_not_null(folder);
	struct dirent *entry;
	while ((entry = readdir(folder)) != NULL) {
		char status[8192];
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%d/task/%.20s/status", (int)find_worker(),
		    entry->d_name);
		FILE *file = fopen(path, "r");
		cr_assert_not_null(file);
		status[fread(status, 1, sizeof(status) - 1, file)] = '\0';
		cr_assert_eq(fclose(file), 0);
		assert_line(status, "Seccomp:\t2");
		assert_line(status, "NoNewPrivs:\t1");
		assert_line(status, "CapEff:\t0000000000000000");
		assert_line(status, "CapPrm:\t0000000000000000");
		threads++;
	}
	(void)closedir(folder);
	cr_assert_gt(threads, 1, "libvips has threads");
	ct_imaging_pool_free(pool);
}

Test(pool, sandbox_holds)
{
	char message[CT_IMAGING_MESSAGE_BYTES];
	char list[CT_SANDBOX_LIST_BYTES];
	for (int with_codecs = 0; with_codecs < 2; with_codecs++) {
		unsigned layers = 0;
		const struct ct_imaging_options options = { .worker_path =
								getenv("CALOTYPE_TEST_WORKER") };
		cr_assert_eq(
		    ct_imaging_check_sandbox(&options, with_codecs != 0, &layers, message), 0);
		ct_sandbox_list(layers, list);
		cr_assert_eq(CT_SANDBOX_REQUIRED & ~layers, 0, "only %s", list);
	}
	const struct ct_imaging_options missing = { .worker_path = "/nonexistent" };
	unsigned layers = 0;
	cr_assert_eq(ct_imaging_check_sandbox(&missing, false, &layers, message),
	    CT_ERROR_WORKER_UNAVAILABLE);
	cr_assert_not_null(strstr(message, "did not start"), "%s", message);
}

Test(pool, weak_worker_gets_no_image)
{
	struct ct_imaging_options options = { .worker_path = getenv("CALOTYPE_TEST_WEAK_WORKER") };
	struct ct_imaging_pool *pool = pool_of(options);
	struct ct_developed developed;
	char message[CT_IMAGING_MESSAGE_BYTES];
	cr_assert_eq(develop(pool, "small.jpg", "image/jpeg", &developed, message),
	    CT_ERROR_WORKER_UNAVAILABLE);
	cr_assert_not_null(strstr(message, "does not hold here: seccomp"), "%s", message);
	ct_imaging_pool_free(pool);
	options.any_sandbox = true;
	pool = pool_of(options);
	cr_assert_eq(
	    develop(pool, "small.jpg", "image/jpeg", &developed, message), CT_ERROR_WORKER_CRASHED);
	cr_assert_not_null(strstr(message, "status 3"), "it got the image: %s", message);
	ct_imaging_pool_free(pool);
}

Test(pool, killed_while_idle_costs_nothing)
{
	struct ct_imaging_pool *pool = pool_of((struct ct_imaging_options){ .max_workers = 1 });
	assert_works(pool);
	pid_t worker = find_worker();
	cr_assert_eq(kill(worker, SIGKILL), 0);
	siginfo_t info;
	cr_assert_eq(waitid(P_PID, (id_t)worker, &info, WEXITED | WNOWAIT), 0);
	assert_works(pool);
	cr_assert_neq(find_worker(), worker);
	ct_imaging_pool_free(pool);
}

struct call {
	struct ct_imaging_pool *pool;
	const char *picture;
	const char *type;
	int result;
	char message[CT_IMAGING_MESSAGE_BYTES];
};

static void *run_call(void *arg)
{
	struct call *call = arg;
	struct ct_developed developed;
	call->result = develop(call->pool, call->picture, call->type, &developed, call->message);
	if (call->result == 0)
		ct_developed_done(&developed);
	return NULL;
}

Test(pool, killed_in_the_middle_fails_that_image)
{
	struct ct_imaging_pool *pool = pool_of((struct ct_imaging_options){ .max_workers = 1 });
	struct call call = { .pool = pool, .picture = "small.jpg", .type = "test/hang" };
	pthread_t thread;
	assert_works(pool);
	pid_t worker = find_worker();
	cr_assert_eq(pthread_create(&thread, NULL, run_call, &call), 0);
	(void)usleep(200 * 1000); /* it has its image by then */
	cr_assert_eq(kill(worker, SIGKILL), 0);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	cr_assert_eq(call.result, CT_ERROR_WORKER_CRASHED);
	cr_assert_not_null(strstr(call.message, "SIGKILL"), "%s", call.message);
	assert_works(pool);
	ct_imaging_pool_free(pool);
}

Test(pool, stop_cuts_off_what_is_in_progress)
{
	struct ct_imaging_pool *pool = pool_of((struct ct_imaging_options){ .max_workers = 1 });
	struct call calls[2] = {
		{ .pool = pool, .picture = "small.jpg", .type = "test/hang" },
		{ .pool = pool, .picture = "small.jpg", .type = "image/jpeg" }, /* waits */
	};
	pthread_t threads[2];
	int64_t start = now_ms();
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(pthread_create(&threads[i], NULL, run_call, &calls[i]), 0);
		(void)usleep(300 * 1000);
	}
	ct_imaging_pool_stop(pool);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
		cr_assert_eq(
		    calls[i].result, CT_ERROR_SHUTTING_DOWN, "%s", ct_error_name(calls[i].result));
	}
	cr_assert_lt(now_ms() - start, 5000);
	struct call late = { .pool = pool, .picture = "small.jpg", .type = "image/jpeg" };
	(void)run_call(&late);
	cr_assert_eq(late.result, CT_ERROR_SHUTTING_DOWN);
	ct_imaging_pool_free(pool);
}

Test(pool, idle_worker_ends)
{
	struct ct_imaging_pool *pool =
	    pool_of((struct ct_imaging_options){ .max_workers = 1, .idle_ms = 200 });
	assert_works(pool);
	cr_assert_eq(ct_imaging_pool_workers(pool), 1);
	int64_t start = now_ms();
	while (ct_imaging_pool_workers(pool) > 0 && now_ms() - start < 5000)
		(void)usleep(10 * 1000);
	cr_assert_eq(ct_imaging_pool_workers(pool), 0);
	cr_assert_geq(now_ms() - start, 150);
	assert_works(pool);
	ct_imaging_pool_free(pool);
}

static void run_threads(struct ct_imaging_pool *pool, unsigned count)
{
	static const char *const pictures[][2] = { { "photo.jpg", "image/jpeg" },
		{ "small.png", "image/png" }, { "small.webp", "image/webp" },
		{ "animated.gif", "image/gif" } };
	struct call calls[8];
	pthread_t threads[8];
	cr_assert_leq(count, 8);
	for (unsigned i = 0; i < count; i++) {
		calls[i] = (struct call){ pool, pictures[i % 4][0], pictures[i % 4][1], -1, "" };
		cr_assert_eq(pthread_create(&threads[i], NULL, run_call, &calls[i]), 0);
	}
	for (unsigned i = 0; i < count; i++) {
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
		cr_assert_eq(calls[i].result, 0, "%s", calls[i].message);
	}
}

/* The threads end between the rounds: workers must not die with the thread that asked. */
Test(pool, four_threads_at_once)
{
	struct ct_imaging_pool *pool = pool_of((struct ct_imaging_options){ .max_workers = 4 });
	for (int round = 0; round < 2; round++)
		run_threads(pool, 4);
	unsigned workers = ct_imaging_pool_workers(pool);
	cr_assert(workers >= 1 && workers <= 4);
	ct_imaging_pool_free(pool);
}

Test(pool, more_threads_than_workers_wait)
{
	struct ct_imaging_pool *pool = pool_of((struct ct_imaging_options){ .max_workers = 2 });
	run_threads(pool, 8);
	cr_assert_leq(ct_imaging_pool_workers(pool), 2);
	ct_imaging_pool_free(pool);
}

Test(pool, worker_that_is_missing_or_no_worker)
{
	static const char *const paths[] = { "/nonexistent/calotype-worker", "/bin/true",
		"/dev/null" };
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct ct_imaging_pool *pool =
		    pool_of((struct ct_imaging_options){ .worker_path = paths[i] });
		struct ct_developed developed;
		char message[CT_IMAGING_MESSAGE_BYTES];
		for (int again = 0; again < 2; again++) {
			cr_assert_eq(develop(pool, "small.jpg", "image/jpeg", &developed, message),
			    CT_ERROR_WORKER_UNAVAILABLE);
			cr_assert_not_null(strstr(message, "did not start"), "%s", message);
		}
		cr_assert_eq(ct_imaging_pool_workers(pool), 0);
		ct_imaging_pool_free(pool);
	}
}

Test(pool, refuses_widths_that_make_no_sense)
{
	static const int widths[] = { 0 };
	struct ct_imaging_pool *pool = pool_of((struct ct_imaging_options){ 0 });
	struct ct_developed developed;
	struct ct_imaging_failure failure;
	cr_assert_eq(
	    ct_imaging_pool_develop(pool, 0, "image/jpeg", widths, 1, NULL, &developed, &failure),
	    -EINVAL);
	cr_assert_eq(
	    ct_imaging_pool_develop(pool, 0, "image/jpeg", widths, 0, NULL, &developed, &failure),
	    -EINVAL);
	ct_imaging_pool_free(pool);
	cr_assert_eq(
	    ct_imaging_pool_new(
		&(struct ct_imaging_options){ .max_workers = CT_IMAGING_MAX_WORKERS + 1 }, &pool),
	    -EINVAL);
}

Test(pool, prints_are_sealed)
{
	struct ct_imaging_pool *pool = pool_of((struct ct_imaging_options){ .max_workers = 1 });
	struct ct_developed developed;
	char message[CT_IMAGING_MESSAGE_BYTES];
	cr_assert_eq(develop(pool, "small.jpg", "image/jpeg", &developed, message), 0);
	for (size_t i = 0; i < developed.print_count; i++) {
		cr_assert_lt(pwrite(developed.prints[i].fd, "x", 1, 0), 0);
		cr_assert_eq(errno, EPERM);
		cr_assert(fcntl(developed.prints[i].fd, F_GETFD) & FD_CLOEXEC);
	}
	ct_developed_done(&developed);
	ct_imaging_pool_free(pool);
}

/* Descriptor 100 lacks close-on-exec, as that of a careless library might. */
Test(pool, worker_sees_nothing_of_ours)
{
	struct ct_imaging_pool *pool = pool_of((struct ct_imaging_options){ .max_workers = 1 });
	char path[64];
	char text[4096];
	cr_assert_eq(dup2(0, 100), 100);
	cr_assert_eq(setenv("CALOTYPE_SECRET", "hunter2", 1), 0);
	assert_works(pool);
	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)find_worker());
	DIR *folder = opendir(path);
	if (folder == NULL)
		cr_skip("not root: the worker cannot be looked at");
	struct dirent *entry;
	while ((entry = readdir(folder)) != NULL) {
		long fd = strtol(entry->d_name, NULL, 10);
		cr_assert_leq(fd, 4, "descriptor %ld", fd);
	}
	(void)closedir(folder);
	(void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)find_worker());
	int fd = open(path, O_RDONLY);
	cr_assert_geq(fd, 0);
	ssize_t length = read(fd, text, sizeof(text));
	cr_assert_gt(length, 0);
	cr_assert_null(memmem(text, (size_t)length, "hunter2", 7));
	cr_assert_eq(close(fd), 0);
	ct_imaging_pool_free(pool);
}
