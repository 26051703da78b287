/* A warren zone without a registry behind it, for comparing its answers with another server's.
 *
 * serve-zone ZONE DUMP     serves ZONE as the keys and values of DUMP (a key, a tab, a value, and
 * the key's revision is its line) say, over TCP on 127.0.0.1; prints the port. One client at a
 * time; ends when it closes. Names that the zone does not own are REFUSED. */
#include "base/dns_message.h"
#include "registry/peer.h"
#include "zones/warren.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void require(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "serve-zone: %s\n", what);
    exit(1);
}

static void apply(struct zones_warren *z, struct bytes key, struct bytes value, int64_t revision)
{
    static struct registry_zone zone;
    struct registry_key k;
    struct registry_peer peer;
    struct registry_observation o;
    struct arena arena;
    struct strbuf why = STRBUF_EMPTY;
    enum err e = ERR_INVALID;
    arena_init(&arena, 4 << 20);
    registry_key_parse(&k, key);
    if (k.type == REGISTRY_KEY_ZONE) {
        e = registry_zone_parse(&zone, value, &why);
        if (e == OK)
            e = zones_warren_set_zone(z, &zone, revision);
    } else if (k.type == REGISTRY_KEY_PEER) {
        e = registry_peer_parse(&peer, value, &arena, &why);
        if (e == OK)
            e = zones_warren_set_peer(z, k.peer, &peer, revision);
    } else if (k.type == REGISTRY_KEY_ENDPOINT) {
        e = registry_observation_parse(&o, value, &why);
        if (e == OK)
            e = zones_warren_set_observation(z, k.peer, k.observer, &o, revision);
    }
    if (e != OK)
        fprintf(stderr, "serve-zone: line %lld: %s\n", (long long)revision, strbuf_str(&why));
    require(e == OK, "a line of the dump is refused");
    zones_warren_free(zones_warren_reclaim(z));
    strbuf_fini(&why);
    arena_fini(&arena);
}

static void load(struct zones_warren *z, const char *path)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    int64_t revision = 0;
    FILE *f = fopen(path, "re");
    require(f != NULL, "cannot open the dump");
    while ((size = getline(&line, &capacity, f)) > 0) {
        char *tab = strchr(line, '\t');
        require(tab != NULL, "a line without a tab");
        size -= line[size - 1] == '\n';
        apply(z, bytes_of(line, (size_t)(tab - line)),
              bytes_of(tab + 1, (size_t)(line + size - tab - 1)), ++revision);
    }
    free(line);
    fclose(f);
}

static size_t answer(const struct zones_warren *z, const uint8_t *data, size_t size, uint8_t *out,
                     struct arena *arena)
{
    static struct dns_request request;
    struct dns_message reply;
    struct dns_name_buf name;
    size_t out_size = 0;
    if (dns_request_parse(&request, data, size) != DNS_ACCEPT || !request.message.has_question)
        return 0;
    dns_name_lower(&name, request.message.question.name);
    if (zones_warren_owns(z, dns_name_of(&name))) {
        dns_reply_init(&reply, &request.message);
        require(zones_warren_answer(z, dns_name_of(&name), request.message.question.type, arena,
                                    &reply) == OK,
                "no answer");
    } else {
        dns_reply_init_rcode(&reply, &request.message, DNS_RCODE_REFUSED);
    }
    require(dns_message_write_within(&reply, DNS_MAX_MESSAGE_SIZE, out, DNS_MAX_MESSAGE_SIZE,
                                     &out_size) == OK,
            "an answer that cannot be written");
    return out_size;
}

static bool read_all(int fd, uint8_t *out, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t n = recv(fd, out + at, size - at, 0);
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

static void serve(const struct zones_warren *z, int fd)
{
    static uint8_t in[DNS_MAX_MESSAGE_SIZE], out[2 + DNS_MAX_MESSAGE_SIZE];
    uint8_t head[2];
    struct arena arena;
    arena_init(&arena, 16 << 20);
    while (read_all(fd, head, sizeof head)) {
        size_t size = (size_t)head[0] << 8 | head[1];
        if (!read_all(fd, in, size))
            break;
        size_t out_size = answer(z, in, size, out + 2, &arena);
        out[0] = (uint8_t)(out_size >> 8);
        out[1] = (uint8_t)out_size;
        if (send(fd, out, out_size + 2, MSG_NOSIGNAL) != (ssize_t)out_size + 2)
            break;
        arena_reset(&arena);
    }
    arena_fini(&arena);
}

int main(int argc, char **argv)
{
    static const uint8_t hash_key[HASH_KEY_SIZE];
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof sa;
    struct dns_name_buf name;
    struct zones_warren *z = NULL;
    require(argc == 3, "usage: serve-zone ZONE DUMP");
    require(dns_name_from_text(&name, argv[1], strlen(argv[1])) == OK &&
                zones_warren_create(&z, dns_name_of(&name), hash_key) == OK,
            "no zone");
    load(z, argv[2]);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    require(listener >= 0 && bind(listener, (struct sockaddr *)&sa, size) == 0 &&
                listen(listener, 1) == 0 &&
                getsockname(listener, (struct sockaddr *)&sa, &size) == 0,
            "cannot listen");
    printf("%u\n", ntohs(sa.sin_port));
    fflush(stdout);
    int fd = accept(listener, NULL, NULL);
    require(fd >= 0, "no client");
    serve(z, fd);
    close(fd);
    close(listener);
    zones_warren_destroy(z);
    return 0;
}
