#include "retry.h"

#include "interrupt.h"

#define FIRST_DELAY_MS 500
#define MAX_TOLD_DELAY_MS 30000

int64_t ct_retry_delay_ms(unsigned failures)
{
	if (failures == 0 || failures > CT_RETRY_MAX)
		return -1;
	return (int64_t)FIRST_DELAY_MS << (failures - 1);
}

enum ct_exit ct_failure_exit(const struct ct_failure *failure)
{
	switch (failure->verdict) {
	case CT_VERDICT_RETRY: return CT_EXIT_UNREACHABLE;
	case CT_VERDICT_AUTH: return CT_EXIT_AUTH;
	case CT_VERDICT_INTERRUPTED: return CT_EXIT_INTERRUPTED;
	case CT_VERDICT_MISSING:
	case CT_VERDICT_REFUSED:
	case CT_VERDICT_LOCAL: return CT_EXIT_FAILED;
	}
	return CT_EXIT_FAILED;
}

enum ct_exit ct_retry_wait(struct ct_retry *retry, const struct ct_failure *failure,
    struct ct_screen *screen, const char *name)
{
	if (failure->verdict != CT_VERDICT_RETRY)
		return ct_failure_exit(failure);
	int64_t delay_ms = ct_retry_delay_ms(++retry->failures);
	if (delay_ms < 0)
		return CT_EXIT_UNREACHABLE;
	/* A server that asks for more time gets it, within reason. */
	if (failure->retry_after_ms > delay_ms)
		delay_ms = failure->retry_after_ms < MAX_TOLD_DELAY_MS ? failure->retry_after_ms
								       : MAX_TOLD_DELAY_MS;
	ct_screen_complain(
	    screen, "%s: %s; next try in %.1f s", name, failure->detail, (double)delay_ms / 1000);
	return ct_interrupt_sleep(delay_ms) ? CT_EXIT_OK : CT_EXIT_INTERRUPTED;
}
