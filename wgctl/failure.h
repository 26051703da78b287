/* The one line that wgctl_error gives: what was being done and what went wrong. */
#ifndef WARREN_WGCTL_FAILURE_H
#define WARREN_WGCTL_FAILURE_H

#include "base/attr.h"
#include "base/err.h"
#include "wgctl/device.h"

struct failure {
    char text[WGCTL_ERROR_TEXT_SIZE]; /* cut at the end if it does not fit */
};

/* Sets the line and returns ERROR, so that a failing step is one statement. */
enum err fail(struct failure *why, enum err error, const char *format, ...) PRINTF_LIKE(3, 4);

#endif
