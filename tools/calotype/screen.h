/*
 * What is printed. Results go to standard output, messages to standard error. When standard error
 * is a terminal, a few live lines stand at its bottom and are drawn anew, at most ten times a
 * second; whatever is printed goes above them. Everything given here must be escaped. The main
 * thread only.
 */
#ifndef CT_CLI_SCREEN_H
#define CT_CLI_SCREEN_H

#include "base/buffer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CT_SCREEN_MAX_LIVE 8
#define CT_SCREEN_LINE_MAX 16384

struct ct_screen {
	bool live;	  /* standard error is a terminal that can move its cursor */
	bool shares;	  /* and standard output is one too */
	bool quiet;	  /* no plain lines: JSON is printed */
	bool broken;	  /* standard output can't be written; told once */
	int64_t drawn_ms; /* when last */
	size_t line_count;
	size_t columns[CT_SCREEN_MAX_LIVE]; /* of each live line as it was drawn */
};

void ct_screen_init(struct ct_screen *screen, bool json);

/* One line on standard output. False when it can't be written (a closed pipe). */
bool ct_screen_print(struct ct_screen *screen, const char *line);

/* One line on standard output, for people who have no bars and no JSON. */
void ct_screen_plain(struct ct_screen *screen, const char *format, ...) ct_printf(2, 3);

/* "calotype: ..." on standard error. */
void ct_screen_complain(struct ct_screen *screen, const char *format, ...) ct_printf(2, 3);

/* Is it time to draw? Makes building lines in vain unnecessary. */
bool ct_screen_is_due(const struct ct_screen *screen);

/* How wide a live line may be now: the terminal may have been resized. */
size_t ct_screen_columns(void);

/* Replaces the live lines; more than the maximum are left out. */
void ct_screen_draw(struct ct_screen *screen, const struct ct_buffer *lines, size_t count);

/* Takes the live lines away. */
void ct_screen_clear(struct ct_screen *screen);

#endif
