#include "dnsd/query.h"

#include <stdio.h>

void query_write(struct query *q, struct dns_message *reply)
{
    q->writer->write(q->writer, q, reply);
}

int handler_next(struct handler *self, struct query *q)
{
    if (self->next != NULL)
        return self->next->serve(self->next, q);
    static const char format[] = "plugin/%s: no next plugin found";
    size_t size = sizeof(format) + strlen(self->name);
    char *text = arena_alloc(q->arena, size);
    if (text != NULL)
        snprintf(text, size, format, self->name);
    q->error = text;
    return DNS_RCODE_SERVFAIL;
}
