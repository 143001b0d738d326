/*
 * TensorBoard event files: framing and checksums by an own reader, field by field; the masked checksum of a known record. tests/golden/event_file_test.sh reads
 * a run's files with TensorBoard.
 */
#include "check.h"
#include "folder.h"

#include "base/crc32c.h"
#include "base/fs.h"
#include "report/event_file.h"

#include <math.h>

struct reader {
    const unsigned char *at, *end;
};

static uint64_t fixed(struct reader *r, int count)
{
    uint64_t bits = 0;
    if (r->end - r->at < count) return CHECK(!"a message goes on past its end"), 0;
    for (int i = 0; i < count; i++) bits |= (uint64_t)r->at[i] << (8 * i);
    r->at += count;
    return bits;
}

static uint64_t varint(struct reader *r)
{
    uint64_t value = 0;
    for (int shift = 0; r->at < r->end && shift < 64; shift += 7) {
        const unsigned char byte = *r->at++;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) break;
    }
    return value;
}

static uint32_t unmasked(uint32_t masked)
{
    const uint32_t rotated = masked - 0xa282ead8u;
    return rotated >> 17 | rotated << 15;
}

/* The next record's message, its two checksums checked. */
static int next_event(struct reader *file, struct reader *event)
{
    if (file->at == file->end) return 0;
    const unsigned char *header = file->at;
    const uint64_t length = fixed(file, 8);
    CHECK(unmasked((uint32_t)fixed(file, 4)) == sky_crc32c(0, header, 8));
    if (!CHECK(length <= (uint64_t)(file->end - file->at))) return 0;
    *event = (struct reader){file->at, file->at + length};
    file->at += length;
    CHECK(unmasked((uint32_t)fixed(file, 4)) == sky_crc32c(0, event->at, length));
    return 1;
}

/* Field `number` of a message: its number or, for bytes, a reader of them. */
static int find(struct reader message, int number, uint64_t *value, struct reader *bytes)
{
    while (message.at < message.end) {
        const uint64_t key = varint(&message);
        struct reader inside = {0};
        uint64_t got = 0;
        switch (key & 7) {
        case 0: got = varint(&message); break;
        case 1: got = fixed(&message, 8); break;
        case 5: got = fixed(&message, 4); break;
        default: {
            const uint64_t length = varint(&message);
            if (!CHECK(length <= (uint64_t)(message.end - message.at))) return 0;
            inside = (struct reader){message.at, message.at + length};
            message.at += length;
        }
        }
        if ((int)(key >> 3) != number) continue;
        if (value) *value = got;
        if (bytes) *bytes = inside;
        return 1;
    }
    return 0;
}

static double as_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float as_float(uint64_t bits)
{
    const uint32_t low = (uint32_t)bits;
    float value;
    memcpy(&value, &low, sizeof value);
    return value;
}

static void check_text(struct reader bytes, const char *wanted)
{
    CHECK((size_t)(bytes.end - bytes.at) == strlen(wanted) && !memcmp(bytes.at, wanted, strlen(wanted)));
}

static void write_events(char **path)
{
    struct sky_event_file file = {0};
    const struct sky_event_scalar scalars[] = {{"train/loss", 1.5}, {"train/none", NAN}, {"lr/head", 0.25}};
    const float values[] = {1, 2, 3, 4};
    CHECK_OK(sky_event_file_open(&file, folder, 300));
    CHECK_OK(sky_event_file_scalars(&file, 300, scalars, 3));
    CHECK_OK(sky_event_file_histogram(&file, 301, "gem/p", values, 4));
    CHECK_OK(sky_event_file_png(&file, 302, "sheet", 20, 10, "PNG", 3));
    CHECK_FAILS(sky_event_file_histogram(&file, 303, "gem/p", (const float[]){1, NAN}, 2), SKY_NUMERIC, "gem/p");
    *path = strdup(file.path);
    sky_event_file_close(&file);
    CHECK_OK(sky_event_file_scalars(&file, 1, scalars, 3)); /* closed: nothing happens */
}

static void check_histogram(struct reader value)
{
    struct reader histogram = {0}, limits = {0}, buckets = {0};
    uint64_t bits = 0;
    double total = 0;
    CHECK(find(value, 5, NULL, &histogram));
    CHECK(find(histogram, 1, &bits, NULL) && as_double(bits) == 1);
    CHECK(find(histogram, 2, &bits, NULL) && as_double(bits) == 4);
    CHECK(find(histogram, 3, &bits, NULL) && as_double(bits) == 4);
    CHECK(find(histogram, 4, &bits, NULL) && as_double(bits) == 10);
    CHECK(find(histogram, 5, &bits, NULL) && as_double(bits) == 30);
    CHECK(find(histogram, 6, NULL, &limits) && find(histogram, 7, NULL, &buckets) && limits.end - limits.at == 30 * 8 && buckets.end - buckets.at == 30 * 8);
    double last = 1;
    while (limits.at < limits.end) {
        const double limit = as_double(fixed(&limits, 8)), count = as_double(fixed(&buckets, 8));
        CHECK(limit > last);
        last = limit, total += count;
    }
    CHECK(total == 4 && last > 4);
}

static void test_events(void)
{
    char *path = NULL, *text = NULL;
    size_t bytes = 0;
    struct reader event = {0}, inside = {0}, value = {0}, image = {0};
    uint64_t bits = 0;
    write_events(&path);
    CHECK_OK(sky_file_read(path, 1 << 20, &text, &bytes));
    CHECK(strstr(path, "/events.out.tfevents.") != NULL);
    struct reader file = {(unsigned char *)text, (unsigned char *)text + bytes};
    CHECK(next_event(&file, &event) && find(event, 3, NULL, &inside)), check_text(inside, "brain.Event:2");
    CHECK(find(event, 1, &bits, NULL) && as_double(bits) > 1.7e9);
    CHECK(next_event(&file, &event) && find(event, 2, &bits, NULL) && bits == 300 && find(event, 7, NULL, &inside) && find(inside, 1, &bits, NULL) && bits == 1);

    CHECK(next_event(&file, &event) && find(event, 2, &bits, NULL) && bits == 300 && find(event, 5, NULL, &inside));
    CHECK(find(inside, 1, NULL, &value) && find(value, 2, &bits, NULL) && as_float(bits) == 1.5f && find(value, 1, NULL, &image)), check_text(image, "train/loss");
    inside.at = value.end; /* the one that is NaN is left out */
    CHECK(find(inside, 1, NULL, &value) && find(value, 2, &bits, NULL) && as_float(bits) == 0.25f && find(value, 1, NULL, &image)), check_text(image, "lr/head");
    CHECK(value.end == inside.end);

    CHECK(next_event(&file, &event) && find(event, 5, NULL, &inside) && find(inside, 1, NULL, &value)), check_histogram(value);
    CHECK(next_event(&file, &event) && find(event, 5, NULL, &inside) && find(inside, 1, NULL, &value) && find(value, 4, NULL, &image));
    CHECK(find(image, 1, &bits, NULL) && bits == 10 && find(image, 2, &bits, NULL) && bits == 20 && find(image, 4, NULL, &inside)), check_text(inside, "PNG");
    CHECK(file.at == file.end);
    free(text), free(path);
}

static void test_bad_folder(void)
{
    struct sky_event_file file = {0};
    CHECK_FAILS(sky_event_file_open(&file, "/nowhere/at/all", 0), SKY_IO, "/nowhere/at/all");
    CHECK(!file.fd_plus_one && !file.path);
}

int main(void)
{
    folder_make();
    test_events();
    test_bad_folder();
    folder_remove(folder);
    return check_done();
}
