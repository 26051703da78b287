#include "tests/sim/raft/coverage.h"

const char *coverage_text(enum coverage c)
{
    static const char *const texts[] = {
#define X(name, required, text) text,
        COVERAGE_LIST(X)
#undef X
    };
    return texts[c];
}

bool coverage_required(enum coverage c)
{
    static const bool required_of[] = {
#define X(name, required, text) required,
        COVERAGE_LIST(X)
#undef X
    };
    return required_of[c];
}
