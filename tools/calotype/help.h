/*
 * What --help prints.
 */
#ifndef CT_CLI_HELP_H
#define CT_CLI_HELP_H

#include "options.h"

/* The whole program's for CT_COMMAND_NONE. Static. */
const char *ct_help_text(enum ct_command command);

#endif
