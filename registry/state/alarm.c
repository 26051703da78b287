/* Alarms: few, in a sorted array. */
#include "registry/state/internal.h"

#include <stdlib.h>
#include <string.h>

static size_t place_for(const struct state *s, struct alarm alarm)
{
    size_t i = 0;
    while (i < s->alarm_count &&
           (s->alarms[i].member < alarm.member ||
            (s->alarms[i].member == alarm.member && s->alarms[i].type < alarm.type)))
        i++;
    return i;
}

const struct alarm *alarm_find(const struct state *s, struct alarm alarm)
{
    size_t i = place_for(s, alarm);
    bool found = i < s->alarm_count && s->alarms[i].member == alarm.member &&
                 s->alarms[i].type == alarm.type;
    return found ? &s->alarms[i] : NULL;
}

bool alarm_is_raised(const struct state *s, enum alarm_type type)
{
    for (size_t i = 0; i < s->alarm_count; i++) {
        if (s->alarms[i].type == type)
            return true;
    }
    return false;
}

enum err alarm_raise(struct state *s, struct alarm alarm)
{
    if (s->alarm_count == s->alarm_capacity) {
        size_t capacity = s->alarm_capacity > 0 ? 2 * s->alarm_capacity : 4;
        struct alarm *grown = realloc(s->alarms, capacity * sizeof(*grown));
        if (grown == NULL)
            return ERR_NO_MEMORY;
        s->alarms = grown;
        s->alarm_capacity = capacity;
    }
    size_t i = place_for(s, alarm);
    memmove(&s->alarms[i + 1], &s->alarms[i], (s->alarm_count - i) * sizeof(s->alarms[0]));
    s->alarms[i] = alarm;
    s->alarm_count++;
    return OK;
}

bool alarm_clear(struct state *s, struct alarm alarm)
{
    const struct alarm *found = alarm_find(s, alarm);
    if (found == NULL)
        return false;
    size_t i = (size_t)(found - s->alarms);
    s->alarm_count--;
    memmove(&s->alarms[i], &s->alarms[i + 1], (s->alarm_count - i) * sizeof(s->alarms[0]));
    return true;
}

size_t state_alarms(const struct state *s, const struct alarm **out)
{
    *out = s->alarms;
    return s->alarm_count;
}
