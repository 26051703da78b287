/* Replies in etcdctl's formats; tests/interop/ctl compares them with etcdctl itself. */
#include "registry/cli/output.h"

#include "registry/cli/gotext.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* What is printed lives to the end of the run (cli.h). */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return 1;
}

static int saved_stdout;
static FILE *captured;

static void capture(void)
{
    fflush(stdout);
    captured = tmpfile();
    assert_non_null(captured);
    saved_stdout = dup(STDOUT_FILENO);
    dup2(fileno(captured), STDOUT_FILENO);
}

static void expect_printed(const char *wanted)
{
    char got[4096];
    fflush(stdout);
    dup2(saved_stdout, STDOUT_FILENO);
    close(saved_stdout);
    rewind(captured);
    got[fread(got, 1, sizeof(got) - 1, captured)] = '\0';
    fclose(captured);
    assert_string_equal(got, wanted);
}

static struct cli with_format(enum cli_format format)
{
    return (struct cli){.write_out = "", .format = format};
}

static ProtobufCBinaryData data(const char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)(uintptr_t)text};
}

static Etcdserverpb__ResponseHeader header;
static Mvccpb__KeyValue kv;

static int set_up(void **state)
{
    (void)state;
    etcdserverpb__response_header__init(&header);
    header.cluster_id = 1;
    header.member_id = 2;
    header.revision = 3;
    header.raft_term = 4;
    mvccpb__key_value__init(&kv);
    kv.key = data("k\xff");
    kv.value = data("v\n<");
    kv.create_revision = 5;
    kv.mod_revision = 6;
    kv.version = 7;
    kv.lease = 0x8;
    return 0;
}

static void get_prints_keys_and_values(void **state)
{
    Mvccpb__KeyValue *kvs[] = {&kv};
    Etcdserverpb__RangeResponse r = ETCDSERVERPB__RANGE_RESPONSE__INIT;
    (void)state;
    r.header = &header;
    r.n_kvs = 1;
    r.kvs = kvs;
    r.count = 1;
    struct cli cli = with_format(FORMAT_SIMPLE);
    capture();
    output_get(&cli, &r);
    expect_printed("k\xff\nv\n<\n");
    cli.is_hex = true;
    capture();
    output_get(&cli, &r);
    expect_printed("\\x6b\\xff\n\\x76\\x0a\\x3c\n");
    cli.value_only = true;
    cli.is_hex = false;
    capture();
    output_get(&cli, &r);
    expect_printed("v\n<\n");
}

static void get_as_json_is_encoding_jsons(void **state)
{
    Mvccpb__KeyValue *kvs[] = {&kv};
    Etcdserverpb__RangeResponse r = ETCDSERVERPB__RANGE_RESPONSE__INIT;
    (void)state;
    r.header = &header;
    r.n_kvs = 1;
    r.kvs = kvs;
    r.count = 1;
    struct cli cli = with_format(FORMAT_JSON);
    capture();
    output_get(&cli, &r);
    expect_printed("{\"header\":{\"cluster_id\":1,\"member_id\":2,\"revision\":3,\"raft_term\":4},"
                   "\"kvs\":[{\"key\":\"a/8=\",\"create_revision\":5,\"mod_revision\":6,"
                   "\"version\":7,\"value\":\"dgo8\",\"lease\":8}],\"count\":1}\n");
}

static void get_as_fields_quotes(void **state)
{
    Mvccpb__KeyValue *kvs[] = {&kv};
    Etcdserverpb__RangeResponse r = ETCDSERVERPB__RANGE_RESPONSE__INIT;
    (void)state;
    r.header = &header;
    r.n_kvs = 1;
    r.kvs = kvs;
    r.count = 1;
    struct cli cli = with_format(FORMAT_FIELDS);
    capture();
    output_get(&cli, &r);
    expect_printed("\"ClusterID\" : 1\n\"MemberID\" : 2\n\"Revision\" : 3\n\"RaftTerm\" : 4\n"
                   "\"Key\" : \"k\\xff\"\n\"CreateRevision\" : 5\n\"ModRevision\" : 6\n"
                   "\"Version\" : 7\n\"Value\" : \"v\\n<\"\n\"Lease\" : 8\n\"More\" : false\n"
                   "\"Count\" : 1\n");
}

static void protobuf_is_the_message_itself(void **state)
{
    Etcdserverpb__PutResponse r = ETCDSERVERPB__PUT_RESPONSE__INIT;
    (void)state;
    r.header = &header;
    struct cli cli = with_format(FORMAT_PROTOBUF);
    capture();
    output_put(&cli, &r);
    expect_printed("\x0a\x08\x08\x01\x10\x02\x18\x03 \x04");
}

static void a_transaction_prints_each_answer(void **state)
{
    Etcdserverpb__TxnResponse r = ETCDSERVERPB__TXN_RESPONSE__INIT;
    Etcdserverpb__ResponseOp op = ETCDSERVERPB__RESPONSE_OP__INIT, *ops[] = {&op};
    Etcdserverpb__PutResponse put = ETCDSERVERPB__PUT_RESPONSE__INIT;
    (void)state;
    r.header = &header;
    put.header = &header;
    op.response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT;
    op.response_put = &put;
    r.succeeded = true;
    r.n_responses = 1;
    r.responses = ops;
    struct cli cli = with_format(FORMAT_SIMPLE);
    capture();
    output_txn(&cli, &r);
    expect_printed("SUCCESS\n\nOK\n");
    r.succeeded = false;
    r.n_responses = 0;
    capture();
    output_txn(&cli, &r);
    expect_printed("FAILURE\n");
}

static void events_name_their_type(void **state)
{
    Etcdserverpb__WatchResponse r;
    Mvccpb__Event put = MVCCPB__EVENT__INIT, gone = MVCCPB__EVENT__INIT, *events[] = {&put, &gone};
    Mvccpb__KeyValue left = MVCCPB__KEY_VALUE__INIT;
    (void)state;
    etcdserverpb__watch_response__init(&r);
    left.key = data("g");
    put.kv = &kv;
    gone.type = MVCCPB__EVENT__EVENT_TYPE__DELETE;
    gone.kv = &left;
    r.header = &header;
    r.n_events = 2;
    r.events = events;
    struct cli cli = with_format(FORMAT_SIMPLE);
    capture();
    output_watch(&cli, &r);
    expect_printed("PUT\nk\xff\nv\n<\nDELETE\ng\n\n");
}

static void leases_are_hexadecimal(void **state)
{
    Etcdserverpb__LeaseGrantResponse grant;
    Etcdserverpb__LeaseTimeToLiveResponse ttl = ETCDSERVERPB__LEASE_TIME_TO_LIVE_RESPONSE__INIT;
    ProtobufCBinaryData keys[] = {data("a"), data("b")};
    (void)state;
    etcdserverpb__lease_grant_response__init(&grant);
    grant.header = ttl.header = &header;
    grant.id = ttl.id = 0x1234;
    grant.ttl = 60;
    ttl.ttl = 5;
    ttl.grantedttl = 60;
    ttl.n_keys = 2;
    ttl.keys = keys;
    struct cli cli = with_format(FORMAT_SIMPLE);
    capture();
    output_grant(&cli, &grant);
    output_time_to_live(&cli, &ttl, true);
    ttl.ttl = -1;
    ttl.grantedttl = 0;
    output_time_to_live(&cli, &ttl, false);
    expect_printed("lease 0000000000001234 granted with TTL(60s)\n"
                   "lease 0000000000001234 granted with TTL(60s), remaining(5s), attached "
                   "keys([a b])\n"
                   "lease 0000000000001234 already expired\n");
}

static void alarms_and_names_are_one_a_line(void **state)
{
    Etcdserverpb__AlarmResponse r = ETCDSERVERPB__ALARM_RESPONSE__INIT;
    Etcdserverpb__AlarmMember a = ETCDSERVERPB__ALARM_MEMBER__INIT, *alarms[] = {&a};
    Etcdserverpb__AuthUserListResponse users = ETCDSERVERPB__AUTH_USER_LIST_RESPONSE__INIT;
    char root[] = "root", bob[] = "bob", *names[] = {root, bob};
    (void)state;
    r.header = users.header = &header;
    a.memberid = 10;
    a.alarm = ETCDSERVERPB__ALARM_TYPE__NOSPACE;
    r.n_alarms = 1;
    r.alarms = alarms;
    struct cli cli = with_format(FORMAT_SIMPLE);
    capture();
    output_alarms(&cli, &r);
    output_names(&cli, &users.base, users.header, "Users", names, 2);
    expect_printed("memberID:10 alarm:NOSPACE \nroot\nbob\n");
    cli = with_format(FORMAT_FIELDS);
    capture();
    output_names(&cli, &users.base, users.header, "Users", names, 2);
    expect_printed("\"ClusterID\" : 1\n\"MemberID\" : 2\n\"Revision\" : 3\n\"RaftTerm\" : 4\n"
                   "\"Users\" : \"root\" \"bob\"\n");
}

static void members_stand_in_rows(void **state)
{
    Etcdserverpb__MemberListResponse r = ETCDSERVERPB__MEMBER_LIST_RESPONSE__INIT;
    Etcdserverpb__Member m, *members[] = {&m};
    char name[] = "one", url[] = "http://a:1", *urls[] = {url, url};
    (void)state;
    r.header = &header;
    etcdserverpb__member__init(&m);
    m.id = 0xab;
    m.name = name;
    m.n_peerurls = 2;
    m.peerurls = urls;
    m.n_clienturls = 1;
    m.clienturls = urls;
    r.n_members = 1;
    r.members = members;
    struct cli cli = with_format(FORMAT_SIMPLE);
    capture();
    output_members(&cli, &r);
    expect_printed("ab, started, one, http://a:1,http://a:1, http://a:1, false\n");
}

static void tables_are_as_wide_as_their_cells(void **state)
{
    static const char *const cells[] = {"a", "long title", "w\xc3\xb6rter", "x"};
    (void)state;
    capture();
    output_table(cells, 2, 2);
    expect_printed("+--------+------------+\n|   A    | LONG TITLE |\n+--------+------------+\n"
                   "| w\xc3\xb6rter |          x |\n+--------+------------+\n");
    capture();
    output_columns(cells, 2, 2);
    output_columns((const char *[]){"title", "empty", "a", ""}, 2, 2);
    expect_printed("a       long title\nw\xc3\xb6rter  x\ntitle  empty\na\n");
}

static void sizes_are_humanize(void **state)
{
    static const struct {
        int64_t size;
        const char *text;
    } cases[] = {{0, "0 B"},       {9, "9 B"},       {999, "999 B"},         {1000, "1.0 kB"},
                 {20480, "20 kB"}, {1500, "1.5 kB"}, {2147483648, "2.1 GB"}, {99999, "100 kB"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char *text = human_size(cases[i].size);
        assert_string_equal(text, cases[i].text);
        free(text);
    }
}

static void gos_quotes_and_json_strings(void **state)
{
    struct strbuf out = STRBUF_EMPTY;
    size_t used;
    (void)state;
    go_quote(&out, bytes_of("a\"\\\n\0\x7f\xc3\xa9\xff\xe2\x80\x8b", 12));
    assert_string_equal(strbuf_str(&out), "\"a\\\"\\\\\\n\\x00\\x7f\xc3\xa9\\xff\\u200b\"");
    strbuf_clear(&out);
    go_json_string(&out, bytes_of("<&>\"\\\t\x01\xff\xe2\x80\xa8", 11));
    assert_string_equal(strbuf_str(&out),
                        "\"\\u003c\\u0026\\u003e\\\"\\\\\\t\\u0001\\ufffd\\u2028\"");
    strbuf_clear(&out);
    assert_int_equal(go_unquote(&out, "\"a\\u2603\\101\" rest", &used), OK);
    assert_string_equal(strbuf_str(&out), "a\xe2\x98\x83"
                                          "A");
    assert_int_equal(used, 13);
    assert_int_equal(go_unquote(&out, "\"open", &used), ERR_MALFORMED);
    assert_int_equal(go_unquote(&out, "bare", &used), ERR_MALFORMED);
    strbuf_fini(&out);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, set_up)
    const struct CMUnitTest tests[] = {
        TEST(get_prints_keys_and_values),
        TEST(get_as_json_is_encoding_jsons),
        TEST(get_as_fields_quotes),
        TEST(protobuf_is_the_message_itself),
        TEST(a_transaction_prints_each_answer),
        TEST(events_name_their_type),
        TEST(leases_are_hexadecimal),
        TEST(alarms_and_names_are_one_a_line),
        TEST(members_stand_in_rows),
        TEST(tables_are_as_wide_as_their_cells),
        TEST(sizes_are_humanize),
        TEST(gos_quotes_and_json_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
