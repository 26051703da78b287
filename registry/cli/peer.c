#include "peer.h"

#include <stdio.h>

void peer_read_label(char *out, size_t max, const char *text, const char *what)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < size && i < max; i++)
        out[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + 32) : text[i];
    if (size > max || !registry_label_is_valid(out, size))
        cli_exit(CLI_BAD_ARGUMENTS,
                 "%s '%s' is not one DNS label of letters, digits and inner hyphens (at most %zu)",
                 what, text, max);
    out[size] = '\0';
}

void peer_refuse_name(const struct peer_list *list, const char *zone, const char *name,
                      const uint8_t *but)
{
    char key[KEY_BASE64_SIZE];
    for (size_t i = 0; i < list->count && name[0] != '\0'; i++) {
        const struct stored_peer *p = &list->items[i];
        if (strcmp(p->entry.peer.name, name) != 0 ||
            (but != NULL && memcmp(but, p->entry.key, KEY_SIZE) == 0))
            continue;
        key_to_base64(key, p->entry.key);
        cli_exit(CLI_ERROR, "zone %s already has a peer called %s: %.*s", zone, name,
                 KEY_BASE64_SIZE, key);
    }
}

void peer_say(const struct cli *cli, const struct peer_entry *entry, const char *done)
{
    char key[KEY_BASE64_SIZE];
    struct strbuf line = STRBUF_EMPTY;
    key_to_base64(key, entry->key);
    if (cli->format == FORMAT_JSON) {
        peer_line_format(&line, entry);
        puts(cli_text(&line));
    } else {
        printf("peer %s%s%.*s %s\n", entry->peer.name, entry->peer.name[0] != '\0' ? ", " : "",
               KEY_BASE64_SIZE, key, done);
    }
    cli_flush();
}

_Noreturn void peer_give_up(const char *zone)
{
    cli_exit(CLI_ERROR, "others write to zone %s all the time; try again", zone);
}
