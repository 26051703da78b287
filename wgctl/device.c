#include "wgctl/device.h"

#include "handle.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const char default_socket_dir[] = "/var/run/wireguard";

enum {
    BUFFER_SIZE = (int)USERSPACE_RECEIVE_SIZE > (int)NETLINK_RECEIVE_SIZE
                      ? (int)USERSPACE_RECEIVE_SIZE
                      : (int)NETLINK_RECEIVE_SIZE,
};

enum err fail(struct failure *why, enum err error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why->text, sizeof(why->text), format, args);
    va_end(args);
    return error;
}

enum err wgctl_create(struct wgctl **out, const char *socket_dir)
{
    if (sodium_init() < 0)
        return ERR_IO;
    struct wgctl *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return ERR_NO_MEMORY;
    w->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->socket_dir = strdup(socket_dir != NULL ? socket_dir : default_socket_dir);
    w->buffer = malloc(BUFFER_SIZE);
    wg_device_init(&w->spare);
    public_key_cache_init(&w->key_cache);
    if (w->socket_dir == NULL || w->buffer == NULL) {
        wgctl_destroy(w);
        return ERR_NO_MEMORY;
    }
    *out = w;
    return OK;
}

void wgctl_destroy(struct wgctl *w)
{
    if (w == NULL)
        return;
    netlink_close(&w->netlink);
    if (w->cancel_fd >= 0)
        (void)close(w->cancel_fd);
    wg_device_fini(&w->spare);
    free(w->buffer);
    free(w->socket_dir);
    free(w);
}

void wgctl_cancel(struct wgctl *w)
{
    if (w->cancel_fd >= 0)
        (void)eventfd_write(w->cancel_fd, 1);
}

const char *wgctl_error(const struct wgctl *w)
{
    return w->why.text;
}

/* Whether the kernel would take NAME for an interface, and it cannot leave a directory. */
static bool name_ok(const char *name)
{
    size_t size = strnlen(name, WG_NAME_SIZE);
    return size > 0 && size < WG_NAME_SIZE && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

enum err wgctl_check_name(struct wgctl *w, const char *name)
{
    w->why.text[0] = '\0';
    return name_ok(name)
               ? OK
               : fail(&w->why, ERR_NO_DEVICE, "no interface can have the name \"%s\"", name);
}

enum err wgctl_neither(struct wgctl *w, enum err error, const struct failure *socket)
{
    if (error != ERR_NO_DEVICE)
        return error;
    struct failure kernel = w->why;
    return fail(&w->why, error, "%.120s; %.120s", kernel.text, socket->text);
}

enum err wgctl_read(struct wgctl *w, const char *name, struct wg_device *out)
{
    enum err error = wgctl_check_name(w, name);
    if (error != OK)
        return error;
    error = userspace_read(w->socket_dir, name, &w->spare, &w->key_cache, w->cancel_fd, w->buffer,
                           &w->why);
    if (error == ERR_NOT_FOUND) {
        struct failure socket = w->why;
        error = netlink_read(&w->netlink, name, &w->spare, w->buffer, &w->why);
        error = wgctl_neither(w, error, &socket);
    }
    if (error != OK)
        return error;
    w->why.text[0] = '\0';
    (void)snprintf(w->spare.name, sizeof(w->spare.name), "%s", name);
    struct wg_device read = w->spare;
    w->spare = *out;
    *out = read;
    return OK;
}
