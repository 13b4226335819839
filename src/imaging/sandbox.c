#include "imaging/sandbox.h"
#include "base/assert.h"

#include <stddef.h>
#include <stdio.h>

static const struct {
	const char *name;
	const char *text;
} layers[CT_SANDBOX_LAYERS] = {
	[CT_SANDBOX_NO_NEW_PRIVILEGES] = { "no_new_privileges",
	    "no program that it starts has more rights" },
	[CT_SANDBOX_NO_CAPABILITIES] = { "no_capabilities", "nothing of root's power is left" },
	[CT_SANDBOX_DESCRIPTORS] = { "descriptors", "no more than 32 files open" },
	[CT_SANDBOX_MEMORY] = { "memory", "no more address space than --worker-memory" },
	[CT_SANDBOX_FILE_SIZE] = { "file_size", "no print larger than its limit" },
	[CT_SANDBOX_CPU_TIME] = { "cpu_time", "no more processor time than --worker-deadline" },
	[CT_SANDBOX_LANDLOCK] = { "landlock", "no file can be opened" },
	[CT_SANDBOX_SECCOMP] = { "seccomp",
	    "open, socket, execve, fork, kill and ptrace are refused" },
};

const char *ct_sandbox_name(enum ct_sandbox_layer layer)
{
	CT_ASSERT(layer < CT_SANDBOX_LAYERS);
	return layers[layer].name;
}

const char *ct_sandbox_text(enum ct_sandbox_layer layer)
{
	CT_ASSERT(layer < CT_SANDBOX_LAYERS);
	return layers[layer].text;
}

void ct_sandbox_list(unsigned set, char ret_list[CT_SANDBOX_LIST_BYTES])
{
	int at = snprintf(ret_list, CT_SANDBOX_LIST_BYTES, "%s", set == 0 ? "none" : "");
	for (unsigned i = 0; i < CT_SANDBOX_LAYERS; i++) {
		if ((set & CT_SANDBOX_BIT(i)) == 0)
			continue;
		at += snprintf(ret_list + at, CT_SANDBOX_LIST_BYTES - (size_t)at, "%s%s",
		    at > 0 ? "," : "", layers[i].name);
		CT_ASSERT(at < CT_SANDBOX_LIST_BYTES);
	}
}
