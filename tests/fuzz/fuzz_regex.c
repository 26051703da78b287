/* `errors`' expressions: the translation of RE2's syntax, and PCRE2 on what it gives. The text up
 * to the first NUL is the expression, the rest is matched against it. */
#include "dnsd/directive/regex.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct strbuf why = STRBUF_EMPTY;
    struct regex *r;
    char *text = calloc(1, size + 2); /* at least two strings */
    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    if (regex_create(&r, text, &why) == OK) {
        regex_match(r, text + strlen(text) + (strlen(text) < size));
        regex_destroy(r);
    }
    strbuf_fini(&why);
    free(text);
    return 0;
}
