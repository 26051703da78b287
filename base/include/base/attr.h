/* Compiler attributes the rest of the code leans on (gcc and clang). */
#ifndef WARREN_BASE_ATTR_H
#define WARREN_BASE_ATTR_H

/* A result that must be looked at. */
#define MUST_CHECK __attribute__((warn_unused_result))
/* printf-like: FORMAT_AT is the 1-based position of the format, FIRST of its first argument (0: a
 * va_list). */
#define PRINTF_LIKE(format_at, first) __attribute__((__format__(__printf__, format_at, first)))
#define UNUSED                        __attribute__((unused))

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
