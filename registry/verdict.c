#include "registry/verdict.h"

/* Switches and no table: a table of pointers is a variable of a pure library, to the linker. */

enum grpc_code verdict_code(enum verdict v)
{
    switch (v) {
#define X(name, code, text)                                                                        \
    case name:                                                                                     \
        return code;
        VERDICT_LIST(X)
#undef X
    }
    return GRPC_UNKNOWN;
}

const char *verdict_text(enum verdict v)
{
    switch (v) {
#define X(name, code, text)                                                                        \
    case name:                                                                                     \
        return text;
        VERDICT_LIST(X)
#undef X
    }
    return "unknown verdict";
}
