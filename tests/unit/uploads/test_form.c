/* Forms over a real socket and a store that fails, or whose threads are held up. */
#include "support.h"
#include "fixture.h"

#include "base/assert.h"
#include "base/json.h"
#include "base/lock.h"
#include "calotype/error.h"
#include "uploads/form.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BOUNDARY "----WebKitFormBoundary"
#define FILE_BYTES 3000
#define POOL_THREADS 2 /* of support.c */
#define POOL_QUEUE 64

static struct fixture fixture;
static struct rig rig;
static struct reply reply;

/* ---- holding the commit pool ---- */

static struct ct_lock gate = { PTHREAD_MUTEX_INITIALIZER, CT_LOCK_LEAF };
static struct ct_condition gate_changed;
static bool gate_open;
static atomic_int held_threads;

static void hold(void *arg)
{
	(void)arg;
	ct_lock_take(&gate);
	held_threads++;
	while (!gate_open)
		ct_condition_wait(&gate_changed, &gate);
	held_threads--;
	ct_lock_release(&gate);
}

static void close_gate(void)
{
	gate_open = false;
	for (int i = 0; i < POOL_THREADS; i++)
		cr_assert_eq(ct_thread_pool_submit(fixture.pool, hold, NULL), 0);
	cr_assert(wait_for(&held_threads, POOL_THREADS));
}

static void open_gate(void)
{
	ct_lock_take(&gate);
	gate_open = true;
	ct_condition_broadcast(&gate_changed);
	ct_lock_release(&gate);
}

/* ---- server and client ---- */

static void start(void)
{
	static const struct ct_uploads_options options;
	static const struct ct_http_options http = { .listen = "127.0.0.1:0", .loops = 1 };

	ct_condition_init(&gate_changed);
	fixture_open(&fixture, &options, 64u << 20);
	cr_assert_eq(ct_http_server_new(&http, &rig.server), 0);
	cr_assert_eq(ct_uploads_add_routes(fixture.uploads, rig.server), 0);
	cr_assert_eq(ct_http_server_start(rig.server), 0);
	const char *colon = strrchr(ct_http_server_url(rig.server), ':');
	rig.port = (int)strtol(colon + 1, NULL, 10);
}

static void stop(void)
{
	ct_http_server_stop(rig.server, 3000);
	cr_assert_eq(ct_uploads_stop(fixture.uploads, 10000), 0);
	ct_http_server_free(rig.server);
	fixture_close(&fixture);
}

TestSuite(form, .init = start, .fini = stop, .timeout = 60);

/* `count` PNGs; `missing` bytes of the end are not sent. */
static int send_form(unsigned count, size_t missing)
{
	char head[256];
	struct ct_buffer body;

	ct_buffer_init(&body, 16u << 20);
	for (unsigned i = 0; i < count; i++) {
		char *png = make_png(FILE_BYTES, i + 1);
		ct_buffer_printf(&body,
		    "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"f\"; "
		    "filename=\"%u.png\"\r\n\r\n",
		    i);
		ct_buffer_append(&body, png, FILE_BYTES);
		ct_buffer_append_string(&body, "\r\n");
		free(png);
	}
	ct_buffer_append_string(&body, "--" BOUNDARY "--\r\n");
	cr_assert_eq(ct_buffer_error(&body), 0);
	(void)snprintf(head, sizeof(head),
	    "POST /images HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n"
	    "Content-Type: multipart/form-data; boundary=" BOUNDARY "\r\n\r\n",
	    body.length);
	int fd = client_open(&rig);
	client_say(fd, head);
	client_send(fd, body.data, body.length - missing);
	ct_buffer_done(&body);
	return fd;
}

/* A letter for each entry: j(ob), or the error's code between brackets. */
static void read_entries(int fd, char *ret_text, size_t capacity)
{
	struct ct_json *json = NULL;
	size_t length = 0;

	cr_assert(client_read(fd, false, &reply));
	cr_assert_eq(ct_json_parse((struct ct_slice){ reply.body, reply.body_length }, &json), 0,
	    "%s", reply.body);
	struct ct_json *jobs = ct_json_get(json, "jobs");
	cr_assert_not_null(jobs, "%s", reply.body);
	for (size_t i = 0; i < ct_json_length(jobs); i++) {
		struct ct_json *entry = ct_json_at(jobs, i);
		struct ct_json *error = ct_json_get(entry, "error");
		char name[32];
		(void)snprintf(name, sizeof(name), "%zu.png", i);
		cr_expect_str_eq(ct_json_get_text(entry, "filename"), name);
		length += (size_t)snprintf(ret_text + length, capacity - length,
		    error != NULL ? "(%s)" : "j",
		    error != NULL ? ct_json_get_text(error, "code") : "");
		ct_json_free(error);
		ct_json_free(entry);
	}
	ct_json_free(jobs);
	ct_json_free(json);
	(void)close(fd);
}

static void expect_entries(unsigned count, int status, const char *expected)
{
	char entries[1024] = "";

	read_entries(send_form(count, 0), entries, sizeof(entries));
	cr_expect_str_eq(entries, expected);
	cr_expect_eq(reply.status, status);
}

/* ---- tests ---- */

Test(form, one_file_that_cannot_be_made_durable_is_one_refusal)
{
	char entries[256] = "";
	int refused = 0;

	/* Which one is the second to be published is chance. */
	ct_failing_plan_set(fixture.plan, CT_FAIL_STAGE_PUBLISH, 2, -EIO, false);
	read_entries(send_form(4, 0), entries, sizeof(entries));
	cr_expect_eq(reply.status, 202);
	for (const char *p = entries; (p = strstr(p, "(internal)")) != NULL; p++)
		refused++;
	cr_expect_eq(refused, 1, "%s", entries);
	cr_expect_eq(count_images(&fixture), 3);
	ct_failing_plan_set(fixture.plan, CT_FAIL_STAGE_PUBLISH, 0, 0, false);
}

Test(form, a_file_for_which_there_is_no_room_is_one_refusal)
{
	ct_failing_plan_set(
	    fixture.plan, CT_FAIL_STAGE_OPEN, 2, CT_ERROR_INSUFFICIENT_SPACE, false);
	expect_entries(3, 202, "j(insufficient_space)j");
	ct_failing_plan_set(
	    fixture.plan, CT_FAIL_STAGE_WRITE, 1, CT_ERROR_INSUFFICIENT_SPACE, false);
	expect_entries(2, 202, "(insufficient_space)j");
	ct_failing_plan_set(
	    fixture.plan, CT_FAIL_STAGE_WRITE, 1, CT_ERROR_INSUFFICIENT_SPACE, false);
	expect_entries(1, 507, "(insufficient_space)");
	cr_expect_eq(count_images(&fixture), 3);
	cr_expect_eq(count_staging(&fixture), 0);
}

/* All stand in one piece of the body; no more than a few are finished at once. */
Test(form, more_files_than_are_finished_at_once)
{
	char entries[256] = "";

	close_gate();
	/* The queue has room for no more. */
	for (int i = 0; i < POOL_QUEUE - CT_FORM_MAX_FINISHING; i++)
		cr_assert_eq(ct_thread_pool_submit(fixture.pool, hold, NULL), 0);
	int fd = send_form(20, 0);
	sleep_ms(100);
	cr_expect_eq(count_images(&fixture), 0);
	open_gate();
	read_entries(fd, entries, sizeof(entries));
	cr_expect_str_eq(entries, "jjjjjjjjjjjjjjjjjjjj");
	cr_expect_eq(count_images(&fixture), 20);
}

Test(form, a_full_pool_refuses_files)
{
	char entries[256] = "";

	close_gate();
	for (int i = 0; i < POOL_QUEUE; i++)
		cr_assert_eq(ct_thread_pool_submit(fixture.pool, hold, NULL), 0);
	read_entries(send_form(2, 0), entries, sizeof(entries));
	cr_expect_str_eq(entries, "(limit_reached)(limit_reached)");
	cr_expect_eq(reply.status, 503);
	cr_expect_str_eq(reply_header(&reply, "Retry-After"), "1");
	open_gate();
	expect_entries(2, 202, "jj");
}

/* Three have come whole and wait for the disk when the client leaves: they stay. */
Test(form, the_client_leaves_while_files_are_finished)
{
	close_gate();
	int fd = send_form(4, FILE_BYTES / 2);
	sleep_ms(100);
	client_reset(fd);
	sleep_ms(100);
	cr_expect_eq(count_images(&fixture), 0);
	open_gate();
	for (int i = 0; i < 500 && count_images(&fixture) < 3; i++)
		sleep_ms(10);
	sleep_ms(50);
	cr_expect_eq(count_images(&fixture), 3);
	cr_expect_eq(count_staging(&fixture), 0);
}

/* The same, and the request sleeps, with files that it has not been given yet. */
Test(form, the_client_leaves_while_the_request_sleeps)
{
	close_gate();
	int fd = send_form(9, FILE_BYTES / 2);
	sleep_ms(100);
	client_reset(fd);
	sleep_ms(100);
	open_gate();
	for (int i = 0; i < 500 && count_images(&fixture) < CT_FORM_MAX_FINISHING; i++)
		sleep_ms(10);
	cr_expect_eq(ct_uploads_stop(fixture.uploads, 5000), 0);
	int images = count_images(&fixture);
	cr_expect(images >= CT_FORM_MAX_FINISHING && images <= 8, "%d", images);
}
