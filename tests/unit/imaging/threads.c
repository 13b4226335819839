/*
 * Many threads, few workers, some of which die: for a sanitizer of threads, under which Criterion
 * does not run.
 */
#include "base/assert.h"
#include "base/file.h"
#include "calotype/error.h"
#include "imaging/pool.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS 4
#define ROUNDS 6

static struct ct_imaging_pool *pool;

static int develop(const char *type)
{
	char path[4096];
	struct ct_imaging_failure failure;
	struct ct_developed developed;
	const char *folder = getenv("CALOTYPE_TEST_PICTURES");
	CT_ASSERT(folder != NULL);
	CT_ASSERT(ct_path_join(folder, "tiny.jpg", path, sizeof(path)) == 0);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	CT_ASSERT(fd >= 0);
	int r = ct_imaging_pool_develop(
	    pool, fd, type, ct_plan_widths, ct_plan_width_count, NULL, &developed, &failure);
	CT_ASSERT(close(fd) == 0);
	if (r == 0)
		ct_developed_done(&developed);
	return r;
}

static void *run(void *arg)
{
	int number = *(const int *)arg;
	for (int i = 0; i < ROUNDS; i++) {
		if ((number + i) % 3 == 0)
			CT_ASSERT(develop("test/abort") == CT_ERROR_WORKER_CRASHED);
		else
			CT_ASSERT(develop("image/jpeg") == 0);
		(void)ct_imaging_pool_workers(pool);
	}
	return NULL;
}

static void run_threads(void)
{
	pthread_t threads[THREADS];
	int numbers[THREADS];
	for (int i = 0; i < THREADS; i++) {
		numbers[i] = i;
		CT_ASSERT(pthread_create(&threads[i], NULL, run, &numbers[i]) == 0);
	}
	for (int i = 0; i < THREADS; i++)
		CT_ASSERT(pthread_join(threads[i], NULL) == 0);
}

static void *hang(void *arg)
{
	(void)arg;
	CT_ASSERT(develop("test/hang") == CT_ERROR_SHUTTING_DOWN);
	return NULL;
}

int main(void)
{
	struct ct_imaging_options options = {
		.worker_path = getenv("CALOTYPE_TEST_WORKER"),
		.max_workers = 2,
		.idle_ms = 1,
	};
	pthread_t thread;

	CT_ASSERT(ct_imaging_pool_new(&options, &pool) == 0);
	run_threads();
	CT_ASSERT(pthread_create(&thread, NULL, hang, NULL) == 0);
	(void)usleep(300 * 1000); /* most likely it hangs by then; either way it must end */
	ct_imaging_pool_stop(pool);
	CT_ASSERT(pthread_join(thread, NULL) == 0);
	ct_imaging_pool_free(pool);
	(void)puts("ok");
	return 0;
}
