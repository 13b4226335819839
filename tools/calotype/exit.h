/*
 * How the program ends; documented in calotype(1) and in --help. Any thread.
 */
#ifndef CT_CLI_EXIT_H
#define CT_CLI_EXIT_H

enum ct_exit {
	CT_EXIT_OK = 0,
	CT_EXIT_FAILED = 1, /* some were refused, or their job failed */
	CT_EXIT_USAGE = 2,
	CT_EXIT_UNREACHABLE = 3,  /* after all retries; the same command continues later */
	CT_EXIT_AUTH = 4,	  /* no key, or one that may not do this */
	CT_EXIT_INTERRUPTED = 130 /* by a signal; the same command continues later */
};

/* The one to tell when both have happened: interrupted, auth, unreachable, failed, ok. */
enum ct_exit ct_exit_worse(enum ct_exit a, enum ct_exit b);

/* True for those after which going on with further files is pointless. */
static inline int ct_exit_is_end(enum ct_exit code)
{
	return code != CT_EXIT_OK && code != CT_EXIT_FAILED;
}

#endif
