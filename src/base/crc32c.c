/*
 * CRC-32C by eight tables, eight bytes a round: about 2 GB/s on any processor, so a checkpoint of several hundred MB costs a fraction of
 * a second. The tables (8 KiB) are computed once, on first use, from any thread.
 */
#include "crc32c.h"

#include <pthread.h>

static uint32_t table[8][256]; /* table[k][b]: the register after byte b and k zero bytes */
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void table_fill(void)
{
    const uint32_t polynomial = 0x82f63b78u; /* 0x1edc6f41, bits reversed */
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (crc & 1 ? polynomial : 0);
        table[0][byte] = crc;
    }
    for (int k = 1; k < 8; k++) {
        for (int byte = 0; byte < 256; byte++) table[k][byte] = (table[k - 1][byte] >> 8) ^ table[0][table[k - 1][byte] & 255];
    }
}

static uint32_t load_le32(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

uint32_t sky_crc32c(uint32_t crc, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;
    pthread_once(&table_once, table_fill);
    crc = ~crc;
    for (; count >= 8; count -= 8, at += 8) {
        const uint32_t low = load_le32(at) ^ crc, high = load_le32(at + 4);
        crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^ table[4][low >> 24] ^ table[3][high & 255] ^
              table[2][high >> 8 & 255] ^ table[1][high >> 16 & 255] ^ table[0][high >> 24];
    }
    for (; count; count--, at++) crc = (crc >> 8) ^ table[0][(crc ^ *at) & 255];
    return ~crc;
}
