/* A daemon without its process: instances of real Corefiles on a loop in a thread of its own, and
 * clients with sockets. Every wait is bounded by SERVED_WAIT_MS and fails the running test. */
#ifndef WARREN_TESTS_DNSD_SERVED_H
#define WARREN_TESTS_DNSD_SERVED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/dns_message.h"
#include "dnsd/instance.h"

#include <stdbool.h>

enum {
    SERVED_WAIT_MS = 10000
};

struct served;

/* COREFILE's "%u" (as many as it has, at most three) become the ports served_port(0), (1), (2). The
 * instance is loaded and started on the loop's thread. WORKERS UDP sockets per address. */
struct served *served_start(const char *corefile, size_t workers);
/* Loads and starts a new instance and stops the old one, as the process does. "" or the error; then
 * the old one serves on. Valid until the next call. */
const char *served_reload(struct served *s, const char *corefile);
/* Stops what is running; the sockets may still be closing. */
void served_stop(struct served *s);
/* Stops if need be, waits for the loop to close everything, checks that nothing is left. */
void served_free(struct served *s);
uint16_t served_port(const struct served *s, unsigned index);
struct dnsd *served_dnsd(struct served *s);
/* Runs FN(CONTEXT) on the loop's thread and waits for it. */
void served_call(struct served *s, void (*fn)(void *context), void *context);
size_t served_connections(struct served *s);
size_t served_held(struct served *s);

/* A query with an ID; returns its size. UDP_SIZE 0: no OPT. */
size_t query_make(uint8_t out[static 512], uint16_t id, const char *name, uint16_t type,
                  uint16_t udp_size);
/* The same behind its length. */
size_t frame_make(uint8_t out[static 514], uint16_t id, const char *name, uint16_t type);

int client_connect(uint16_t port);
void client_send(int fd, const void *data, size_t size);
/* The next frame, or 0 at the end of the stream. */
size_t client_read_frame(int fd, uint8_t out[static DNS_MAX_MESSAGE_SIZE]);
/* Reads a frame and checks the ID and that it is a reply. */
void client_expect(int fd, uint16_t id);
/* The stream ends (by FIN or RST) before more comes; returns after how many milliseconds. */
int64_t client_expect_end(int fd);
int64_t now_ms(void);
void sleep_ms(unsigned ms);

/* A fake device of PEERS peers called "wg9" whose sockets the process's devices find, until the
 * next call; 0 removes it. */
void fake_device(size_t peers);

#endif
