#include "screen.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/slice.h"
#include "format.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DRAW_EVERY_MS 100
#define DEFAULT_COLUMNS 80
#define MAX_COLUMNS 500
#define RIGHT_MARGIN 3
#define MAX_FRAME_BYTES (64u << 10)

static bool can_move_cursor(void)
{
	const char *terminal = getenv("TERM");
	return isatty(STDERR_FILENO) && terminal != NULL && terminal[0] != '\0' &&
	       strcmp(terminal, "dumb") != 0;
}

void ct_screen_init(struct ct_screen *screen, bool json)
{
	*screen = (struct ct_screen){
		.live = can_move_cursor(),
		.shares = isatty(STDOUT_FILENO),
		.quiet = json,
	};
}

size_t ct_screen_columns(void)
{
	struct winsize size;
	size_t columns = DEFAULT_COLUMNS;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		columns = size.ws_col;
	if (columns > MAX_COLUMNS)
		columns = MAX_COLUMNS;
	/* A full line would make some terminals wrap, and so would the ^C that they echo behind it.
	 */
	return columns > RIGHT_MARGIN ? columns - RIGHT_MARGIN : 1;
}

/*
 * Brings the cursor to the first live line and clears from there. A terminal that became narrower
 * has broken the lines into several.
 */
static void append_erase(const struct ct_screen *screen, struct ct_buffer *frame)
{
	size_t width = ct_screen_columns() + RIGHT_MARGIN;
	size_t rows = 0;
	for (size_t i = 0; i < screen->line_count; i++)
		rows += screen->columns[i] > width ? (screen->columns[i] + width - 1) / width : 1;
	if (rows == 0)
		return;
	if (rows > 1)
		ct_buffer_printf(frame, "\033[%zuA", rows - 1);
	ct_buffer_append_string(frame, "\r\033[J");
}

/* The terminal may be gone; then there is nobody to tell. */
static void show(const struct ct_buffer *frame)
{
	if (ct_buffer_error(frame) == 0)
		(void)ct_file_write_all(STDERR_FILENO, frame->data, frame->length);
}

void ct_screen_clear(struct ct_screen *screen)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer frame;
	ct_buffer_init(&frame, MAX_FRAME_BYTES);
	append_erase(screen, &frame);
	show(&frame);
	screen->line_count = 0;
	screen->drawn_ms = 0;
}

bool ct_screen_is_due(const struct ct_screen *screen)
{
	return screen->live && ct_clock_monotonic_ms() - screen->drawn_ms >= DRAW_EVERY_MS;
}

void ct_screen_draw(struct ct_screen *screen, const struct ct_buffer *lines, size_t count)
{
	ct_cleanup(ct_buffer_done) struct ct_buffer frame;
	ct_buffer_init(&frame, MAX_FRAME_BYTES);
	if (!screen->live)
		return;
	append_erase(screen, &frame);
	screen->line_count = 0;
	for (size_t i = 0; i < count && i < CT_SCREEN_MAX_LIVE; i++) {
		struct ct_slice line = { lines[i].data, lines[i].length };
		if (i > 0)
			ct_buffer_append(&frame, "\n", 1);
		ct_buffer_append(&frame, line.data, line.length);
		screen->columns[screen->line_count++] = ct_text_columns(line);
	}
	show(&frame);
	screen->drawn_ms = ct_clock_monotonic_ms();
}

bool ct_screen_print(struct ct_screen *screen, const char *line)
{
	if (screen->shares)
		ct_screen_clear(screen);
	/* Flushed, so that lines of both outputs keep their order, and each is there when told. */
	return puts(line) >= 0 && fflush(stdout) == 0;
}

void ct_screen_plain(struct ct_screen *screen, const char *format, ...)
{
	va_list arguments;
	if (screen->live || screen->quiet)
		return;
	va_start(arguments, format);
	/* An output that fails is noticed at the end. */
	(void)vprintf(format, arguments);
	va_end(arguments);
	(void)putchar('\n');
	(void)fflush(stdout);
}

void ct_screen_complain(struct ct_screen *screen, const char *format, ...)
{
	va_list arguments;
	ct_screen_clear(screen);
	va_start(arguments, format);
	/* There is nowhere else to complain. */
	(void)fputs("calotype: ", stderr);
	(void)vfprintf(stderr, format, arguments);
	va_end(arguments);
	(void)fputc('\n', stderr);
}
