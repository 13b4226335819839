#include "retry.h"

#include <criterion/criterion.h>

TestSuite(retry);

Test(retry, delays_double_five_times)
{
	static const int64_t delays[] = { -1, 500, 1000, 2000, 4000, 8000, -1, -1 };
	for (unsigned i = 0; i < sizeof(delays) / sizeof(delays[0]); i++)
		cr_expect_eq(ct_retry_delay_ms(i), delays[i], "%u", i);
	cr_expect_eq(ct_retry_delay_ms(~0u), -1);
}

Test(retry, failures_have_their_exit_status)
{
	static const enum ct_exit expected[] = {
		[CT_VERDICT_RETRY] = CT_EXIT_UNREACHABLE,
		[CT_VERDICT_MISSING] = CT_EXIT_FAILED,
		[CT_VERDICT_AUTH] = CT_EXIT_AUTH,
		[CT_VERDICT_REFUSED] = CT_EXIT_FAILED,
		[CT_VERDICT_INTERRUPTED] = CT_EXIT_INTERRUPTED,
		[CT_VERDICT_LOCAL] = CT_EXIT_FAILED,
	};
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		struct ct_failure failure = { .verdict = (enum ct_verdict)i };
		cr_expect_eq(ct_failure_exit(&failure), expected[i]);
	}
}

Test(retry, what_is_final_is_not_waited_for)
{
	struct ct_retry retry = { 0 };
	struct ct_failure failure = { .verdict = CT_VERDICT_REFUSED };
	cr_expect_eq(ct_retry_wait(&retry, &failure, NULL, "x"), CT_EXIT_FAILED);
	failure.verdict = CT_VERDICT_RETRY;
	retry.failures = CT_RETRY_MAX;
	cr_expect_eq(ct_retry_wait(&retry, &failure, NULL, "x"), CT_EXIT_UNREACHABLE);
}

Test(retry, the_worse_end_is_told)
{
	static const enum ct_exit order[] = { CT_EXIT_OK, CT_EXIT_FAILED, CT_EXIT_USAGE,
		CT_EXIT_UNREACHABLE, CT_EXIT_AUTH, CT_EXIT_INTERRUPTED };
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		for (size_t j = 0; j <= i; j++) {
			cr_expect_eq(ct_exit_worse(order[i], order[j]), order[i]);
			cr_expect_eq(ct_exit_worse(order[j], order[i]), order[i]);
		}
	}
}
