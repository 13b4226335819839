/*
 * Two buffers: threads copy lines into one while the other is written. The lock is held for a copy
 * or for the exchange of the two, never over a write. The writer sleeps while there is nothing;
 * the first line wakes it, and it lets others follow for a while.
 *
 * It writes pieces of whole lines of at most PIPE_BUF bytes, which a pipe takes in one: lines that
 * ct_log() writes past it come between lines and not into one.
 */
#include "base/log_priv.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/thread_pool.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define BLOCKED_MS 1000 /* for a standard error that does not block: then the rest is given up */

_Static_assert(CT_LOG_LATE_BYTES + CT_LOG_MAX_LINE_BYTES <= CT_LOG_LATE_MAX_BYTES,
    "the writer is woken before the buffer is full");

static struct {
	bool has_lock; /* of the thread that starts it */
	atomic_bool is_running;
	pthread_t thread; /* set by the start */
	struct ct_lock lock;
	struct ct_condition changed;

	/* Under the lock. */
	char *filling; /* one of the buffers; the other is the writer's */
	size_t length;
	uint64_t dropped;
	bool stopping;

	char buffers[2][CT_LOG_LATE_MAX_BYTES];
} late;

bool ct_log_late_put(const char *line, size_t length)
{
	if (!atomic_load_explicit(&late.is_running, memory_order_acquire))
		return false;
	ct_lock_take(&late.lock);
	bool taken = !late.stopping;
	if (taken && length > CT_LOG_LATE_MAX_BYTES - late.length) {
		late.dropped++;
	} else if (taken) {
		size_t before = late.length;
		memcpy(late.filling + before, line, length);
		late.length += length;
		if (before == 0 || (before < CT_LOG_LATE_BYTES && late.length >= CT_LOG_LATE_BYTES))
			ct_condition_signal(&late.changed);
	}
	ct_lock_release(&late.lock);
	return taken;
}

/* False: it is not to be had. */
static bool write_all(const char *data, size_t length)
{
	while (length > 0) {
		ssize_t count = write(STDERR_FILENO, data, length);
		if (count < 0 && errno == EAGAIN) {
			struct pollfd room = { .fd = STDERR_FILENO, .events = POLLOUT };
			if (poll(&room, 1, BLOCKED_MS) == 0)
				return false;
		} else if (count < 0 && errno != EINTR) {
			return false;
		} else if (count > 0) {
			data += count;
			length -= (size_t)count;
		}
	}
	return true;
}

/* As many whole lines as a pipe takes in one; a longer line alone. */
static size_t piece_of(const char *data, size_t length)
{
	if (length <= PIPE_BUF)
		return length;
	const char *end = memrchr(data, '\n', PIPE_BUF);
	if (end == NULL)
		end = memchr(data + PIPE_BUF, '\n', length - PIPE_BUF);
	CT_ASSERT(end != NULL); /* the buffer ends with a whole line */
	return (size_t)(end + 1 - data);
}

static void write_lines(const char *data, size_t length)
{
	while (length > 0) {
		size_t piece = piece_of(data, length);
		/* There is nowhere to tell that the log can't be written. */
		if (!write_all(data, piece))
			return;
		data += piece;
		length -= piece;
	}
}

/* Waits until there is something that should be written now. False: it is the end. */
static bool wait_locked(void)
{
	while (late.length == 0 && late.dropped == 0 && !late.stopping)
		ct_condition_wait(&late.changed, &late.lock);
	int64_t until_ms = ct_clock_monotonic_ms() + CT_LOG_LATE_MS;
	int r = 0;
	while (late.length < CT_LOG_LATE_BYTES && !late.stopping && r == 0)
		r = ct_condition_wait_until(&late.changed, &late.lock, until_ms);
	return late.length > 0 || late.dropped > 0;
}

static void *run(void *arg)
{
	(void)arg;
	ct_lock_take(&late.lock);
	while (wait_locked()) {
		const char *full = late.filling;
		size_t length = late.length;
		uint64_t dropped = late.dropped;
		late.filling = full == late.buffers[0] ? late.buffers[1] : late.buffers[0];
		late.length = 0;
		late.dropped = 0;
		ct_lock_release(&late.lock);
		write_lines(full, length);
		if (dropped > 0)
			ct_log(CT_LOG_WARNING, "log.dropped", CT_LOG_NUMBER("lines", dropped));
		ct_lock_take(&late.lock);
	}
	ct_lock_release(&late.lock);
	return NULL;
}

int ct_log_late_start(void)
{
	CT_ASSERT(!atomic_load(&late.is_running));
	if (!late.has_lock) {
		ct_lock_init(&late.lock, CT_LOCK_LEAF);
		ct_condition_init(&late.changed);
		late.has_lock = true; /* for good: a late line may still look at it */
	}
	late.filling = late.buffers[0];
	late.stopping = false;
	int r = ct_thread_start("ct-log", run, NULL, &late.thread);
	if (r == 0)
		atomic_store_explicit(&late.is_running, true, memory_order_release);
	return r;
}

void ct_log_late_stop(void)
{
	if (!atomic_exchange(&late.is_running, false))
		return;
	ct_lock_take(&late.lock);
	late.stopping = true;
	ct_condition_signal(&late.changed);
	ct_lock_release(&late.lock);
	CT_ASSERT(pthread_join(late.thread, NULL) == 0);
}
