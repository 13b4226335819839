/*
 * From what libvips and GLib say when they fail to a code and one line for the owner of the image.
 */
#ifndef CT_WORKER_FAILURE_H
#define CT_WORKER_FAILURE_H

#include "imaging/protocol.h"

/*
 * Before anything else of GLib: its warnings about hostile bytes are dropped, and running out of
 * memory, where GLib would abort, ends the process with CT_WORKER_EXIT_MEMORY.
 */
void ct_failure_install(void);

/*
 * Takes the error that libvips has collected. CT_ERROR_WORKER_MEMORY or
 * CT_ERROR_UNDECODABLE_IMAGE.
 */
int ct_failure_take(char ret_message[CT_WORKER_MESSAGE_BYTES]);

#endif
