/*
 * libmicrohttpd's own reader of forms. It wants a connection to read the Content-Type from: one is
 * opened once, on a socket pair, and never answered.
 */
#ifndef CT_TESTS_FUZZ_MHD_ORACLE_H
#define CT_TESTS_FUZZ_MHD_ORACLE_H

#include <stddef.h>

#define ORACLE_BOUNDARY "AaB03x"

/* A part, or more bytes of the last one when `offset` is not 0; `filename` may be NULL. */
typedef void (*oracle_part_fn)(void *arg, const char *name, const char *filename, const char *data,
    size_t offset, size_t length);

/* Reads the whole body, in pieces of `step` bytes. */
void oracle_read(const void *body, size_t length, size_t step, oracle_part_fn part, void *arg);

#endif
