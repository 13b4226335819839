/*
 * A slot is a place for one worker process. Who wants a worker takes an idle slot, or marks an
 * empty one as wanted and waits for the keeper, the pool's own thread, to start a process in it.
 * The keeper does that, and not the thread that asks, because a worker dies with the thread that
 * started it (PR_SET_PDEATHSIG). While a slot is busy its process belongs to the thread that uses
 * it; only its pid is looked at by ct_imaging_pool_stop() and _cut_off(), which kill it under the
 * lock. A pid is taken out of its slot before it is reaped, so a kill never hits a stranger.
 */
#include "imaging/pool_priv.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/thread_pool.h"
#include "calotype/error.h"
#include "metrics/metrics.h"
#include "imaging/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#define DEFAULT_MEMORY_MIB 512
#define DEFAULT_CPU_S 20
#define DEFAULT_DEADLINE_MS 20000
#define DEFAULT_MAX_PIXELS 50000000
#define DEFAULT_IDLE_MS 30000
#define DEFAULT_MAX_ALL_PIXELS 250000000
#define DEFAULT_MAX_PRINT_BYTES (32ull << 20)
#define COPY_BYTES ((size_t)1 << 30)
#define WHOLE_PART 2 /* of the memory, for an image that is decoded whole */
#define MAX_STALE 3  /* idle workers found dead in one call, before it is called a failure */

enum slot_state {
	SLOT_EMPTY,
	SLOT_WANTED,   /* a caller waits */
	SLOT_STARTING, /* the keeper is at it */
	SLOT_FAILED,   /* could not be started; the caller collects the reason */
	SLOT_IDLE,
	SLOT_BUSY,
};

struct slot {
	enum slot_state state;
	struct ct_child child;
	struct ct_imaging_cut *cut; /* of the call that has it, or waits for it; or NULL */
	int64_t idle_since_ms;
	int error; /* SLOT_FAILED */
	char message[CT_IMAGING_MESSAGE_BYTES];
};

struct ct_imaging_pool {
	/* Set once. */
	struct ct_imaging_options options;
	char *worker_path;
	pthread_t keeper;
	bool has_keeper;

	struct ct_lock lock;
	struct ct_condition changed;
	/* Under lock. */
	struct slot slots[CT_IMAGING_MAX_WORKERS];
	unsigned callers;
	bool stopping;
};

/* ---- the keeper ---- */

static struct slot *find_locked(struct ct_imaging_pool *pool, enum slot_state state)
{
	ct_lock_assert_held(&pool->lock);
	for (unsigned i = 0; i < pool->options.max_workers; i++) {
		if (pool->slots[i].state == state)
			return &pool->slots[i];
	}
	return NULL;
}

/* Takes the process out of its slot, which is then free for another. */
static struct ct_child vacate_locked(struct ct_imaging_pool *pool, struct slot *slot)
{
	struct ct_child child = slot->child;
	ct_lock_assert_held(&pool->lock);
	slot->child = (struct ct_child){ .pid = -1, .socket = -1 };
	slot->cut = NULL;
	slot->state = SLOT_EMPTY;
	ct_condition_broadcast(&pool->changed);
	return child;
}

static struct ct_child_limits limits_for(
    const struct ct_imaging_options *options, uint64_t input_bytes)
{
	return (struct ct_child_limits){
		.memory_bytes = ((uint64_t)options->memory_mib << 20) + input_bytes,
		.file_bytes = options->max_print_bytes,
		.cpu_s = options->cpu_s,
	};
}

static bool is_cut_locked(const struct ct_imaging_cut *cut)
{
	return cut != NULL && cut->is_cut;
}

static void start_one(struct ct_imaging_pool *pool, struct slot *slot)
{
	const struct ct_child_limits limits = limits_for(&pool->options, 0);
	char message[CT_IMAGING_MESSAGE_BYTES] = "";
	struct ct_child child = { .pid = -1, .socket = -1 };

	int r = ct_child_start(pool->worker_path, &limits, true, &child, message);
	if (r == 0)
		ct_metrics_add(CT_METRIC_WORKERS_STARTED, 1);
	ct_lock_take(&pool->lock);
	CT_ASSERT(slot->state == SLOT_STARTING);
	slot->state = r < 0 ? SLOT_FAILED : SLOT_BUSY;
	slot->child = child;
	slot->error = r;
	memcpy(slot->message, message, sizeof(message));
	if ((pool->stopping || is_cut_locked(slot->cut)) && r == 0)
		(void)kill(child.pid, SIGKILL); /* it was too young to be seen */
	ct_condition_broadcast(&pool->changed);
	ct_lock_release(&pool->lock);
}

static void end_one(struct ct_child child)
{
	int status;
	ct_child_end(&child, &status);
}

/* The idle worker whose time is over first; when that is. */
static struct slot *find_next_expiry_locked(struct ct_imaging_pool *pool, int64_t *ret_at_ms)
{
	struct slot *next = NULL;
	for (unsigned i = 0; i < pool->options.max_workers; i++) {
		struct slot *slot = &pool->slots[i];
		if (slot->state == SLOT_IDLE &&
		    (next == NULL || slot->idle_since_ms < next->idle_since_ms))
			next = slot;
	}
	if (next != NULL)
		*ret_at_ms = next->idle_since_ms + (int64_t)pool->options.idle_ms;
	return next;
}

/* One step; it leaves the lock for whatever takes time. */
static void keep_locked(struct ct_imaging_pool *pool)
{
	int64_t at_ms = 0;
	struct slot *slot = find_locked(pool, SLOT_WANTED);
	if (slot != NULL) {
		slot->state = SLOT_STARTING;
		ct_lock_release(&pool->lock);
		start_one(pool, slot);
		ct_lock_take(&pool->lock);
		return;
	}
	slot = find_next_expiry_locked(pool, &at_ms);
	if (slot == NULL) {
		ct_condition_wait(&pool->changed, &pool->lock);
	} else if (at_ms > ct_clock_monotonic_ms()) {
		/* A time-out is what it waits for. */
		(void)ct_condition_wait_until(&pool->changed, &pool->lock, at_ms);
	} else {
		struct ct_child child = vacate_locked(pool, slot);
		ct_lock_release(&pool->lock);
		end_one(child);
		ct_lock_take(&pool->lock);
	}
}

static void *keep(void *arg)
{
	struct ct_imaging_pool *pool = arg;
	struct slot *slot;

	ct_lock_take(&pool->lock);
	while (!pool->stopping)
		keep_locked(pool);
	while ((slot = find_locked(pool, SLOT_IDLE)) != NULL) {
		struct ct_child child = vacate_locked(pool, slot);
		ct_lock_release(&pool->lock);
		end_one(child);
		ct_lock_take(&pool->lock);
	}
	ct_lock_release(&pool->lock);
	return NULL;
}

/* ---- life ---- */

static unsigned core_count(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	if (cores < 1)
		return 1;
	return cores > CT_IMAGING_MAX_WORKERS ? CT_IMAGING_MAX_WORKERS : (unsigned)cores;
}

static unsigned or_default(unsigned value, unsigned otherwise)
{
	return value != 0 ? value : otherwise;
}

static void fill_defaults(struct ct_imaging_options *options)
{
	options->max_workers = or_default(options->max_workers, core_count());
	options->memory_mib = or_default(options->memory_mib, DEFAULT_MEMORY_MIB);
	options->cpu_s = or_default(options->cpu_s, DEFAULT_CPU_S);
	options->deadline_ms = or_default(options->deadline_ms, DEFAULT_DEADLINE_MS);
	options->idle_ms = or_default(options->idle_ms, DEFAULT_IDLE_MS);
	if (options->max_pixels == 0)
		options->max_pixels = DEFAULT_MAX_PIXELS;
	if (options->max_all_pixels == 0)
		options->max_all_pixels = DEFAULT_MAX_ALL_PIXELS;
	if (options->max_print_bytes == 0)
		options->max_print_bytes = DEFAULT_MAX_PRINT_BYTES;
}

CT_DEFINE_CLEANUP(pool_cleanup, struct ct_imaging_pool *, ct_imaging_pool_free)

/* A worker that is not found now is missed when one is wanted: the server runs without. */
static int copy_worker_path(struct ct_imaging_pool *pool)
{
	char path[PATH_MAX] = "calotype-worker";
	const char *given = pool->options.worker_path;
	if (given == NULL)
		(void)ct_imaging_find_worker(path, sizeof(path)); /* see above */
	pool->worker_path = strdup(given != NULL ? given : path);
	pool->options.worker_path = pool->worker_path;
	return pool->worker_path != NULL ? 0 : -ENOMEM;
}

int ct_imaging_pool_new(const struct ct_imaging_options *options, struct ct_imaging_pool **ret_pool)
{
	if (options->max_workers > CT_IMAGING_MAX_WORKERS || options->max_pixels < 0 ||
	    options->max_all_pixels < 0)
		return -EINVAL;
	ct_cleanup(pool_cleanup) struct ct_imaging_pool *pool = calloc(1, sizeof(*pool));
	if (pool == NULL)
		return -ENOMEM;
	ct_lock_init(&pool->lock, CT_LOCK_IMAGING);
	ct_condition_init(&pool->changed);
	pool->options = *options;
	fill_defaults(&pool->options);
	int r = copy_worker_path(pool);
	if (r == 0)
		r = ct_thread_start("imaging-keeper", keep, pool, &pool->keeper);
	if (r < 0)
		return r;
	pool->has_keeper = true;
	*ret_pool = ct_steal(pool);
	return 0;
}

void ct_imaging_pool_stop(struct ct_imaging_pool *pool)
{
	ct_lock_take(&pool->lock);
	pool->stopping = true;
	for (unsigned i = 0; i < pool->options.max_workers; i++) {
		/* It may have gone already; then its user has noticed. */
		if (pool->slots[i].state == SLOT_BUSY)
			(void)kill(pool->slots[i].child.pid, SIGKILL);
	}
	ct_condition_broadcast(&pool->changed);
	ct_lock_release(&pool->lock);
}

void ct_imaging_pool_cut_off(struct ct_imaging_pool *pool, struct ct_imaging_cut *cut)
{
	ct_lock_take(&pool->lock);
	cut->is_cut = true;
	for (unsigned i = 0; i < pool->options.max_workers; i++) {
		struct slot *slot = &pool->slots[i];
		if (slot->cut == cut && slot->state == SLOT_BUSY)
			(void)kill(slot->child.pid, SIGKILL); /* as above */
	}
	ct_condition_broadcast(&pool->changed);
	ct_lock_release(&pool->lock);
}

void ct_imaging_pool_free(struct ct_imaging_pool *pool)
{
	if (pool == NULL)
		return;
	if (pool->has_keeper) {
		ct_imaging_pool_stop(pool);
		CT_ASSERT(pthread_join(pool->keeper, NULL) == 0);
	}
	CT_ASSERT(pool->callers == 0);
	ct_condition_done(&pool->changed);
	ct_lock_done(&pool->lock);
	free(pool->worker_path);
	free(pool);
}

unsigned ct_imaging_pool_workers(struct ct_imaging_pool *pool)
{
	unsigned count = 0;
	ct_lock_take(&pool->lock);
	for (unsigned i = 0; i < pool->options.max_workers; i++)
		count += pool->slots[i].child.pid > 0;
	ct_lock_release(&pool->lock);
	return count;
}

/* ---- one image ---- */

struct work {
	struct ct_worker_request request;
	struct ct_worker_reply reply;
	int fds[CT_WORKER_MAX_FDS]; /* memory files: the input, then for the prints */
	size_t fd_count;
};

static int canceled(char *ret_message)
{
	ct_message_set(ret_message, "%s", ct_error_text(CT_ERROR_CANCELED));
	return CT_ERROR_CANCELED;
}

static int shutting_down(char *ret_message)
{
	ct_message_set(ret_message, "%s", ct_error_text(CT_ERROR_SHUTTING_DOWN));
	return CT_ERROR_SHUTTING_DOWN;
}

/* Waits for the keeper to start a process in this slot, which only its caller looks at. */
static int await_start_locked(struct ct_imaging_pool *pool, struct slot *slot, char *ret_message)
{
	slot->state = SLOT_WANTED;
	ct_condition_broadcast(&pool->changed);
	while (slot->state == SLOT_STARTING || (slot->state == SLOT_WANTED && !pool->stopping))
		ct_condition_wait(&pool->changed, &pool->lock);
	if (slot->state == SLOT_BUSY)
		return 0;
	int r = CT_ERROR_SHUTTING_DOWN;
	if (slot->state == SLOT_FAILED) {
		r = slot->error;
		ct_message_set(ret_message, "%s", slot->message);
	}
	(void)vacate_locked(pool, slot); /* there is no process in it */
	return r == CT_ERROR_SHUTTING_DOWN ? shutting_down(ret_message) : r;
}

static int take_worker(struct ct_imaging_pool *pool, struct ct_imaging_cut *cut,
    struct slot **ret_slot, char *ret_message)
{
	struct slot *slot = NULL;
	int r = 0;

	ct_lock_take(&pool->lock);
	while (slot == NULL && !pool->stopping && !is_cut_locked(cut)) {
		struct slot *empty = find_locked(pool, SLOT_EMPTY);
		slot = find_locked(pool, SLOT_IDLE);
		if (slot != NULL) {
			slot->cut = cut;
			slot->state = SLOT_BUSY;
		} else if (empty != NULL) {
			slot = empty;
			slot->cut = cut;
			r = await_start_locked(pool, slot, ret_message);
		} else {
			ct_condition_wait(&pool->changed, &pool->lock);
		}
	}
	if (slot == NULL)
		r = pool->stopping ? shutting_down(ret_message) : canceled(ret_message);
	ct_lock_release(&pool->lock);
	if (r == 0)
		*ret_slot = slot;
	return r;
}

static void give_back(struct ct_imaging_pool *pool, struct slot *slot)
{
	ct_lock_take(&pool->lock);
	CT_ASSERT(slot->state == SLOT_BUSY);
	slot->cut = NULL;
	slot->state = SLOT_IDLE;
	slot->idle_since_ms = ct_clock_monotonic_ms();
	ct_condition_broadcast(&pool->changed);
	ct_lock_release(&pool->lock);
}

/* Ends the worker of a busy slot; how it ended, if it did by itself. */
static int retire(struct ct_imaging_pool *pool, struct slot *slot)
{
	int status;
	ct_lock_take(&pool->lock);
	CT_ASSERT(slot->state == SLOT_BUSY);
	struct ct_child child = vacate_locked(pool, slot);
	ct_lock_release(&pool->lock);
	ct_child_end(&child, &status);
	return status;
}

/* Did we end the worker ourselves? CT_ERROR_SHUTTING_DOWN, CT_ERROR_CANCELED, or 0. */
static int why_killed(struct ct_imaging_pool *pool, const struct ct_imaging_cut *cut)
{
	ct_lock_take(&pool->lock);
	int r = pool->stopping	     ? CT_ERROR_SHUTTING_DOWN
		: is_cut_locked(cut) ? CT_ERROR_CANCELED
				     : 0;
	ct_lock_release(&pool->lock);
	return r;
}

/* Without a layer that must be there, it gets no image. */
static int judge_sandbox(
    const struct ct_imaging_options *options, unsigned layers, char *ret_message)
{
	char list[CT_SANDBOX_LIST_BYTES];
	unsigned lacking = CT_SANDBOX_REQUIRED & ~layers;
	if (lacking == 0 || options->any_sandbox)
		return 0;
	ct_sandbox_list(lacking, list);
	ct_message_set(ret_message, "the sandbox of the image worker does not hold here: %s", list);
	return CT_ERROR_WORKER_UNAVAILABLE;
}

static int await_ready(const struct ct_child *child, int64_t deadline_ms, unsigned *ret_layers)
{
	struct ct_worker_reply reply;
	int r = ct_child_receive(child, deadline_ms, &reply);
	if (r < 0 || reply.status != 0)
		return CT_ERROR_WORKER_UNAVAILABLE;
	*ret_layers = reply.layers & CT_SANDBOX_ALL;
	return 0;
}

/* Until the worker says that it is ready; -EAGAIN for an idle one that has gone away. */
static int prepare(const struct ct_imaging_options *options, struct ct_child *child,
    int64_t deadline_ms, char *ret_message)
{
	unsigned layers = 0;
	if (child->ready)
		return ct_child_is_stale(child) ? -EAGAIN : 0;
	int r = await_ready(child, deadline_ms, &layers);
	if (r == 0)
		r = judge_sandbox(options, layers, ret_message);
	child->ready = r == 0;
	return r;
}

static int exchange(const struct ct_imaging_options *options, struct ct_child *child,
    struct work *work, int64_t deadline_ms, char *ret_message)
{
	const struct ct_child_limits limits = limits_for(options, work->request.input_bytes);
	int r = prepare(options, child, deadline_ms, ret_message);
	if (r == 0)
		r = ct_child_limit(child->pid, &limits);
	if (r < 0)
		return r == -ESRCH ? -EAGAIN : r;
	bool is_first = child->images++ == 0;
	r = ct_child_send(child, &work->request, work->fds, work->fd_count);
	if (r == -EPIPE && !is_first)
		return -EAGAIN; /* it ended between two images */
	if (r < 0)
		return r;
	return ct_child_receive(child, deadline_ms, &work->reply);
}

/* The worker is of no use any more: ends it and says why. */
static int explain_failure(
    struct ct_imaging_pool *pool, struct slot *slot, int error, char *ret_message)
{
	const struct ct_imaging_cut *cut = slot->cut; /* ours while it is busy */
	int status = retire(pool, slot);
	int killed = why_killed(pool, cut);
	if (killed < 0)
		return killed == CT_ERROR_CANCELED ? canceled(ret_message)
						   : shutting_down(ret_message);
	if (error == -EPIPE || error == -ETIMEDOUT)
		ct_metrics_add(CT_METRIC_WORKERS_LOST, 1);
	switch (error) {
	case CT_ERROR_WORKER_UNAVAILABLE:
		if (ret_message[0] == '\0')
			ct_message_set(ret_message, "the image worker did not start up");
		return error;
	case -ETIMEDOUT:
		ct_message_set(ret_message, "the image took longer than %u ms to decode",
		    pool->options.deadline_ms);
		return CT_ERROR_WORKER_TIMEOUT;
	case -EPIPE: return ct_child_explain(status, pool->options.cpu_s, ret_message);
	default:
		ct_message_set(ret_message, "the image worker gave an answer of another kind: %s",
		    ct_error_name(error));
		return error == -EPROTO ? CT_ERROR_PEER_PROTOCOL : error;
	}
}

static bool is_used_up(const struct ct_child *child)
{
	return child->images >= CT_IMAGING_WORKER_IMAGES ||
	       ct_child_resident_bytes(child) >= CT_IMAGING_WORKER_RESIDENT_BYTES;
}

/* One exchange with some worker; -EAGAIN when it was an idle one that had gone away. */
static int run_once(struct ct_imaging_pool *pool, struct work *work, struct ct_imaging_cut *cut,
    struct ct_developed *ret_developed, struct ct_imaging_failure *ret_failure)
{
	char *ret_message = ret_failure->message;
	struct slot *slot = NULL;
	int r = take_worker(pool, cut, &slot, ret_message);
	if (r < 0)
		return r;
	int64_t deadline_ms = ct_clock_monotonic_ms() + (int64_t)pool->options.deadline_ms;
	r = exchange(&pool->options, &slot->child, work, deadline_ms, ret_message);
	if (r == -EAGAIN)
		(void)retire(pool, slot); /* how an idle one ended is of no interest here */
	if (r < 0)
		return r == -EAGAIN ? r : explain_failure(pool, slot, r, ret_message);
	r = ct_answer_accept(
	    &work->request, &work->reply, work->fds + 1, ret_developed, ret_failure);
	/* One that talks nonsense is not asked again. */
	if (r == CT_ERROR_PEER_PROTOCOL || is_used_up(&slot->child))
		(void)retire(pool, slot);
	else
		give_back(pool, slot);
	return r;
}

static int fill_request(const struct ct_imaging_options *options, const char *type,
    const int *widths, size_t width_count, struct ct_worker_request *ret_request)
{
	struct ct_plan unused;
	*ret_request = (struct ct_worker_request){
		.version = CT_WORKER_PROTOCOL_VERSION,
		.width_count = (uint32_t)width_count,
		.max_pixels = (uint64_t)options->max_pixels,
		.max_all_pixels = (uint64_t)options->max_all_pixels,
		.max_whole_bytes = ((uint64_t)options->memory_mib << 20) / WHOLE_PART,
		.max_print_bytes = options->max_print_bytes,
	};
	int r = ct_plan_prints(1, 1, widths, width_count, &unused);
	if (r < 0)
		return r;
	for (size_t i = 0; i < width_count; i++)
		ret_request->widths[i] = widths[i];
	if (strlen(type) >= sizeof(ret_request->type))
		return CT_ERROR_TYPE_MISMATCH;
	memcpy(ret_request->type, type, strlen(type) + 1);
	return 0;
}

static void close_files(struct work *work)
{
	for (size_t i = 0; i < work->fd_count; i++)
		ct_close_fd(&work->fds[i]);
}

static int open_memory_file(struct work *work, const char *name, int *ret_fd)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	work->fds[work->fd_count++] = fd;
	*ret_fd = fd;
	return 0;
}

static int copy_file(int from, int to, uint64_t *ret_bytes)
{
	off_t at = 0;
	for (;;) {
		ssize_t got = sendfile(to, from, &at, COPY_BYTES);
		if (got < 0 && errno != EINTR)
			return -errno;
		if (got == 0)
			break;
	}
	*ret_bytes = (uint64_t)at;
	return 0;
}

/*
 * The worker maps it: a file that lost its end under a mapping would be a SIGBUS. So it gets a copy
 * that nobody can change, not even us.
 */
static int copy_input(struct work *work, int input_fd)
{
	int fd = -1;
	int r = open_memory_file(work, "input", &fd);
	if (r == 0)
		r = copy_file(input_fd, fd, &work->request.input_bytes);
	if (r < 0)
		return r;
	int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	return fcntl(fd, F_ADD_SEALS, seals) < 0 ? -errno : 0;
}

static int open_files(struct work *work, int input_fd)
{
	int r = copy_input(work, input_fd);
	while (r == 0 && work->fd_count < 1 + work->request.width_count) {
		int unused;
		r = open_memory_file(work, "print", &unused);
	}
	return r;
}

static void count_caller(struct ct_imaging_pool *pool, bool enters)
{
	ct_lock_take(&pool->lock);
	pool->callers += enters ? 1u : -1u;
	ct_lock_release(&pool->lock);
}

static int develop(struct ct_imaging_pool *pool, struct work *work, struct ct_imaging_cut *cut,
    struct ct_developed *ret_developed, struct ct_imaging_failure *ret_failure)
{
	int r = -EAGAIN;
	for (int tries = 0; r == -EAGAIN && tries < MAX_STALE; tries++)
		r = run_once(pool, work, cut, ret_developed, ret_failure);
	if (r == -EAGAIN) {
		ct_message_set(ret_failure->message, "the image workers keep going away");
		return CT_ERROR_WORKER_UNAVAILABLE;
	}
	return r;
}

int ct_imaging_pool_develop(struct ct_imaging_pool *pool, int input_fd, const char *type,
    const int *widths, size_t width_count, struct ct_imaging_cut *cut,
    struct ct_developed *ret_developed, struct ct_imaging_failure *ret_failure)
{
	/* Too large for the small stack of our threads' deepest calls. */
	ct_cleanup(ct_free_pointer) struct work *work = calloc(1, sizeof(*work));
	*ret_failure = (struct ct_imaging_failure){ 0 };
	if (work == NULL)
		return -ENOMEM;
	int r = fill_request(&pool->options, type, widths, width_count, &work->request);
	if (r < 0)
		return r;
	count_caller(pool, true);
	r = open_files(work, input_fd);
	if (r == 0)
		r = develop(pool, work, cut, ret_developed, ret_failure);
	close_files(work);
	count_caller(pool, false);
	if (r == CT_ERROR_WORKER_MEMORY) {
		ct_message_set(ret_failure->message,
		    "decoding needs more memory than the limit, %u MiB", pool->options.memory_mib);
		ret_failure->limit = (uint64_t)pool->options.memory_mib << 20;
	}
	if (r < 0 && ret_failure->message[0] == '\0')
		ct_message_set(ret_failure->message, "%s", ct_error_text(r));
	return r;
}

/* ---- the sandbox ---- */

static int check_worker(const struct ct_imaging_options *options, const char *path,
    bool with_codecs, unsigned *ret_layers, char *ret_message)
{
	const struct ct_child_limits limits = limits_for(options, 0);
	struct ct_child child;
	int status;
	int r = ct_child_start(path, &limits, with_codecs, &child, ret_message);
	if (r < 0)
		return r;
	r = await_ready(
	    &child, ct_clock_monotonic_ms() + (int64_t)options->deadline_ms, ret_layers);
	ct_child_end(&child, &status);
	if (r < 0)
		ct_message_set(ret_message, "the image worker did not start up");
	return r;
}

int ct_imaging_check_sandbox(const struct ct_imaging_options *options, bool with_codecs,
    unsigned *ret_layers, char ret_message[CT_IMAGING_MESSAGE_BYTES])
{
	struct ct_imaging_options filled = *options;
	char path[PATH_MAX];
	fill_defaults(&filled);
	if (filled.worker_path != NULL)
		return check_worker(
		    &filled, filled.worker_path, with_codecs, ret_layers, ret_message);
	int r = ct_imaging_find_worker(path, sizeof(path));
	if (r < 0) {
		ct_message_set(ret_message, "the image worker is not found: %s", ct_error_text(r));
		return CT_ERROR_WORKER_UNAVAILABLE;
	}
	return check_worker(&filled, path, with_codecs, ret_layers, ret_message);
}

/* ---- where the worker lies ---- */

static bool is_program(const char *folder, const char *name, char *ret_path, size_t capacity)
{
	int chars = snprintf(ret_path, capacity, "%s/%s", folder, name);
	return chars > 0 && (size_t)chars < capacity && access(ret_path, X_OK) == 0;
}

int ct_imaging_find_worker(char *ret_path, size_t capacity)
{
	static const char *const places[] = { "imaging/calotype-worker", "calotype-worker",
		"../libexec/calotype-worker" };
	char folder[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", folder, sizeof(folder) - 1);
	if (length < 0)
		return -errno;
	folder[length] = '\0';
	char *slash = strrchr(folder, '/');
	if (slash == NULL)
		return CT_ERROR_NOT_FOUND;
	*slash = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (is_program(folder, places[i], ret_path, capacity))
			return 0;
	}
	return CT_ERROR_NOT_FOUND;
}
