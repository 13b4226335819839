#include "interrupt.h"

#include "base/clock.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

static volatile sig_atomic_t requested;
static int wake_fd = -1; /* readable from the first signal on, so that no sleep misses it */

static void on_signal(int signal_number)
{
	int saved = errno;
	uint64_t one = 1;
	(void)signal_number;
	requested = 1;
	/* The flag is what counts; a sleep that isn't woken still ends. */
	if (write(wake_fd, &one, sizeof(one)) < 0)
		requested = 1;
	errno = saved;
}

int ct_interrupt_setup(void)
{
	struct sigaction stop = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake_fd < 0)
		return -errno;
	if (sigaction(SIGINT, &stop, NULL) < 0 || sigaction(SIGTERM, &stop, NULL) < 0 ||
	    sigaction(SIGPIPE, &ignore, NULL) < 0)
		return -errno;
	return 0;
}

bool ct_interrupt_requested(void)
{
	return requested != 0;
}

bool ct_interrupt_sleep(int64_t duration_ms)
{
	int64_t deadline = ct_clock_monotonic_ms() + duration_ms;
	struct pollfd wake = { .fd = wake_fd, .events = POLLIN };
	while (!ct_interrupt_requested()) {
		int64_t left = deadline - ct_clock_monotonic_ms();
		if (left <= 0)
			return true;
		if (poll(&wake, 1, left < 60000 ? (int)left : 60000) < 0 && errno != EINTR)
			return true;
	}
	return false;
}
