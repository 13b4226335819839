#include "exit.h"

static int rank(enum ct_exit code)
{
	switch (code) {
	case CT_EXIT_OK: return 0;
	case CT_EXIT_FAILED: return 1;
	case CT_EXIT_USAGE: return 2;
	case CT_EXIT_UNREACHABLE: return 3;
	case CT_EXIT_AUTH: return 4;
	case CT_EXIT_INTERRUPTED: return 5;
	}
	return 5;
}

enum ct_exit ct_exit_worse(enum ct_exit a, enum ct_exit b)
{
	return rank(a) >= rank(b) ? a : b;
}
