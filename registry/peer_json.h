/* A peer out of a JSON object that holds more than a peer: a line of `warrenctl import`. */
#ifndef WARREN_REGISTRY_PEER_JSON_H
#define WARREN_REGISTRY_PEER_JSON_H

#include "registry/peer.h"

#include <jansson.h>

/* The object that VALUE is, with the bounds of a stored value; the caller's. Errors as
 * registry_peer_parse's. */
enum err registry_object_load(json_t **out, struct bytes value, struct strbuf *why) MUST_CHECK;
/* As registry_peer_parse, from an object. */
enum err registry_peer_read(struct registry_peer *out, const json_t *object, struct arena *arena,
                            struct strbuf *why) MUST_CHECK;

#endif
