/* CRC-32C (RFC 3720 appendix B.4): the checksum of the journal's rows, and the hash of the key
 * space. Any flip of up to 32 neighbouring bits changes it. Pure. */
#ifndef WARREN_BASE_CRC32C_H
#define WARREN_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Goes on from CRC, which is 0 for the first piece: crc32c(crc32c(0, a), b) is that of a and b. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

/* The same without the processor's instruction. */
uint32_t crc32c_plain(uint32_t crc, const void *data, size_t size);

#endif
