/*
 * Writing and checking of the two checksums. Owns nothing between calls.
 */
#include "sealed.h"

#include "base/crc32c.h"
#include "base/memory.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATA_SUM "crc32c"
#define HEADER_SUM "crc32c_header"

enum { HEADER_ROOM = 1 << 20, SUM_TEXT = 16 };

/* A crc32c an entry, added up: the order of entries in the header means nothing. The sum's own entry is left out. */
static void print_header_sum(const struct sky_file_tensor *tensors, int64_t count, const struct sky_file_text *texts, int64_t text_count, char out[SUM_TEXT])
{
    uint32_t sum = 0;
    for (int64_t i = 0; i < text_count; i++) {
        if (!strcmp(texts[i].key, HEADER_SUM)) continue;
        const uint32_t key = sky_crc32c(0, texts[i].key, strlen(texts[i].key) + 1);
        sum += sky_crc32c(key, texts[i].value, strlen(texts[i].value) + 1);
    }
    for (int64_t i = 0; i < count; i++) {
        uint32_t entry = sky_crc32c(0, tensors[i].name, strlen(tensors[i].name) + 1);
        const char *type = sky_dtype_name(tensors[i].dtype);
        entry = sky_crc32c(entry, type, strlen(type) + 1);
        sum += sky_crc32c(entry, tensors[i].dim, (size_t)tensors[i].rank * sizeof *tensors[i].dim);
    }
    snprintf(out, SUM_TEXT, "%08x", sum);
}

static sky_status check_room(const char *path, size_t need_bytes, const char *what)
{
    char *folder = NULL, need[32], have[32];
    size_t free_bytes = 0;
    SKY_TRY(sky_path_folder(&folder, path));
    sky_status status = sky_free_bytes(folder, &free_bytes);
    free(folder);
    SKY_TRY(status);
    if (free_bytes >= need_bytes) return SKY_OK;
    sky_print_bytes(need_bytes, need);
    sky_print_bytes(free_bytes, have);
    sky_fail(SKY_NOSPACE, path, "the disk has %s left, %s takes %s", have, what, need);
    return sky_hint("make room; what was written before is untouched");
}

sky_status sky_sealed_write(const char *path, const struct sky_file_tensor *tensors, int64_t count, const struct sky_file_text *texts, int64_t text_count,
                            const char *what)
{
    struct sky_file_text *all = NULL;
    char data_sum[SUM_TEXT], header_sum[SUM_TEXT];
    uint32_t crc = 0;
    size_t bytes = HEADER_ROOM;
    for (int64_t i = 0; i < count; i++) {
        crc = sky_crc32c(crc, tensors[i].data, sky_file_tensor_bytes(&tensors[i]));
        bytes += sky_file_tensor_bytes(&tensors[i]);
    }
    SKY_TRY(check_room(path, bytes, what));
    SKY_TRY(sky_alloc(&all, (size_t)text_count + 2, sizeof *all, "a file's metadata"));
    if (text_count) memcpy(all, texts, (size_t)text_count * sizeof *all);
    snprintf(data_sum, sizeof data_sum, "%08x", crc);
    all[text_count] = (struct sky_file_text){DATA_SUM, data_sum};
    print_header_sum(tensors, count, all, text_count + 1, header_sum);
    all[text_count + 1] = (struct sky_file_text){HEADER_SUM, header_sum};
    sky_status status = sky_safetensors_write(path, tensors, count, all, text_count + 2);
    if (status == SKY_NOSPACE) status = sky_hint("the disk filled up meanwhile; make room: what was written before is untouched");
    free(all);
    return status;
}

bool sky_sealed_is(const struct sky_safetensors *file) { return sky_safetensors_text(file, DATA_SUM) != NULL; }

sky_status sky_sealed_verify(const struct sky_safetensors *file, bool data)
{
    const char *data_sum = sky_safetensors_text(file, DATA_SUM), *header_sum = sky_safetensors_text(file, HEADER_SUM);
    char sum[SUM_TEXT];
    if (!data_sum || !header_sum)
        return sky_fail(SKY_FORMAT, file->path, "it has no checksum%s: not a file that skygem wrote whole", data_sum ? " of its header" : "");
    print_header_sum(file->tensors, file->tensor_count, file->texts, file->text_count, sum);
    if (strcmp(header_sum, sum) != 0) return sky_fail(SKY_FORMAT, file->path, "its header is damaged: crc32c is %s, should be %s", sum, header_sum);
    if (!data) return SKY_OK;
    snprintf(sum, sizeof sum, "%08x", sky_crc32c(0, file->data, file->data_bytes));
    if (strcmp(data_sum, sum) != 0) return sky_fail(SKY_FORMAT, file->path, "its data are damaged: crc32c is %s, should be %s", sum, data_sum);
    return SKY_OK;
}
