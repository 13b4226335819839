#include "base/cleanup.h"
#include "metrics/metrics.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

static char *page(void)
{
	static struct ct_buffer buffer;
	ct_buffer_done(&buffer);
	ct_buffer_init(&buffer, CT_METRICS_MAX_BYTES);
	cr_assert_eq(ct_metrics_write(&buffer), 0);
	return buffer.data;
}

#define assert_has(text) cr_assert_not_null(strstr(page(), text), "no '%s' in:\n%s", text, page())

Test(metrics, a_counter_starts_at_zero_and_counts)
{
	assert_has("calotype_http_malformed_total 0\n");
	ct_metrics_add(CT_METRIC_HTTP_MALFORMED, 1);
	ct_metrics_add(CT_METRIC_HTTP_MALFORMED, 41);
	assert_has("\ncalotype_http_malformed_total 42\n");
}

Test(metrics, rows_of_a_family_share_one_help)
{
	const char *text = page();
	const char *help = strstr(text, "# HELP calotype_http_responses_total ");
	cr_assert_not_null(help);
	cr_assert_null(strstr(help + 1, "# HELP calotype_http_responses_total "));
	assert_has("# TYPE calotype_http_responses_total counter\n"
		   "calotype_http_responses_total{code=\"0xx\"} 0\n"
		   "calotype_http_responses_total{code=\"2xx\"} 0\n");
}

Test(metrics, a_timing_falls_into_its_bucket_and_those_above)
{
	ct_metrics_observe_us(CT_METRIC_JOB_TIME, 1000); /* a bound belongs to its bucket */
	ct_metrics_observe_us(CT_METRIC_JOB_TIME, 1001);
	ct_metrics_observe_us(CT_METRIC_JOB_TIME, 3600LL * 1000000);
	ct_metrics_observe_us(CT_METRIC_JOB_TIME, -5);
	assert_has("calotype_job_duration_seconds_bucket{le=\"0.0005\"} 1\n");
	assert_has("calotype_job_duration_seconds_bucket{le=\"0.001\"} 2\n");
	assert_has("calotype_job_duration_seconds_bucket{le=\"0.0025\"} 3\n");
	assert_has("calotype_job_duration_seconds_bucket{le=\"30\"} 3\n");
	assert_has("calotype_job_duration_seconds_bucket{le=\"+Inf\"} 4\n"
		   "calotype_job_duration_seconds_sum 3600.002001\n"
		   "calotype_job_duration_seconds_count 4\n");
	cr_assert_eq(ct_metrics_count(CT_METRIC_JOB_TIME), 4);
}

Test(metrics, labels_of_a_timing_come_before_its_bound)
{
	assert_has(
	    "calotype_http_request_duration_seconds_bucket{method=\"GET\",le=\"0.0005\"} 0\n");
	assert_has("calotype_http_request_duration_seconds_sum{method=\"GET\"} 0.000000\n");
}

static bool read_half(void *arg, double *ret_value)
{
	*ret_value = *(double *)arg;
	return *ret_value != 0;
}

Test(metrics, a_value_is_asked_for_and_left_out_when_unknown)
{
	double value = 1.5;
	cr_assert_null(strstr(page(), "\ncalotype_uploads_open "));
	ct_metrics_read_with(CT_METRIC_UPLOADS_OPEN, read_half, &value);
	assert_has("\ncalotype_uploads_open 1.5\n");
	value = 0;
	cr_assert_null(strstr(page(), "\ncalotype_uploads_open "));
	value = 12345678901234;
	assert_has("\ncalotype_uploads_open 12345678901234\n");
	ct_metrics_read_with(CT_METRIC_UPLOADS_OPEN, NULL, NULL);
	cr_assert_null(strstr(page(), "\ncalotype_uploads_open "));
}

static void *count_much(void *arg)
{
	for (int i = 0; i < 100000; i++)
		ct_metrics_add(CT_METRIC_HTTP_IN, 1);
	return arg;
}

Test(metrics, no_count_is_lost_among_threads)
{
	pthread_t threads[12]; /* more than shards */
	for (size_t i = 0; i < 12; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, count_much, NULL), 0);
	for (size_t i = 0; i < 12; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	cr_assert_eq(ct_metrics_count(CT_METRIC_HTTP_IN), 1200000);
}

Test(metrics, the_page_keeps_far_below_its_bound)
{
	const char *text = page();
	cr_assert_lt(strlen(text), CT_METRICS_MAX_BYTES / 4);
	cr_assert_eq(text[strlen(text) - 1], '\n');
}
