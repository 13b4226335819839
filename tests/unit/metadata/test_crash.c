/*
 * kill -9 in the middle of commits: what was acknowledged is there afterwards. It says nothing of
 * a power cut, which tests/fault covers.
 */
#include "support.h"
#include "base/file.h"
#include "metadata/uploads.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 20
#define IN_FLIGHT 16
#define MAX_ACKNOWLEDGED 200000

TestSuite(metadata_crash, .init = directory_setup, .fini = directory_teardown, .timeout = 60);

struct submission {
	struct ct_upload_row upload;
	int number;
	int pipe;
	_Atomic int is_free;
};

static int insert_upload(struct ct_metadata_view *view, void *arg)
{
	struct submission *submission = arg;
	return ct_upload_insert(view, &submission->upload);
}

/* In the writer thread: the pipe is what a reply would be. */
static void acknowledge(void *arg, int result)
{
	struct submission *submission = arg;
	if (result < 0 || ct_file_write_all(submission->pipe, &submission->number, sizeof(int)) < 0)
		_exit(2);
	atomic_store(&submission->is_free, 1);
}

static _Noreturn void run_child(int pipe, int first)
{
	static struct submission submissions[IN_FLIGHT];
	struct ct_metadata *metadata = NULL;
	const struct ct_metadata_options options = { .path = fixture.path };
	if (ct_metadata_open(&options, &metadata) < 0)
		_exit(3);
	for (int i = 0; i < IN_FLIGHT; i++)
		atomic_store(&submissions[i].is_free, 1);
	for (int number = first;; number++) {
		struct submission *submission = &submissions[number % IN_FLIGHT];
		while (!atomic_load(&submission->is_free))
			(void)usleep(10);
		atomic_store(&submission->is_free, 0);
		submission->upload = make_upload(number, 0);
		submission->number = number;
		submission->pipe = pipe;
		if (ct_metadata_submit(metadata, insert_upload, acknowledge, submission) < 0)
			_exit(4);
	}
}

/* Runs a child until it is killed; adds what it acknowledged. */
static int run_and_kill(int *acknowledged, int count, int first)
{
	int ends[2];
	int status;
	cr_assert_eq(pipe(ends), 0);
	pid_t child = fork();
	cr_assert_geq(child, 0);
	if (child == 0)
		run_child(ends[1], first);
	cr_assert_eq(close(ends[1]), 0);
	cr_assert_eq(usleep((useconds_t)(20000 + random() % 60000)), 0);
	cr_assert_eq(kill(child, SIGKILL), 0);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFSIGNALED(status), "the child ended with %x", (unsigned)status);
	int number;
	while (read(ends[0], &number, sizeof(number)) == (ssize_t)sizeof(number)) {
		cr_assert_lt(count, MAX_ACKNOWLEDGED);
		acknowledged[count++] = number;
	}
	cr_assert_eq(close(ends[0]), 0);
	return count;
}

static int count_missing(const int *acknowledged, int count)
{
	struct ct_metadata *metadata = open_metadata();
	struct ct_metadata_view *view = NULL;
	struct ct_upload_row row;
	char id[CT_ID_CHARS + 1];
	int missing = 0;
	cr_assert_eq(ct_metadata_borrow(metadata, &view), 0);
	for (int i = 0; i < count; i++)
		missing += ct_upload_get(view, id_of(acknowledged[i], id), &row) != 0;
	ct_metadata_give_back(metadata, view);
	/* More may be there: committed, and killed before it was told. */
	cr_expect_geq(ct_upload_open_count(metadata), count);
	ct_metadata_close(metadata);
	return missing;
}

Test(metadata_crash, what_was_acknowledged_survives_kill_9)
{
	static int acknowledged[MAX_ACKNOWLEDGED];
	int count = 0;
	srandom((unsigned)getpid());
	for (int round = 0; round < ROUNDS; round++) {
		/* Ids of their own: what was not acknowledged may be there too. */
		count = run_and_kill(acknowledged, count, round * 1000000);
		cr_assert_eq(count_missing(acknowledged, count), 0);
	}
	cr_expect_gt(count, ROUNDS);
	(void)fprintf(stderr, "%d acknowledged over %d kills, 0 lost\n", count, ROUNDS);
}
