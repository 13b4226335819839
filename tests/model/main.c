/*
 * A model check: random operations on uploads and images through the real interfaces, over a store
 * in memory and a real database, against a plain model of what must hold (model.h). The same seed
 * gives the same operations; a failure prints both numbers. CALOTYPE_LONG=1 makes it ten times as
 * long.
 */
#include "audit.h"
#include "operations.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CAPACITY_BYTES 400000 /* sometimes too little */
#define AUDIT_EVERY 256

static struct model model;

/* An assertion of the server's own: which operation it was is all that is missing. */
static void aborted(int number)
{
	char text[128];
	int length = snprintf(text, sizeof(text),
	    "seed %" PRIu64 ", operation %" PRIu64 ": aborted\n", model.seed, model.operation);

	(void)number;
	if (length > 0 && write(STDERR_FILENO, text, (size_t)length) < 0)
		_Exit(2);
	(void)signal(SIGABRT, SIG_DFL);
}

static bool parse(const char *text, uint64_t *ret_number)
{
	char *end;

	errno = 0;
	unsigned long long number = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || *text < '0' || *text > '9')
		return false;
	*ret_number = number;
	return true;
}

static bool parse_arguments(int count, char **arguments, uint64_t *seed, uint64_t *operations)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "operations", required_argument, NULL, 'n' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(count, arguments, "", options, NULL)) >= 0)
		if (option == '?' || !parse(optarg, option == 's' ? seed : operations))
			return false;
	return optind == count;
}

static void report(uint64_t operations)
{
	const struct {
		uint64_t count;
		const char *what;
	} counts[] = {
		{ model.acknowledged, "acknowledged" },
		{ model.finished, "images" },
		{ model.duplicates, "of them of bytes that were there" },
		{ model.deleted, "deleted" },
		{ model.resumed, "uploads resumed" },
		{ model.expired, "expired" },
		{ model.swept, "blobs swept" },
		{ model.restarts, "restarts" },
		{ model.crashes, "crashes" },
	};

	(void)printf("seed %" PRIu64 ": %" PRIu64 " operations", model.seed, operations);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		(void)printf(", %" PRIu64 " %s", counts[i].count, counts[i].what);
	(void)printf("; %.1f s of processor time\n", (double)clock() / CLOCKS_PER_SEC);
}

int main(int count, char **arguments)
{
	const char *is_long = getenv("CALOTYPE_LONG");
	uint64_t seed = (uint64_t)ct_clock_wall_ms();
	uint64_t operations = is_long != NULL && strcmp(is_long, "1") == 0 ? 1000000 : 100000;
	struct world world;

	if (!parse_arguments(count, arguments, &seed, &operations)) {
		(void)fprintf(stderr, "usage: model [--seed S] [--operations N]\n");
		return 2;
	}
	ct_log_set_level(CT_LOG_ERROR);
	(void)signal(SIGABRT, aborted);
	model_init(&model, seed);
	model.now_ms = ct_clock_wall_ms() / MODEL_DAY_MS * MODEL_DAY_MS;
	int r = world_open(&world, CAPACITY_BYTES, MODEL_EXPIRY_MS);
	MODEL_EXPECT(&model, r == 0, "%d", r);
	while (model.operation < operations) {
		model.operation++;
		operation_run(&model, &world);
		if (model.operation % AUDIT_EVERY == 0 || model.operation == operations)
			audit_all(&model, &world);
	}
	operation_end(&model, &world);
	world_close(&world);
	report(operations);
	model_done(&model);
	return 0;
}
