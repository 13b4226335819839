#include "imaging/worker/hooks.h"
#include "imaging/worker/limits.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EATEN_BYTES (16u << 20)

static void eat_memory(void)
{
	for (;;) {
		/* Never used, never freed: the limit on address space ends this. */
		volatile char *piece = g_malloc(EATEN_BYTES);
		*piece = 1;
	}
}

static void lie(struct ct_worker_reply *reply)
{
	memset(reply, 'x', sizeof(*reply));
	reply->version = CT_WORKER_PROTOCOL_VERSION;
	reply->status = 0;
}

bool ct_hook_run(const struct ct_worker_request *request, struct ct_worker_reply *ret_reply)
{
	const char *type = request->type;
	const char *value = getenv(CT_WORKER_TEST_VARIABLE);
	if (value == NULL || strcmp(value, "1") != 0)
		return false;
	/* As for an image; if it fails, a test that waits for the limit will tell. */
	(void)ct_limits_arm(request->memory_bytes, 0, request->max_print_bytes, request->cpu_s);
	if (strcmp(type, "test/crash") == 0)
		__builtin_trap();
	if (strcmp(type, "test/abort") == 0)
		abort();
	if (strcmp(type, "test/exit") == 0)
		_exit(1);
	if (strcmp(type, "test/memory") == 0)
		eat_memory();
	while (strcmp(type, "test/hang") == 0)
		(void)pause(); /* whatever woke it */
	for (volatile bool spins = strcmp(type, "test/spin") == 0; spins;)
		;
	if (strcmp(type, "test/lie") != 0)
		return false;
	lie(ret_reply);
	return true;
}
