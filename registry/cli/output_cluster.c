/* Members, endpoints, alarms, users and roles in etcdctl's formats. */
#include "gotext.h"
#include "output_parts.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Alarms, users, roles. */

const char *alarm_name(Etcdserverpb__AlarmType alarm)
{
    static const char *const names[] = {"NONE", "NOSPACE", "CORRUPT"};
    return (size_t)alarm < ARRAY_COUNT(names) ? names[alarm] : "UNKNOWN";
}

/* As gogo's String: zero values are left out, a space stands behind each field. */
static void simple_alarm(struct strbuf *out, const Etcdserverpb__AlarmMember *a)
{
    if (a->memberid != 0)
        strbuf_add_format(out, "memberID:%" PRIu64 " ", a->memberid);
    if (a->alarm != ETCDSERVERPB__ALARM_TYPE__NONE)
        strbuf_add_format(out, "alarm:%s ", alarm_name(a->alarm));
    strbuf_add_char(out, '\n');
}

void output_alarms(const struct cli *cli, const Etcdserverpb__AlarmResponse *r)
{
    struct strbuf out = STRBUF_EMPTY;
    if (output_whole(cli, r))
        return;
    if (cli->format == FORMAT_FIELDS)
        fields_header(cli, &out, r->header);
    for (size_t i = 0; i < r->n_alarms; i++) {
        if (cli->format != FORMAT_FIELDS) {
            simple_alarm(&out, r->alarms[i]);
            continue;
        }
        strbuf_add_format(
            &out, cli->is_hex ? "\"MemberID\" : %" PRIx64 "\n" : "\"MemberID\" : %" PRIu64 "\n",
            r->alarms[i]->memberid);
        strbuf_add_format(&out, "\"AlarmType\" : %s\n\n", alarm_name(r->alarms[i]->alarm));
    }
    output_text(&out);
}

void output_names(const struct cli *cli, const ProtobufCMessage *message, const header *h,
                  const char *title, char *const *names, size_t count)
{
    struct strbuf out = STRBUF_EMPTY;
    if (output_whole(cli, message))
        return;
    if (cli->format == FORMAT_FIELDS) {
        fields_header(cli, &out, h);
        strbuf_add_format(&out, "\"%s\" :", title);
    }
    for (size_t i = 0; i < count; i++) {
        if (cli->format == FORMAT_FIELDS) {
            strbuf_add_char(&out, ' ');
            go_quote(&out, bytes_of_str(names[i]));
        } else {
            strbuf_add_format(&out, "%s\n", names[i]);
        }
    }
    if (cli->format == FORMAT_FIELDS)
        strbuf_add_char(&out, '\n');
    output_text(&out);
}

static char *text_of(const char *format, ...) PRINTF_LIKE(1, 2);
static char *text_of(const char *format, ...)
{
    struct strbuf out = STRBUF_EMPTY;
    va_list args;
    va_start(args, format);
    strbuf_add_format_args(&out, format, args);
    va_end(args);
    return cli_text(&out);
}

/* Rows as a table, or one line each with commas between. */
static void print_rows(const struct cli *cli, const char *const *cells, size_t columns, size_t rows)
{
    struct strbuf out = STRBUF_EMPTY;
    if (cli->format == FORMAT_TABLE) {
        output_table(cells, columns, rows);
        return;
    }
    for (size_t i = columns; i < columns * rows; i++) {
        strbuf_add_str(&out, cells[i]);
        strbuf_add_str(&out, i % columns == columns - 1 ? "\n" : ", ");
    }
    output_text(&out);
}

static char *joined(char *const *texts, size_t count, const char *between)
{
    struct strbuf out = STRBUF_EMPTY;
    for (size_t i = 0; i < count; i++) {
        strbuf_add_str(&out, i > 0 ? between : "");
        strbuf_add_str(&out, texts[i]);
    }
    return cli_text(&out);
}

/* Members. */

static void json_urls(struct strbuf *out, char *const *urls, size_t count)
{
    if (count == 0) {
        strbuf_add_str(out, "null");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        strbuf_add_char(out, i == 0 ? '[' : ',');
        go_json_string(out, bytes_of_str(urls[i]));
    }
    strbuf_add_char(out, ']');
}

static void json_members_hex(const Etcdserverpb__MemberListResponse *r)
{
    static const header none = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    const header *h = r->header != NULL ? r->header : &none;
    struct strbuf out = STRBUF_EMPTY;
    strbuf_add_format(&out,
                      "{\"header\":{\"cluster_id\":\"%" PRIx64 "\",\"member_id\":\"%" PRIx64
                      "\",\"raft_term\":%" PRIu64 "}",
                      h->cluster_id, h->member_id, h->raft_term);
    for (size_t i = 0; i < r->n_members; i++) {
        const Etcdserverpb__Member *m = r->members[i];
        strbuf_add_format(&out, "%s{\"ID\":\"%" PRIx64 "\",\"name\":\"%s\",\"peerURLs\":",
                          i == 0 ? ",\"members\":[" : ",", m->id, m->name);
        json_urls(&out, m->peerurls, m->n_peerurls);
        strbuf_add_str(&out, ",\"clientURLs\":");
        json_urls(&out, m->clienturls, m->n_clienturls);
        strbuf_add_str(&out, i == r->n_members - 1 ? "}]" : "}");
    }
    strbuf_add_str(&out, "}\n");
    output_text(&out);
}

static void fields_members(const struct cli *cli, const Etcdserverpb__MemberListResponse *r)
{
    struct strbuf out = STRBUF_EMPTY;
    fields_header(cli, &out, r->header);
    for (size_t i = 0; i < r->n_members; i++) {
        const Etcdserverpb__Member *m = r->members[i];
        if (cli->is_hex)
            strbuf_add_format(&out, "\"ID\" : %" PRIx64 "\n", m->id);
        else
            strbuf_add_format(&out, "\"ID\" : %" PRIu64 "\n", m->id);
        fields_quoted(&out, "", "Name", bytes_of_str(m->name));
        for (size_t k = 0; k < m->n_peerurls; k++)
            fields_quoted(&out, "", "PeerURL", bytes_of_str(m->peerurls[k]));
        for (size_t k = 0; k < m->n_clienturls; k++)
            fields_quoted(&out, "", "ClientURL", bytes_of_str(m->clienturls[k]));
        strbuf_add_format(&out, "\"IsLearner\" : %s\n\n", m->islearner ? "true" : "false");
    }
    output_text(&out);
}

void output_members(const struct cli *cli, const Etcdserverpb__MemberListResponse *r)
{
    enum {
        COLUMNS = 6
    };
    static const char *const titles[COLUMNS] = {"ID",         "Status",       "Name",
                                                "Peer Addrs", "Client Addrs", "Is Learner"};
    if (cli->format == FORMAT_JSON && cli->is_hex) {
        json_members_hex(r);
        return;
    }
    if (cli->format == FORMAT_FIELDS) {
        fields_members(cli, r);
        return;
    }
    if (cli->format != FORMAT_TABLE && output_whole(cli, r))
        return;
    const char **cells = cli_memory(calloc((r->n_members + 1) * COLUMNS, sizeof(*cells)));
    memcpy(cells, titles, sizeof(titles));
    for (size_t i = 0; i < r->n_members; i++) {
        const Etcdserverpb__Member *m = r->members[i];
        const char **row = cells + (i + 1) * COLUMNS;
        row[0] = text_of("%" PRIx64, m->id);
        row[1] = m->name[0] != '\0' ? "started" : "unstarted";
        row[2] = m->name;
        row[3] = joined(m->peerurls, m->n_peerurls, ",");
        row[4] = joined(m->clienturls, m->n_clienturls, ",");
        row[5] = m->islearner ? "true" : "false";
    }
    print_rows(cli, cells, COLUMNS, r->n_members + 1);
    free(cells);
}

/* Endpoints. */

/* go-humanize's Bytes: three digits at most, thousands. */
char *human_size(int64_t size)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)size;
    size_t unit = 0;
    if (size < 10)
        return text_of("%lld B", (long long)size);
    while (value >= 1000 && unit + 1 < ARRAY_COUNT(units)) {
        value /= 1000;
        unit++;
    }
    value = (double)(int64_t)(value * 10 + 0.5) / 10;
    return value < 10 ? text_of("%.1f %s", value, units[unit])
                      : text_of("%.0f %s", value, units[unit]);
}

static void fields_status(const struct cli *cli, const struct endpoint_status *e)
{
    struct strbuf out = STRBUF_EMPTY;
    const Etcdserverpb__StatusResponse *r = e->reply;
    const Etcdserverpb__DowngradeInfo *d = r->downgradeinfo;
    char *errors = joined(r->errors, r->n_errors, " ");
    fields_header(cli, &out, r->header);
    fields_quoted(&out, "", "Version", bytes_of_str(r->version));
    fields_quoted(&out, "", "StorageVersion", bytes_of_str(r->storageversion));
    strbuf_add_format(&out, "\"DBSize\" : %" PRId64 "\n\"DBSizeInUse\" : %" PRId64 "\n", r->dbsize,
                      r->dbsizeinuse);
    strbuf_add_format(&out, "\"DBSizeQuota\" : %" PRId64 "\n\"Leader\" : %" PRIu64 "\n",
                      r->dbsizequota, r->leader);
    strbuf_add_format(&out, "\"IsLearner\" : %s\n", r->islearner ? "true" : "false");
    strbuf_add_format(&out,
                      "\"RaftIndex\" : %" PRIu64 "\n\"RaftTerm\" : %" PRIu64
                      "\n\"RaftAppliedIndex\" : %" PRIu64 "\n\"Errors\" : [%s]\n",
                      r->raftindex, r->raftterm, r->raftappliedindex, errors);
    fields_quoted(&out, "", "Endpoint", bytes_of_str(e->endpoint));
    fields_quoted(&out, "", "DowngradeTargetVersion",
                  bytes_of_str(d != NULL ? d->targetversion : ""));
    strbuf_add_format(&out, "\"DowngradeEnabled\" : %s\n\n",
                      d != NULL && d->enabled ? "true" : "false");
    free(errors);
    output_text(&out);
}

static void status_row(const char **row, const struct endpoint_status *e)
{
    const Etcdserverpb__StatusResponse *r = e->reply;
    const Etcdserverpb__DowngradeInfo *d = r->downgradeinfo;
    uint64_t member = r->header != NULL ? r->header->member_id : 0;
    /* etcdctl divides by the size; one of 0 is ours to answer. */
    int64_t used =
        r->dbsize > 0 ? (int64_t)((double)r->dbsizeinuse * 100 / (double)r->dbsize) : 100;
    row[0] = e->endpoint;
    row[1] = text_of("%" PRIx64, member);
    row[2] = r->version;
    row[3] = r->storageversion;
    row[4] = human_size(r->dbsize);
    row[5] = human_size(r->dbsizeinuse);
    row[6] = text_of("%lld%%", (long long)(100 - used));
    row[7] = human_size(r->dbsizequota);
    row[8] = r->leader == member ? "true" : "false";
    row[9] = r->islearner ? "true" : "false";
    row[10] = text_of("%" PRIu64, r->raftterm);
    row[11] = text_of("%" PRIu64, r->raftindex);
    row[12] = text_of("%" PRIu64, r->raftappliedindex);
    row[13] = joined(r->errors, r->n_errors, ", ");
    row[14] = d != NULL ? d->targetversion : "";
    row[15] = d != NULL && d->enabled ? "true" : "false";
}

/* A list of {"Endpoint":...,NAME:message}. */
static void json_endpoint(struct strbuf *out, size_t index, const char *endpoint, const char *name,
                          const ProtobufCMessage *message)
{
    strbuf_add_str(out, index == 0 ? "[" : ",");
    strbuf_add_str(out, "{\"Endpoint\":");
    go_json_string(out, bytes_of_str(endpoint));
    strbuf_add_format(out, ",\"%s\":", name);
    json_message(out, message);
    strbuf_add_char(out, '}');
}

void output_status(const struct cli *cli, const struct endpoint_status *list, size_t count)
{
    enum {
        COLUMNS = 16
    };
    static const char *const titles[COLUMNS] = {"endpoint",
                                                "ID",
                                                "version",
                                                "storage version",
                                                "db size",
                                                "in use",
                                                "percentage not in use",
                                                "quota",
                                                "is leader",
                                                "is learner",
                                                "raft term",
                                                "raft index",
                                                "raft applied index",
                                                "errors",
                                                "downgrade target version",
                                                "downgrade enabled"};
    struct strbuf out = STRBUF_EMPTY;
    if (cli->format == FORMAT_PROTOBUF)
        output_refuse(cli);
    if (cli->format == FORMAT_FIELDS) {
        for (size_t i = 0; i < count; i++)
            fields_status(cli, &list[i]);
        return;
    }
    if (cli->format == FORMAT_JSON) {
        for (size_t i = 0; i < count; i++)
            json_endpoint(&out, i, list[i].endpoint, "Status", &list[i].reply->base);
        strbuf_add_str(&out, count > 0 ? "]\n" : "null\n");
        output_text(&out);
        return;
    }
    const char **cells = cli_memory(calloc((count + 1) * COLUMNS, sizeof(*cells)));
    memcpy(cells, titles, sizeof(titles));
    for (size_t i = 0; i < count; i++)
        status_row(cells + (i + 1) * COLUMNS, &list[i]);
    print_rows(cli, cells, COLUMNS, count + 1);
    free(cells);
}

static void json_health(const struct endpoint_health *list, size_t count)
{
    struct strbuf out = STRBUF_EMPTY;
    for (size_t i = 0; i < count; i++) {
        strbuf_add_str(&out, i == 0 ? "[" : ",");
        strbuf_add_str(&out, "{\"endpoint\":");
        go_json_string(&out, bytes_of_str(list[i].endpoint));
        strbuf_add_format(&out, ",\"health\":%s,\"took\":\"%s\"",
                          list[i].is_healthy ? "true" : "false", list[i].took);
        if (list[i].error[0] != '\0') {
            strbuf_add_str(&out, ",\"error\":");
            go_json_string(&out, bytes_of_str(list[i].error));
        }
        strbuf_add_char(&out, '}');
    }
    strbuf_add_str(&out, "]\n");
    output_text(&out);
}

static void fields_health(const struct endpoint_health *list, size_t count)
{
    struct strbuf out = STRBUF_EMPTY;
    for (size_t i = 0; i < count; i++) {
        fields_quoted(&out, "", "Endpoint", bytes_of_str(list[i].endpoint));
        strbuf_add_format(&out, "\"Health\" : %s\n\"Took\" : %s\n\"Error\" : %s\n\n",
                          list[i].is_healthy ? "true" : "false", list[i].took, list[i].error);
    }
    output_text(&out);
}

void output_health(const struct cli *cli, const struct endpoint_health *list, size_t count)
{
    enum {
        COLUMNS = 4
    };
    if (cli->format == FORMAT_PROTOBUF)
        output_refuse(cli);
    if (cli->format == FORMAT_JSON) {
        json_health(list, count);
        return;
    }
    if (cli->format == FORMAT_FIELDS) {
        fields_health(list, count);
        return;
    }
    if (cli->format == FORMAT_TABLE) {
        const char **cells = cli_memory(calloc((count + 1) * COLUMNS, sizeof(*cells)));
        memcpy(cells, (const char *[COLUMNS]){"endpoint", "health", "took", "error"},
               COLUMNS * sizeof(*cells));
        for (size_t i = 0; i < count; i++) {
            const char **row = cells + (i + 1) * COLUMNS;
            row[0] = list[i].endpoint;
            row[1] = list[i].is_healthy ? "true" : "false";
            row[2] = list[i].took;
            row[3] = list[i].error;
        }
        output_table(cells, COLUMNS, count + 1);
        free(cells);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (list[i].error[0] == '\0')
            printf("%s is healthy: successfully committed proposal: took = %s\n", list[i].endpoint,
                   list[i].took);
        else
            cli_say("%s is unhealthy: failed to commit proposal: %s", list[i].endpoint,
                    list[i].error);
    }
    cli_flush();
}

void output_hashes(const struct cli *cli, const struct endpoint_hash *list, size_t count)
{
    enum {
        COLUMNS = 3
    };
    struct strbuf out = STRBUF_EMPTY;
    if (cli->format == FORMAT_PROTOBUF)
        output_refuse(cli);
    if (cli->format == FORMAT_JSON) {
        for (size_t i = 0; i < count; i++)
            json_endpoint(&out, i, list[i].endpoint, "HashKV", &list[i].reply->base);
        strbuf_add_str(&out, count > 0 ? "]\n" : "null\n");
        output_text(&out);
        return;
    }
    if (cli->format == FORMAT_FIELDS) {
        for (size_t i = 0; i < count; i++) {
            fields_header(cli, &out, list[i].reply->header);
            fields_quoted(&out, "", "Endpoint", bytes_of_str(list[i].endpoint));
            strbuf_add_format(&out, "\"Hash\" : %u\n\"HashRevision\" : %lld\n\n",
                              list[i].reply->hash, (long long)list[i].reply->hash_revision);
        }
        output_text(&out);
        return;
    }
    const char **cells = cli_memory(calloc((count + 1) * COLUMNS, sizeof(*cells)));
    memcpy(cells, (const char *[COLUMNS]){"endpoint", "hash", "hash_revision"},
           COLUMNS * sizeof(*cells));
    for (size_t i = 0; i < count; i++) {
        const char **row = cells + (i + 1) * COLUMNS;
        row[0] = list[i].endpoint;
        row[1] = text_of("%u", list[i].reply->hash);
        row[2] = text_of("%lld", (long long)list[i].reply->hash_revision);
    }
    print_rows(cli, cells, COLUMNS, count + 1);
    free(cells);
}
