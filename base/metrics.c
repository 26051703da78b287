#include "base/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CACHE_LINE_SIZE = 64,
    CELLS_PER_LINE = CACHE_LINE_SIZE / sizeof(uint64_t),
    /* Counters and histograms keep their cells this often, each on cache lines of its own, so that
     * workers that count the same thing do not pull one line back and forth. */
    SHARD_COUNT = 8,
    FIRST_SERIES_CAPACITY = 16, /* a power of two */
    DOUBLE_DIGITS = 17,         /* enough for any double */
};

/* A shard's cells. The sum is the bit pattern of a double: a histogram's sum, a gauge's value, or
 * the part of a counter that did not come in whole steps. */
enum {
    CELL_SUM = 0,
    CELL_COUNT = 1,  /* counter: whole steps */
    CELL_BUCKET = 1, /* histogram: the first bucket; the one after the last bound is +Inf */
};

struct metric_series {
    struct metric_family *family;
    uint64_t hash;
    char *values[METRIC_MAX_LABELS]; /* in the order of the family's sorted labels */
    alignas(CACHE_LINE_SIZE) _Atomic uint64_t cells[];
};

struct metric_family {
    enum metric_kind kind;
    char *name;
    char *help;
    size_t label_count;
    char *labels[METRIC_MAX_LABELS];        /* sorted, as the exposition has them */
    uint8_t given_index[METRIC_MAX_LABELS]; /* where the caller gives the value of labels[i] */
    size_t bucket_count;
    double buckets[METRIC_MAX_BUCKETS];
    size_t shard_count;
    size_t shard_cells; /* whole cache lines */

    pthread_rwlock_t lock;        /* of all that follows; never of the cells */
    struct metric_series **table; /* open addressing by hash, NULL is free */
    size_t capacity;              /* a power of two, or 0 */
    size_t count;
};

struct metrics {
    pthread_mutex_t lock;
    struct metric_family **families; /* sorted by name */
    size_t count;
    size_t capacity;
};

/* Updates */

static unsigned this_shard(void)
{
    static atomic_uint next;
    static _Thread_local unsigned shard_plus_one;

    if (shard_plus_one == 0)
        shard_plus_one =
            atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % SHARD_COUNT + 1;
    return shard_plus_one - 1;
}

static _Atomic uint64_t *shard_cells(struct metric_series *s)
{
    size_t shard = s->family->shard_count > 1 ? this_shard() : 0;

    return &s->cells[shard * s->family->shard_cells];
}

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double double_of(uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Whether VALUE is one of the numbers 0 to 2^53 - 1, which doubles hold exactly. */
static bool is_whole(double value)
{
    return value >= 0 && value < 0x1p53 && value == (double)(uint64_t)value;
}

static void add_double(_Atomic uint64_t *cell, double amount)
{
    uint64_t old = atomic_load_explicit(cell, memory_order_relaxed);

    while (!atomic_compare_exchange_weak_explicit(cell, &old, bits_of(double_of(old) + amount),
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

void metric_inc(struct metric_series *s)
{
    assert(s->family->kind == METRIC_COUNTER);
    atomic_fetch_add_explicit(&shard_cells(s)[CELL_COUNT], 1, memory_order_relaxed);
}

void metric_add(struct metric_series *s, double amount)
{
    assert(s->family->kind != METRIC_HISTOGRAM);
    assert(s->family->kind == METRIC_GAUGE || amount >= 0);
    if (s->family->kind == METRIC_COUNTER && is_whole(amount))
        atomic_fetch_add_explicit(&shard_cells(s)[CELL_COUNT], (uint64_t)amount,
                                  memory_order_relaxed);
    else
        add_double(&shard_cells(s)[CELL_SUM], amount);
}

void metric_set(struct metric_series *s, double value)
{
    assert(s->family->kind == METRIC_GAUGE);
    atomic_store_explicit(&s->cells[CELL_SUM], bits_of(value), memory_order_relaxed);
}

void metric_raise(struct metric_series *s, double value)
{
    assert(s->family->kind == METRIC_COUNTER);
    uint64_t old = atomic_load_explicit(&s->cells[CELL_SUM], memory_order_relaxed);
    while (value > double_of(old) &&
           !atomic_compare_exchange_weak_explicit(&s->cells[CELL_SUM], &old, bits_of(value),
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

void metric_observe(struct metric_series *s, double value)
{
    const struct metric_family *f = s->family;
    _Atomic uint64_t *cells = shard_cells(s);
    size_t bucket = 0;

    assert(f->kind == METRIC_HISTOGRAM);
    while (bucket < f->bucket_count && !(value <= f->buckets[bucket])) /* NaN goes to +Inf */
        bucket++;
    atomic_fetch_add_explicit(&cells[CELL_BUCKET + bucket], 1, memory_order_relaxed);
    add_double(&cells[CELL_SUM], value);
}

static double sum_of(const struct metric_series *s)
{
    double sum = 0;

    for (size_t i = 0; i < s->family->shard_count; i++)
        sum += double_of(atomic_load_explicit(&s->cells[i * s->family->shard_cells + CELL_SUM],
                                              memory_order_relaxed));
    return sum;
}

static uint64_t count_of(const struct metric_series *s, size_t cell)
{
    uint64_t count = 0;

    for (size_t i = 0; i < s->family->shard_count; i++)
        count += atomic_load_explicit(&s->cells[i * s->family->shard_cells + cell],
                                      memory_order_relaxed);
    return count;
}

double metric_value(const struct metric_series *s)
{
    uint64_t count = 0;

    switch (s->family->kind) {
    case METRIC_COUNTER:
        return sum_of(s) + (double)count_of(s, CELL_COUNT);
    case METRIC_GAUGE:
        return sum_of(s);
    case METRIC_HISTOGRAM:
        for (size_t i = 0; i <= s->family->bucket_count; i++)
            count += count_of(s, CELL_BUCKET + i);
        return (double)count;
    }
    return 0;
}

/* Series */

/* The size of the well-formed UTF-8 character at TEXT (RFC 3629), 0 if there is none. */
static size_t utf8_size(const char *text)
{
    const uint8_t *b = (const uint8_t *)text;
    uint8_t low = 0x80, high = 0xbf; /* of the second byte */
    size_t size;

    if (b[0] < 0x80)
        return 1;
    if (b[0] < 0xc2 || b[0] > 0xf4)
        return 0;
    size = b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
    if (b[0] == 0xe0)
        low = 0xa0;
    else if (b[0] == 0xed)
        high = 0x9f;
    else if (b[0] == 0xf0)
        low = 0x90;
    else if (b[0] == 0xf4)
        high = 0x8f;
    for (size_t i = 1; i < size; i++) { /* the NUL ends this too */
        if (b[i] < low || b[i] > high)
            return 0;
        low = 0x80;
        high = 0xbf;
    }
    return size;
}

/* A copy of VALUE with each byte that is no UTF-8 replaced by U+FFFD: one bad byte would make a
 * scraper refuse the whole exposition. */
static char *valid_utf8(const char *value)
{
    struct strbuf copy = STRBUF_EMPTY;

    while (*value) {
        size_t size = utf8_size(value);
        if (size > 0)
            strbuf_add(&copy, value, size);
        else
            strbuf_add_str(&copy, "\xef\xbf\xbd");
        value += size > 0 ? size : 1;
    }
    return strbuf_take(&copy);
}

/* FNV-1a over the values in sorted-label order, each with its NUL. */
static uint64_t hash_values(const struct metric_family *f, const char *const *sorted)
{
    uint64_t hash = 0xcbf29ce484222325;

    for (size_t i = 0; i < f->label_count; i++) {
        const char *at = sorted[i];
        do {
            hash = (hash ^ (uint8_t)*at) * 0x100000001b3;
        } while (*at++);
    }
    return hash;
}

static bool same_values(const struct metric_series *s, const char *const *sorted)
{
    for (size_t i = 0; i < s->family->label_count; i++) {
        if (strcmp(s->values[i], sorted[i]) != 0)
            return false;
    }
    return true;
}

/* Caller holds the lock, either way. */
static struct metric_series *find_series(const struct metric_family *f, const char *const *sorted,
                                         uint64_t hash)
{
    if (f->capacity == 0)
        return NULL;
    for (size_t at = hash & (f->capacity - 1);; at = (at + 1) & (f->capacity - 1)) {
        struct metric_series *s = f->table[at];
        if (!s || (s->hash == hash && same_values(s, sorted)))
            return s;
    }
}

static void place_series(struct metric_series **table, size_t capacity, struct metric_series *s)
{
    size_t at = s->hash & (capacity - 1);

    while (table[at])
        at = (at + 1) & (capacity - 1);
    table[at] = s;
}

/* Keeps the table at most half full, so that every search ends soon. */
static bool grow_table(struct metric_family *f)
{
    size_t capacity = f->capacity ? f->capacity * 2 : FIRST_SERIES_CAPACITY;

    if (f->count < f->capacity / 2)
        return true;
    struct metric_series **table = calloc(capacity, sizeof(struct metric_series *));
    if (!table)
        return false;
    for (size_t i = 0; i < f->capacity; i++) {
        if (f->table[i])
            place_series(table, capacity, f->table[i]);
    }
    free(f->table);
    f->table = table;
    f->capacity = capacity;
    return true;
}

static void free_series(struct metric_series *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->family->label_count; i++)
        free(s->values[i]);
    free(s);
}

static struct metric_series *create_series(struct metric_family *f, const char *const *sorted,
                                           uint64_t hash)
{
    size_t cell_count = f->shard_count * f->shard_cells;
    size_t size = sizeof(struct metric_series) + cell_count * sizeof(uint64_t);
    struct metric_series *s = aligned_alloc(CACHE_LINE_SIZE, size);

    if (!s)
        return NULL;
    memset(s, 0, sizeof *s);
    s->family = f;
    s->hash = hash;
    for (size_t i = 0; i < cell_count; i++)
        atomic_init(&s->cells[i], 0);
    for (size_t i = 0; i < f->label_count; i++) {
        s->values[i] = strdup(sorted[i]);
        if (!s->values[i]) {
            free_series(s);
            return NULL;
        }
    }
    return s;
}

/* The series with these values, already clean UTF-8; made unless LIMIT series are there. NULL then,
 * and without memory. Caller holds the lock for writing. */
static struct metric_series *find_or_create(struct metric_family *f, const char *const *sorted,
                                            size_t limit)
{
    uint64_t hash = hash_values(f, sorted);
    struct metric_series *s = find_series(f, sorted, hash);

    if (s || f->count >= limit || !grow_table(f))
        return s;
    s = create_series(f, sorted, hash);
    if (s) {
        place_series(f->table, f->capacity, s);
        f->count++;
    }
    return s;
}

static struct metric_series *overflow_series(struct metric_family *f)
{
    const char *values[METRIC_MAX_LABELS];

    for (size_t i = 0; i < METRIC_MAX_LABELS; i++)
        values[i] = METRIC_OVERFLOW_VALUE;
    return find_or_create(f, values, SIZE_MAX);
}

static struct metric_series *make_series(struct metric_family *f, const char *const *sorted)
{
    const char *clean[METRIC_MAX_LABELS];
    char *copies[METRIC_MAX_LABELS] = {NULL};
    struct metric_series *s = NULL;
    bool ok = true;

    for (size_t i = 0; i < f->label_count; i++) {
        copies[i] = valid_utf8(sorted[i]);
        clean[i] = copies[i];
        ok = ok && copies[i];
    }
    if (ok) {
        pthread_rwlock_wrlock(&f->lock);
        s = find_or_create(f, clean, METRIC_MAX_SERIES);
        if (!s && f->count >= METRIC_MAX_SERIES)
            s = overflow_series(f);
        pthread_rwlock_unlock(&f->lock);
    }
    for (size_t i = 0; i < f->label_count; i++)
        free(copies[i]);
    return s;
}

struct metric_series *metric_series(struct metric_family *f, const char *const *values)
{
    const char *sorted[METRIC_MAX_LABELS];
    struct metric_series *s;

    for (size_t i = 0; i < f->label_count; i++)
        sorted[i] = values[f->given_index[i]];
    pthread_rwlock_rdlock(&f->lock);
    s = find_series(f, sorted, hash_values(f, sorted));
    pthread_rwlock_unlock(&f->lock);
    return s ? s : make_series(f, sorted);
}

void metric_family_clear(struct metric_family *f)
{
    pthread_rwlock_wrlock(&f->lock);
    for (size_t i = 0; i < f->capacity; i++) {
        free_series(f->table[i]);
        f->table[i] = NULL;
    }
    f->count = 0;
    pthread_rwlock_unlock(&f->lock);
}

static bool is_overflow(const struct metric_series *s)
{
    for (size_t i = 0; i < s->family->label_count; i++)
        if (strcmp(s->values[i], METRIC_OVERFLOW_VALUE) != 0)
            return false;
    return s->family->label_count > 0;
}

/* Closes the gap at AT of the table: no search may end there for what lies behind. */
static void close_gap(struct metric_family *f, size_t at)
{
    size_t mask = f->capacity - 1;

    for (size_t next = (at + 1) & mask; f->table[next]; next = (next + 1) & mask) {
        size_t home = f->table[next]->hash & mask;
        if (((next - home) & mask) >= ((next - at) & mask)) {
            f->table[at] = f->table[next];
            at = next;
        }
    }
    f->table[at] = NULL;
}

void metric_series_remove(struct metric_series *s)
{
    if (!s)
        return;
    struct metric_family *f = s->family;
    pthread_rwlock_wrlock(&f->lock);
    if (!is_overflow(s)) {
        size_t at = s->hash & (f->capacity - 1);
        while (f->table[at] != s)
            at = (at + 1) & (f->capacity - 1);
        close_gap(f, at);
        f->count--;
        free_series(s);
    }
    pthread_rwlock_unlock(&f->lock);
}

/* Families */

static void free_family(struct metric_family *f)
{
    for (size_t i = 0; i < f->capacity; i++)
        free_series(f->table[i]);
    free(f->table);
    for (size_t i = 0; i < f->label_count; i++)
        free(f->labels[i]);
    free(f->name);
    free(f->help);
    pthread_rwlock_destroy(&f->lock);
    free(f);
}

/* Copies the labels in sorted order. False without memory: those copied are in place to be freed.
 */
static bool set_labels(struct metric_family *f, const char *const *labels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *copy = strdup(labels[i]);
        size_t at = i;
        if (!copy)
            return false;
        for (; at > 0 && strcmp(f->labels[at - 1], copy) > 0; at--) {
            f->labels[at] = f->labels[at - 1];
            f->given_index[at] = f->given_index[at - 1];
        }
        f->labels[at] = copy;
        f->given_index[at] = (uint8_t)i;
        f->label_count = i + 1;
    }
    return true;
}

static void set_shape(struct metric_family *f, const double *buckets, size_t bucket_count)
{
    size_t cells = 2;

    for (size_t i = 0; i < bucket_count; i++) {
        assert(i == 0 || buckets[i - 1] < buckets[i]);
        f->buckets[i] = buckets[i];
    }
    f->bucket_count = bucket_count;
    if (f->kind == METRIC_HISTOGRAM)
        cells = CELL_BUCKET + bucket_count + 1;
    f->shard_count = f->kind == METRIC_GAUGE ? 1 : SHARD_COUNT;
    f->shard_cells = (cells + CELLS_PER_LINE - 1) / CELLS_PER_LINE * CELLS_PER_LINE;
}

/* Where NAME stands or belongs in the sorted list. */
static size_t family_index(const struct metrics *m, const char *name)
{
    size_t low = 0, high = m->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(m->families[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool insert_family(struct metrics *m, size_t index, struct metric_family *f)
{
    if (m->count == m->capacity) {
        size_t capacity = m->capacity ? m->capacity * 2 : 16;
        struct metric_family **families =
            reallocarray(m->families, capacity, sizeof(struct metric_family *));
        if (!families)
            return false;
        m->families = families;
        m->capacity = capacity;
    }
    memmove(&m->families[index + 1], &m->families[index],
            (m->count - index) * sizeof(struct metric_family *));
    m->families[index] = f;
    m->count++;
    return true;
}

/* The registered family must be the one that the caller describes. */
static void check_agreement(const struct metric_family *f, enum metric_kind kind,
                            const char *const *labels, size_t label_count, const double *buckets,
                            size_t bucket_count)
{
    assert(f->kind == kind);
    assert(f->label_count == label_count);
    for (size_t i = 0; i < label_count; i++)
        assert(strcmp(f->labels[i], labels[f->given_index[i]]) == 0);
    assert(f->bucket_count == bucket_count);
    for (size_t i = 0; i < bucket_count; i++)
        assert(bits_of(f->buckets[i]) == bits_of(buckets[i]));
}

struct metric_family *metrics_family(struct metrics *m, enum metric_kind kind, const char *name,
                                     const char *help, const char *const *labels,
                                     size_t label_count, const double *buckets, size_t bucket_count)
{
    struct metric_family *f;
    size_t index;

    assert(label_count <= METRIC_MAX_LABELS && bucket_count <= METRIC_MAX_BUCKETS);
    assert(bucket_count == 0 || kind == METRIC_HISTOGRAM);
    pthread_mutex_lock(&m->lock);
    index = family_index(m, name);
    if (index < m->count && strcmp(m->families[index]->name, name) == 0) {
        f = m->families[index];
        check_agreement(f, kind, labels, label_count, buckets, bucket_count);
        pthread_mutex_unlock(&m->lock);
        return f;
    }
    f = calloc(1, sizeof *f);
    if (f) {
        f->kind = kind;
        pthread_rwlock_init(&f->lock, NULL);
        f->name = strdup(name);
        f->help = strdup(help);
        set_shape(f, buckets, bucket_count);
        if (!f->name || !f->help || !set_labels(f, labels, label_count) ||
            !insert_family(m, index, f)) {
            free_family(f);
            f = NULL;
        }
    }
    pthread_mutex_unlock(&m->lock);
    return f;
}

struct metric_series *metrics_single(struct metrics *m, enum metric_kind kind, const char *name,
                                     const char *help)
{
    struct metric_family *f = metrics_family(m, kind, name, help, NULL, 0, NULL, 0);
    return f ? metric_series(f, NULL) : NULL;
}

enum err metrics_create(struct metrics **out)
{
    struct metrics *m = calloc(1, sizeof *m);

    if (!m)
        return ERR_NO_MEMORY;
    pthread_mutex_init(&m->lock, NULL);
    *out = m;
    return OK;
}

void metrics_destroy(struct metrics *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->count; i++)
        free_family(m->families[i]);
    free(m->families);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

/* Exposition */

static bool reads_back(const char *text, double value)
{
    return bits_of(strtod(text, NULL)) == bits_of(value);
}

/* The fewest decimal digits that read back as VALUE, in %e form. */
static void shortest_digits(double value, char out[static 32])
{
    int exponent;
    bool power_of_two = fabs(frexp(value, &exponent)) == 0.5;

    for (int precision = 0; precision < DOUBLE_DIGITS; precision++) {
        snprintf(out, 32, "%.*e", precision, value);
        if (reads_back(out, value))
            return;
        /* Above a power of two doubles lie twice as far apart as below it: the next decimal away
         * from zero may read back where the nearest one, towards zero, does not. */
        char *last = strchr(out, 'e') - 1;
        if (power_of_two && *last < '9') {
            ++*last;
            if (reads_back(out, value))
                return;
        }
    }
}

/* The same for a whole number below 2^53 without trying: every such number is a double, so its own
 * digits without trailing zeros are the shortest. */
static void whole_digits(uint64_t value, char out[static 32])
{
    char digits[24];
    int count = snprintf(digits, sizeof digits, "%" PRIu64, value);
    int used = count;

    while (used > 1 && digits[used - 1] == '0')
        used--;
    snprintf(out, 32, "%c%s%.*se+%02d", digits[0], used > 1 ? "." : "", used - 1, digits + 1,
             count - 1);
}

/* As client_golang prints, with Go's strconv format 'g' and precision -1: the shortest digits that
 * read back, in %e form (two exponent digits at least) below 1e-4 and from 1e+06 on. */
static void add_double_text(struct strbuf *out, double value)
{
    char text[32];
    int exponent;

    if (isnan(value) || isinf(value)) {
        strbuf_add_str(out, isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
        return;
    }
    if (value == 0) { /* also -0 */
        strbuf_add_char(out, '0');
        return;
    }
    if (is_whole(value))
        whole_digits((uint64_t)value, text);
    else
        shortest_digits(value, text);
    exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    if (exponent < -4 || exponent >= 6) {
        strbuf_add_str(out, text);
        return;
    }
    /* digits after the point of the %f form = digits after it in the %e form - exponent */
    int after = (int)(strchr(text, 'e') - text) - (value < 0) - 1;
    after = after > 0 ? after - 1 : 0;
    strbuf_add_format(out, "%.*f", after > exponent ? after - exponent : 0, value);
}

/* HELP escapes backslash and newline; a label value the quotation mark too. */
static void add_escaped(struct strbuf *out, const char *text, bool quoted)
{
    for (; *text; text++) {
        if (*text == '\\')
            strbuf_add_str(out, "\\\\");
        else if (*text == '\n')
            strbuf_add_str(out, "\\n");
        else if (*text == '"' && quoted)
            strbuf_add_str(out, "\\\"");
        else
            strbuf_add_char(out, *text);
    }
}

/* "name_suffix{label="value",le="BOUND"} ": BOUND is NULL outside a bucket. */
static void add_line_head(struct strbuf *out, const struct metric_series *s, const char *suffix,
                          const double *bound)
{
    const struct metric_family *f = s->family;
    const char *separator = "{";

    strbuf_add_str(out, f->name);
    strbuf_add_str(out, suffix);
    for (size_t i = 0; i < f->label_count; i++) {
        strbuf_add_str(out, separator);
        strbuf_add_str(out, f->labels[i]);
        strbuf_add_str(out, "=\"");
        add_escaped(out, s->values[i], true);
        strbuf_add_char(out, '"');
        separator = ",";
    }
    if (bound) {
        strbuf_add_str(out, separator);
        strbuf_add_str(out, "le=\"");
        add_double_text(out, *bound);
        strbuf_add_char(out, '"');
        separator = ",";
    }
    strbuf_add_str(out, separator[0] == ',' ? "} " : " ");
}

static void add_value_line(struct strbuf *out, const struct metric_series *s, const char *suffix,
                           const double *bound, double value)
{
    add_line_head(out, s, suffix, bound);
    add_double_text(out, value);
    strbuf_add_char(out, '\n');
}

static void add_histogram(struct strbuf *out, const struct metric_series *s)
{
    const struct metric_family *f = s->family;
    const double infinity = (double)INFINITY;
    uint64_t count = 0;

    for (size_t i = 0; i <= f->bucket_count; i++) {
        count += count_of(s, CELL_BUCKET + i);
        add_value_line(out, s, "_bucket", i < f->bucket_count ? &f->buckets[i] : &infinity,
                       (double)count);
    }
    add_value_line(out, s, "_sum", NULL, sum_of(s));
    add_value_line(out, s, "_count", NULL, (double)count);
}

static int compare_series(const void *left, const void *right)
{
    const struct metric_series *a = *(struct metric_series *const *)left;
    const struct metric_series *b = *(struct metric_series *const *)right;

    for (size_t i = 0; i < a->family->label_count; i++) {
        int order = strcmp(a->values[i], b->values[i]);
        if (order != 0)
            return order;
    }
    return 0;
}

/* The family's series by label values, in an array the caller frees; NULL without memory. */
static struct metric_series **sorted_series(const struct metric_family *f)
{
    struct metric_series **sorted = calloc(f->count, sizeof(struct metric_series *));
    size_t count = 0;

    if (!sorted)
        return NULL;
    for (size_t i = 0; i < f->capacity; i++) {
        if (f->table[i])
            sorted[count++] = f->table[i];
    }
    qsort(sorted, count, sizeof(struct metric_series *), compare_series);
    return sorted;
}

static void add_family(struct strbuf *out, const struct metric_family *f)
{
    static const char *const kinds[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};
    struct metric_series **sorted;

    if (f->count == 0)
        return;
    sorted = sorted_series(f);
    if (!sorted) {
        out->failed = true;
        return;
    }
    strbuf_add_format(out, "# HELP %s ", f->name);
    add_escaped(out, f->help, false);
    strbuf_add_format(out, "\n# TYPE %s %s\n", f->name, kinds[f->kind]);
    for (size_t i = 0; i < f->count; i++) {
        if (f->kind == METRIC_HISTOGRAM)
            add_histogram(out, sorted[i]);
        else
            add_value_line(out, sorted[i], "", NULL, metric_value(sorted[i]));
    }
    free(sorted);
}

void metrics_expose(struct metrics *m, struct strbuf *out)
{
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->count; i++) {
        struct metric_family *f = m->families[i];

        /* Held while the text is made: a clear must not free a series under us. Updates of series
         * and lookups of existing ones go on meanwhile. */
        pthread_rwlock_rdlock(&f->lock);
        add_family(out, f);
        pthread_rwlock_unlock(&f->lock);
    }
    pthread_mutex_unlock(&m->lock);
}
