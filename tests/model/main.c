/*
 * A model check: random operations on uploads and images through the real interfaces, over a store
 * in memory and a real database, against a plain model of what must hold (model.h). The same seed
 * gives the same operations; a failure prints both numbers.
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

int main(int count, char **arguments)
{
	uint64_t seed = (uint64_t)ct_clock_wall_ms(), operations = 100000;
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
	(void)printf("%" PRIu64 " operations, seed %" PRIu64 ": %" PRIu64 " images, %" PRIu64
		     " of bytes that were there, %" PRIu64 " deleted; %" PRIu64
		     " uploads resumed, %" PRIu64 " expired; %" PRIu64 " blobs swept; %" PRIu64
		     " restarts, %" PRIu64 " crashes; %.1f s of processor time\n",
	    operations, seed, model.finished, model.duplicates, model.deleted, model.resumed,
	    model.expired, model.swept, model.restarts, model.crashes,
	    (double)clock() / CLOCKS_PER_SEC);
	model_done(&model);
	return 0;
}
