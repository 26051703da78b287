/* Messages of etcdserverpb.Maintenance (maintenance.c). */
#ifndef WARREN_REGISTRY_API_MAINTENANCE_H
#define WARREN_REGISTRY_API_MAINTENANCE_H

#include "encode.h"
#include "registry/store.h"

/* The etcd whose behaviour this is: clients read it and choose what they may ask for. */
#define API_ETCD_VERSION "3.5.17"

size_t encode_status_size(const struct reply_header *h, const struct store_status *s);
uint8_t *encode_status(uint8_t *at, const struct reply_header *h, const struct store_status *s);
size_t encode_alarms_size(const struct reply_header *h, const struct alarm *alarms, size_t count);
uint8_t *encode_alarms(uint8_t *at, const struct reply_header *h, const struct alarm *alarms,
                       size_t count);

#endif
