#include "base/assert.h"
#include "base/thread_pool.h"
#include "calotype/error.h"

#include <criterion/criterion.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static sem_t started;
static sem_t go_on;
static atomic_int ran;
static int order[8];

static struct ct_thread_pool *make_pool(unsigned threads, size_t max_queued)
{
	const struct ct_thread_pool_options options = {
		.name = "test-pool",
		.threads = threads,
		.max_queued = max_queued,
	};
	struct ct_thread_pool *pool = NULL;
	cr_assert_eq(sem_init(&started, 0, 0), 0);
	cr_assert_eq(sem_init(&go_on, 0, 0), 0);
	cr_assert_eq(ct_thread_pool_new(&options, &pool), 0);
	return pool;
}

static void hold(void *arg)
{
	(void)arg;
	CT_ASSERT(sem_post(&started) == 0);
	CT_ASSERT(sem_wait(&go_on) == 0);
}

static void note(void *arg)
{
	order[atomic_fetch_add(&ran, 1)] = *(int *)arg;
}

Test(thread_pool, full_queue_refuses, .timeout = 20)
{
	static int numbers[4] = { 10, 11, 12, 13 };
	struct ct_thread_pool *pool = make_pool(1, 3);
	cr_assert_eq(ct_thread_pool_submit(pool, hold, NULL), 0);
	cr_assert_eq(sem_wait(&started), 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(ct_thread_pool_submit(pool, note, &numbers[i]), 0);
	cr_assert_eq(ct_thread_pool_submit(pool, note, &numbers[3]), CT_ERROR_LIMIT_REACHED);
	cr_assert_eq(sem_post(&go_on), 0);
	ct_thread_pool_free(pool);
	cr_assert_eq(atomic_load(&ran), 3);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(order[i], 10 + i);
}

static void *let_go_later(void *arg)
{
	(void)arg;
	(void)usleep(100000); /* so that the pool stops first; too short a wait fails nothing */
	CT_ASSERT(sem_post(&go_on) == 0);
	return NULL;
}

Test(thread_pool, finishes_what_is_queued, .timeout = 20)
{
	static int number = 5;
	pthread_t thread;
	struct ct_thread_pool *pool = make_pool(1, 3);
	cr_assert_eq(ct_thread_pool_submit(pool, hold, NULL), 0);
	cr_assert_eq(sem_wait(&started), 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(ct_thread_pool_submit(pool, note, &number), 0);
	cr_assert_eq(ct_thread_start("later", let_go_later, NULL, &thread), 0);
	ct_thread_pool_free(pool);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	cr_assert_eq(atomic_load(&ran), 3);
}

Test(thread_pool, threads_run_beside_each_other, .timeout = 20)
{
	struct ct_thread_pool *pool = make_pool(3, 3);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(ct_thread_pool_submit(pool, hold, NULL), 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(sem_wait(&started), 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(sem_post(&go_on), 0);
	ct_thread_pool_free(pool);
}

static void count(void *arg)
{
	(void)arg;
	(void)atomic_fetch_add(&ran, 1);
}

Test(thread_pool, many_tasks_through_a_small_queue, .timeout = 60)
{
	struct ct_thread_pool *pool = make_pool(4, 7);
	int submitted = 0;
	while (submitted < 20000)
		submitted += ct_thread_pool_submit(pool, count, NULL) == 0;
	ct_thread_pool_free(pool);
	cr_assert_eq(atomic_load(&ran), 20000);
}

Test(thread_pool, null_is_freed)
{
	ct_thread_pool_free(NULL);
}

struct seen {
	sigset_t blocked;
	char name[16];
	size_t stack_bytes;
};

static void *look(void *arg)
{
	struct seen *seen = arg;
	pthread_attr_t attributes;
	CT_ASSERT(sem_wait(&go_on) == 0);
	CT_ASSERT(pthread_sigmask(SIG_BLOCK, NULL, &seen->blocked) == 0);
	CT_ASSERT(pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name)) == 0);
	CT_ASSERT(pthread_getattr_np(pthread_self(), &attributes) == 0);
	CT_ASSERT(pthread_attr_getstacksize(&attributes, &seen->stack_bytes) == 0);
	CT_ASSERT(pthread_attr_destroy(&attributes) == 0);
	return NULL;
}

Test(thread, is_named_small_and_deaf, .timeout = 20)
{
	struct seen seen = { .name = "" };
	sigset_t mine;
	pthread_t thread;
	cr_assert_eq(sem_init(&go_on, 0, 0), 0);
	cr_assert_eq(ct_thread_start("fifteen-letters", look, &seen, &thread), 0);
	cr_assert_eq(sem_post(&go_on), 0);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	cr_assert_str_eq(seen.name, "fifteen-letters");
	cr_assert(sigismember(&seen.blocked, SIGTERM));
	cr_assert(sigismember(&seen.blocked, SIGPIPE));
	cr_assert_not(sigismember(&seen.blocked, SIGSEGV));
	cr_assert_leq(seen.stack_bytes, 1u << 20);
	cr_assert_eq(pthread_sigmask(SIG_BLOCK, NULL, &mine), 0);
	cr_assert_not(sigismember(&mine, SIGTERM));
}
