/*
 * The worker with ways to go wrong on demand, for tests of the pool; not installed. Each is asked
 * for by the type of a request; any other type is developed.
 */
#include "calotype/error.h"
#include "imaging/worker/develop.h"
#include "imaging/worker/run.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define EATEN_BYTES (16u << 20)
#define FAT_BYTES (160u << 20)
#define SLOW_NS 600000000
#define EXIT_STATUS 1

typedef void (*hook_fn)(
    const struct ct_worker_request *request, const int *fds, struct ct_worker_reply *reply);

/* What a hook has to say goes where the reason for a failure is. */
static void say(struct ct_worker_reply *reply, const char *text)
{
	*reply = (struct ct_worker_reply){
		.version = CT_WORKER_PROTOCOL_VERSION,
		.status = CT_ERROR_UNDECODABLE_IMAGE,
	};
	(void)snprintf(reply->message, sizeof(reply->message), "%s", text);
}

static void crash(
    const struct ct_worker_request *request, const int *fds, struct ct_worker_reply *reply)
{
	(void)request, (void)fds, (void)reply;
	__builtin_trap();
}

static void do_abort(
    const struct ct_worker_request *request, const int *fds, struct ct_worker_reply *reply)
{
	(void)request, (void)fds, (void)reply;
	abort();
}

static void leave(
    const struct ct_worker_request *request, const int *fds, struct ct_worker_reply *reply)
{
	(void)request, (void)fds, (void)reply;
	_exit(EXIT_STATUS);
}

static void sleep_ns(long ns)
{
	const struct timespec time = { 0, ns };
	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL); /* about that long */
}

static void hang(
    const struct ct_worker_request *request, const int *fds, struct ct_worker_reply *reply)
{
	(void)request, (void)fds, (void)reply;
	for (;;)
		sleep_ns(SLOW_NS);
}

static void spin(
    const struct ct_worker_request *request, const int *fds, struct ct_worker_reply *reply)
{
	(void)request, (void)fds, (void)reply;
	for (volatile bool spins = true; spins;)
		;
}

/* Never freed: the limit on address space ends this. */
static void eat_memory(
    const struct ct_worker_request *request, const int *fds, struct ct_worker_reply *reply)
{
	(void)request, (void)fds, (void)reply;
	for (;;) {
		volatile char *piece = malloc(EATEN_BYTES); /* or the compiler leaves it out */
		if (piece == NULL)
			_exit(CT_WORKER_EXIT_MEMORY);
		*piece = 1;
	}
}

/* It answers well, but keeps what it took. */
static void grow_fat(
    const struct ct_worker_request *request, const int *fds, struct ct_worker_reply *reply)
{
	static char *volatile kept; /* or it would not be written to */
	(void)request, (void)fds;
	kept = malloc(FAT_BYTES);
	if (kept != NULL)
		memset(kept, 1, FAT_BYTES);
	say(reply, kept != NULL ? "fat" : "no memory to grow fat with");
}

static void lie(
    const struct ct_worker_request *request, const int *fds, struct ct_worker_reply *reply)
{
	(void)request, (void)fds;
	memset(reply, 'x', sizeof(*reply));
	reply->version = CT_WORKER_PROTOCOL_VERSION;
	reply->status = 0;
}

/* Meanwhile the test cuts the file off. */
static void read_late(
    const struct ct_worker_request *request, const int *fds, struct ct_worker_reply *reply)
{
	const volatile char *data =
	    mmap(NULL, request->input_bytes, PROT_READ, MAP_PRIVATE, fds[0], 0);
	char sum = 0;
	sleep_ns(SLOW_NS);
	for (uint64_t i = 0; i < request->input_bytes; i++)
		sum = (char)(sum ^ data[i]);
	say(reply, sum == 0 ? "read it" : "read something else");
}

static void write_much(
    const struct ct_worker_request *request, const int *fds, struct ct_worker_reply *reply)
{
	bool fits = pwrite(fds[1], "x", 1, (off_t)request->max_print_bytes - 1) == 1;
	bool more = pwrite(fds[1], "x", 1, (off_t)request->max_print_bytes) == 1;
	say(reply, fits && !more && errno == EFBIG ? "limited" : "not limited");
}

static const struct {
	const char *type;
	hook_fn run;
} hooks[] = {
	{ "test/crash", crash },
	{ "test/abort", do_abort },
	{ "test/exit", leave },
	{ "test/hang", hang },
	{ "test/spin", spin },
	{ "test/memory", eat_memory },
	{ "test/fat", grow_fat },
	{ "test/lie", lie },
	{ "test/late", read_late },
	{ "test/write", write_much },
};

static void handle(
    const struct ct_worker_request *request, const int *fds, struct ct_worker_reply *ret_reply)
{
	for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
		if (strcmp(request->type, hooks[i].type) == 0) {
			hooks[i].run(request, fds, ret_reply);
			return;
		}
	}
	ct_develop(request, fds, ret_reply);
}

int main(void)
{
	return ct_worker_run(handle);
}
