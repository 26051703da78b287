#include "peers.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void parse_line(const char *path, size_t number, const char *line, bool upper,
                       struct peer *p)
{
    char label[PEER_LABEL_SIZE + 2], address[64];
    unsigned port;
    if (sscanf(line, "%57s %u %63s", label, &port, address) != 3 ||
        strlen(label) != PEER_LABEL_SIZE || port > UINT16_MAX)
        errx(2, "%s:%zu: not \"LABEL PORT ADDRESS\"", path, number);
    for (size_t i = 0; i < PEER_LABEL_SIZE; i++)
        p->label[i] =
            (char)(upper ? toupper((unsigned char)label[i]) : tolower((unsigned char)label[i]));
    p->port = (uint16_t)port;
    if (inet_pton(AF_INET, address, p->address) == 1)
        p->address_size = 4;
    else if (inet_pton(AF_INET6, address, p->address) == 1)
        p->address_size = 16;
    else
        errx(2, "%s:%zu: %s is no address", path, number, address);
}

struct peer_list peer_list_read(const char *path, bool upper)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        err(2, "%s", path);
    struct peer_list list = {0};
    size_t capacity = 0;
    char line[256];
    while (fgets(line, sizeof line, file) != NULL) {
        if (list.count == capacity) {
            capacity = capacity == 0 ? 1024 : capacity * 2;
            list.peers = realloc(list.peers, capacity * sizeof *list.peers);
            if (list.peers == NULL)
                err(2, "%s", path);
        }
        parse_line(path, list.count + 1, line, upper, &list.peers[list.count]);
        list.count++;
    }
    (void)fclose(file);
    if (list.count == 0)
        errx(2, "%s: no peers", path);
    return list;
}
