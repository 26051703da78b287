#include "wal_scan.h"

#include "base/bytes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MAGIC = 0x377f0682, /* the lowest bit: checksums of big-endian words */
    SECTOR_SIZE = 512,  /* what a disk writes whole or not at all */
};

struct sums {
    uint32_t a;
    uint32_t b;
};

struct frame {
    uint32_t page;
    uint32_t commit; /* pages of the database behind it; 0: not the last of its transaction */
    uint32_t salts[2];
    struct sums stored;
};

struct scan {
    int fd;
    size_t page_size;
    uint64_t frame_count; /* places for one in the file */
    bool big_endian;
    uint32_t salts[2];
    uint8_t *buffer; /* one frame */
};

static uint32_t le32(const uint8_t *at)
{
    return (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

static struct sums sum_on(struct sums s, const uint8_t *data, size_t size, bool big_endian)
{
    for (const uint8_t *end = data + size; data < end; data += 8) {
        s.a += (big_endian ? load_u32(data) : le32(data)) + s.b;
        s.b += (big_endian ? load_u32(data + 4) : le32(data + 4)) + s.a;
    }
    return s;
}

static bool same_sums(struct sums x, struct sums y)
{
    return x.a == y.a && x.b == y.b;
}

/* ERR_NOT_FOUND at the end of the file. */
static enum err read_at(int fd, uint8_t *out, size_t size, uint64_t offset)
{
    while (size > 0) {
        ssize_t got = pread(fd, out, size, (off_t)offset);
        if (got < 0)
            return ERR_IO;
        if (got == 0)
            return ERR_NOT_FOUND;
        out += got;
        size -= (size_t)got;
        offset += (uint64_t)got;
    }
    return OK;
}

static uint64_t frame_offset(const struct scan *s, uint64_t number)
{
    return WAL_HEADER_SIZE + number * (WAL_FRAME_HEADER_SIZE + s->page_size);
}

/* A frame, and the sum that it has if the one before has SEED. */
static enum err read_frame(struct scan *s, uint64_t number, struct sums seed, struct frame *out,
                           struct sums *sums)
{
    enum err error =
        read_at(s->fd, s->buffer, WAL_FRAME_HEADER_SIZE + s->page_size, frame_offset(s, number));
    if (error != OK)
        return error;
    const uint8_t *at = s->buffer;
    *out = (struct frame){
        .page = load_u32(at),
        .commit = load_u32(at + 4),
        .salts = {load_u32(at + 8), load_u32(at + 12)},
        .stored = {load_u32(at + 16), load_u32(at + 20)},
    };
    *sums = sum_on(seed, at, 8, s->big_endian);
    *sums = sum_on(*sums, at + WAL_FRAME_HEADER_SIZE, s->page_size, s->big_endian);
    return OK;
}

static bool has_our_salts(const struct scan *s, const struct frame *f)
{
    return f->salts[0] == s->salts[0] && f->salts[1] == s->salts[1];
}

/* What is known of a frame whose place in the chain is broken. */
struct trace {
    struct frame frame;
    bool is_known; /* it was written in this log, and page and commit are as they were written */
};

/* A sector is written whole, so page and commit are as new as salts in the same sector. */
static bool header_is_whole(const struct scan *s, uint64_t number)
{
    uint64_t offset = frame_offset(s, number);
    return offset / SECTOR_SIZE == (offset + 15) / SECTOR_SIZE;
}

/* Reads frame NUMBER, at or behind the bad one; SEED: the sum that the frame before it should have,
 * by its own word. */
static enum err read_trace(struct scan *s, uint64_t number, struct sums seed, struct trace *out,
                           struct sums *computed)
{
    enum err error = read_frame(s, number, seed, &out->frame, computed);
    if (error != OK)
        return error;
    bool verifies = same_sums(*computed, out->frame.stored);
    out->is_known = verifies || (has_our_salts(s, &out->frame) && header_is_whole(s, number));
    return OK;
}

/* Whether a later transaction than that of frame BAD, whose predecessor BEFORE is good, left a
 * trace: a frame of ours behind a commit at or behind BAD, or a page that does not rise. */
static enum err has_later_transaction(struct scan *s, uint64_t bad, const struct frame *before,
                                      struct sums seed, bool *out)
{
    uint32_t last_page = before->commit != 0 ? 0 : before->page;
    uint64_t unknown = 0; /* frames since LAST_PAGE that say nothing: each has a page of its own */
    bool committed = false;
    struct sums by_content = seed;
    *out = false;
    for (uint64_t i = bad; i < s->frame_count; i++) {
        struct trace t;
        struct sums computed;
        enum err error = read_trace(s, i, seed, &t, &computed);
        if (error != OK)
            return error == ERR_NOT_FOUND ? OK : error;
        /* A frame whose stored sum alone is damaged: its content continues in the next one. */
        if (i > bad && !same_sums(computed, t.frame.stored)) {
            struct trace again;
            struct sums second;
            error = read_trace(s, i, by_content, &again, &second);
            if (error != OK)
                return error == ERR_NOT_FOUND ? OK : error;
            if (same_sums(second, again.frame.stored))
                t = again;
        }
        by_content = computed;
        seed = t.frame.stored;
        if (!has_our_salts(s, &t.frame) && !(i == bad && t.is_known))
            unknown++; /* never written in this log, or its salts are damaged */
        else if (!t.is_known)
            unknown++;
        else {
            if (committed || t.frame.page <= last_page + unknown) {
                *out = true;
                return OK;
            }
            committed = t.frame.commit != 0;
            last_page = t.frame.page;
            unknown = 0;
        }
    }
    return OK;
}

static enum err scan_frames(struct scan *s, struct sums sums, struct wal_report *out)
{
    struct frame before = {.commit = 1};
    uint64_t i = 0;
    for (; i < s->frame_count; i++) {
        struct frame f;
        struct sums computed;
        enum err error = read_frame(s, i, sums, &f, &computed);
        if (error == ERR_NOT_FOUND)
            break; /* it was shortened meanwhile */
        if (error != OK)
            return error;
        if (!has_our_salts(s, &f) || !same_sums(computed, f.stored) || f.page == 0)
            break;
        sums = computed;
        before = f;
        out->unfinished++;
        if (f.commit != 0) {
            out->frame_count = i + 1;
            out->commit_count++;
            out->unfinished = 0;
        }
    }
    if (i >= s->frame_count)
        return OK;
    bool is_damage;
    enum err error = has_later_transaction(s, i, &before, sums, &is_damage);
    if (error == OK && is_damage) {
        out->verdict = WAL_BAD_FRAME;
        out->bad_frame = i;
    }
    return error;
}

static enum err scan_header(struct scan *s, uint64_t size, struct wal_report *out)
{
    uint8_t header[WAL_HEADER_SIZE];
    if (size < sizeof(header)) {
        out->verdict = WAL_EMPTY;
        return OK;
    }
    enum err error = read_at(s->fd, header, sizeof(header), 0);
    if (error != OK)
        return ERR_IO;
    s->big_endian = (load_u32(header) & 1) != 0;
    struct sums sums = sum_on((struct sums){0}, header, 24, s->big_endian);
    struct sums stored = {load_u32(header + 24), load_u32(header + 28)};
    if ((load_u32(header) & ~1u) != MAGIC || !same_sums(sums, stored)) {
        /* The first header is synced before any frame; a later one is written over it in one
         * sector. */
        out->verdict = size == sizeof(header) ? WAL_EMPTY : WAL_BAD_HEADER;
        return OK;
    }
    if (load_u32(header + 8) != s->page_size) {
        out->verdict = WAL_BAD_PAGE_SIZE;
        return OK;
    }
    s->salts[0] = load_u32(header + 16);
    s->salts[1] = load_u32(header + 20);
    memcpy(out->salts, s->salts, sizeof(out->salts));
    size_t stride = WAL_FRAME_HEADER_SIZE + s->page_size;
    s->frame_count = (size - sizeof(header)) / stride;
    return scan_frames(s, sums, out);
}

enum err wal_scan(struct wal_report *out, int fd, size_t page_size)
{
    assert(page_size % 8 == 0);
    struct stat st;
    if (fstat(fd, &st) != 0)
        return ERR_IO;
    struct scan s = {.fd = fd, .page_size = page_size};
    s.buffer = malloc(WAL_FRAME_HEADER_SIZE + page_size);
    if (s.buffer == NULL)
        return ERR_NO_MEMORY;
    struct wal_report report = {.verdict = WAL_SOUND};
    enum err error = scan_header(&s, (uint64_t)st.st_size, &report);
    free(s.buffer);
    if (error == OK)
        *out = report;
    return error;
}
