#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void ct_assert_failed(
    const char *condition, const char *file, int line, const char *function)
{
	/* dprintf takes no lock of stdio that this thread might hold; its failure changes nothing.
	 */
	(void)dprintf(
	    STDERR_FILENO, "assertion failed: %s, %s:%d, %s\n", condition, file, line, function);
	abort();
}
