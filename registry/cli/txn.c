#include "kv.h"
#include "output.h"
#include "txn_text.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    MAX_OPERATIONS = 65536, /* of one list; servers allow far fewer */
};

static bool is_interactive;

struct flag txn_flags[] = {
    {"interactive", 'i', FLAG_BOOL, &is_interactive, "Input transaction in interactive mode",
     false},
    {0},
};

/* The next line without the white space around it; NULL for an empty one, the end of a list. */
static char *next_line(void)
{
    static char *line;
    static size_t capacity;
    ssize_t size = getline(&line, &capacity, stdin);
    if (size <= 0 || line[size - 1] != '\n')
        cli_exit(CLI_INVALID_INPUT, "EOF");
    if (strlen(line) != (size_t)size)
        cli_exit(CLI_INVALID_INPUT, "a NUL byte is not supported here: %s", line);
    char *begin = line + strspn(line, " \t\n\v\f\r");
    size_t left = strlen(begin);
    while (left > 0 && strchr(" \t\n\v\f\r", begin[left - 1]) != NULL)
        begin[--left] = '\0';
    return left > 0 ? begin : NULL;
}

static void prompt(const char *text)
{
    if (is_interactive)
        puts(text);
    cli_flush();
}

/* Room for one more pointer in LIST. */
static void *grow(void *list, size_t count)
{
    if (count == MAX_OPERATIONS)
        cli_exit(CLI_INVALID_INPUT, "more than %d lines in a list", MAX_OPERATIONS);
    return cli_memory(realloc(list, (count + 1) * sizeof(void *)));
}

static ProtobufCBinaryData moved(struct strbuf *text)
{
    size_t size = text->size;
    return (ProtobufCBinaryData){.len = size, .data = (uint8_t *)cli_text(text)};
}

static Etcdserverpb__Compare *read_compare(const char *line)
{
    Etcdserverpb__Compare *c = cli_memory(malloc(sizeof(*c)));
    struct strbuf why = STRBUF_EMPTY;
    struct compare_text text;
    if (compare_parse(&text, line, &why) != OK)
        cli_exit(CLI_INVALID_INPUT, "%s", strbuf_str(&why));
    etcdserverpb__compare__init(c);
    c->result = (Etcdserverpb__Compare__CompareResult)text.result;
    c->target = (Etcdserverpb__Compare__CompareTarget)text.target;
    c->target_union_case =
        (Etcdserverpb__Compare__TargetUnionCase)(ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION +
                                                 (int)text.target);
    if (text.target == COMPARE_VALUE)
        c->value = moved(&text.value);
    else
        c->version = text.number; /* the union's numbers share their place */
    c->key = moved(&text.key);
    compare_fini(&text);
    return c;
}

/* One line as an operation; its flags are its own. */
static Etcdserverpb__RequestOp *read_operation(const char *line)
{
    Etcdserverpb__RequestOp *op = cli_memory(malloc(sizeof(*op)));
    struct words *words = cli_memory(calloc(1, sizeof(*words))); /* the requests point into it */
    char *rest[WORDS_MAX];
    size_t count;
    struct strbuf why = STRBUF_EMPTY;
    if (words_split(words, line, &why) != OK)
        cli_exit(CLI_INVALID_INPUT, "%s", strbuf_str(&why));
    if (words->count < 2)
        cli_exit(CLI_INVALID_INPUT, "invalid txn compare request: %s", line);
    etcdserverpb__request_op__init(op);
    const char *name = words->items[0];
    struct flag *flags = strcmp(name, "put") == 0   ? put_flags
                         : strcmp(name, "get") == 0 ? get_flags
                         : strcmp(name, "del") == 0 ? del_flags
                                                    : NULL;
    put_reset();
    get_reset();
    del_reset();
    if (flags == NULL || flags_parse(&(struct flag_set){.own = flags}, words->items + 1,
                                     words->count - 1, rest, &count, &why) != OK)
        cli_exit(CLI_INVALID_INPUT, "invalid txn request: %s", line);
    if (flags == put_flags) {
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        op->request_put = cli_memory(malloc(sizeof(*op->request_put)));
        put_request(op->request_put, rest, count);
    } else if (flags == get_flags) {
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        op->request_range = cli_memory(malloc(sizeof(*op->request_range)));
        get_request(op->request_range, rest, count);
    } else {
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
        op->request_delete_range = cli_memory(malloc(sizeof(*op->request_delete_range)));
        del_request(op->request_delete_range, rest, count);
    }
    return op;
}

static Etcdserverpb__RequestOp **read_operations(size_t *count)
{
    Etcdserverpb__RequestOp **list = NULL;
    for (char *line; (line = next_line()) != NULL;) {
        list = grow(list, *count);
        list[(*count)++] = read_operation(line);
    }
    return list;
}

int verb_txn(struct cli *cli, char **arguments, size_t count)
{
    Etcdserverpb__TxnRequest request = ETCDSERVERPB__TXN_REQUEST__INIT;
    (void)arguments;
    if (count != 0)
        cli_exit(CLI_BAD_ARGUMENTS, "txn command does not accept argument");
    cli_start(cli);
    prompt("compares:");
    for (char *line; (line = next_line()) != NULL;) {
        request.compare = grow(request.compare, request.n_compare);
        request.compare[request.n_compare++] = read_compare(line);
    }
    prompt("success requests (get, put, del):");
    request.success = read_operations(&request.n_success);
    prompt("failure requests (get, put, del):");
    request.failure = read_operations(&request.n_failure);
    output_txn(cli, cli_call(cli, "/etcdserverpb.KV/Txn", &request,
                             &etcdserverpb__txn_response__descriptor, false, CLI_ERROR));
    return CLI_OK;
}
