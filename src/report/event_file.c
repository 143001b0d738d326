/*
 * Writes TensorBoard's event files: protocol buffer messages built inside out in a text buffer, framed and appended with one write each, so that a reader never
 * sees half an event but at the end. Owns the descriptor and the buffer. Field numbers are those of TensorFlow's event.proto and summary.proto.
 */
#include "event_file.h"

#include "base/crc32c.h"
#include "base/fs.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 }; /* wire types */
enum { EVENT_TIME = 1, EVENT_STEP = 2, EVENT_VERSION = 3, EVENT_SUMMARY = 5, EVENT_SESSION = 7 };
enum { SUMMARY_VALUE = 1, VALUE_TAG = 1, VALUE_SCALAR = 2, VALUE_IMAGE = 4, VALUE_HISTOGRAM = 5 };
enum { IMAGE_HEIGHT = 1, IMAGE_WIDTH = 2, IMAGE_COLORS = 3, IMAGE_BYTES = 4 };
enum { HISTOGRAM_MIN = 1, HISTOGRAM_MAX = 2, HISTOGRAM_COUNT = 3, HISTOGRAM_SUM = 4, HISTOGRAM_SQUARES = 5, HISTOGRAM_LIMITS = 6, HISTOGRAM_BUCKETS = 7 };
enum { SESSION_STATUS = 1, SESSION_START = 1 };
enum { BUCKETS = 30 };

static void put_varint(struct sky_text *out, uint64_t value)
{
    char bytes[10];
    size_t count = 0;
    do {
        bytes[count] = (char)(value & 127);
        value >>= 7;
        if (value) bytes[count] = (char)(bytes[count] | 128);
        count++;
    } while (value);
    sky_text_append_bytes(out, bytes, count);
}

static void put_key(struct sky_text *out, int field, int wire)
{
    put_varint(out, (uint64_t)(field << 3 | wire));
}

/* Little-endian whatever the machine. */
static void put_fixed(struct sky_text *out, uint64_t bits, int count)
{
    char bytes[8];
    for (int i = 0; i < count; i++) bytes[i] = (char)(bits >> (8 * i));
    sky_text_append_bytes(out, bytes, (size_t)count);
}

static void put_double(struct sky_text *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_fixed(out, bits, 8);
}

static void put_double_field(struct sky_text *out, int field, double value)
{
    put_key(out, field, FIXED64);
    put_double(out, value);
}

static void put_float_field(struct sky_text *out, int field, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(out, field, FIXED32);
    put_fixed(out, bits, 4);
}

static void put_int_field(struct sky_text *out, int field, int64_t value)
{
    put_key(out, field, VARINT);
    put_varint(out, (uint64_t)value);
}

static void put_bytes_field(struct sky_text *out, int field, const void *bytes, size_t count)
{
    put_key(out, field, BYTES);
    put_varint(out, count);
    sky_text_append_bytes(out, bytes, count);
}

/* Puts a finished message into its parent as one field, and frees it. */
static void put_message(struct sky_text *out, int field, struct sky_text *message)
{
    put_bytes_field(out, field, message->text ? message->text : "", message->length);
    out->failed = out->failed || message->failed;
    sky_text_free(message);
}

/* TensorFlow stores checksums rotated and shifted, so that a checksum of data holding checksums stays good. */
static uint32_t masked_crc(const void *bytes, size_t count)
{
    const uint32_t crc = sky_crc32c(0, bytes, count);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

/* One Event: time, step, and `content` as field `field`. */
static sky_status write_event(struct sky_event_file *file, int64_t step, int field, struct sky_text *content)
{
    struct sky_text event = {0}, *record = &file->record;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    put_double_field(&event, EVENT_TIME, (double)now.tv_sec + 1e-9 * (double)now.tv_nsec);
    if (step) put_int_field(&event, EVENT_STEP, step);
    put_message(&event, field, content);
    record->length = 0;
    put_fixed(record, event.length, 8);
    if (!record->failed) put_fixed(record, masked_crc(record->text, 8), 4);
    sky_text_append_bytes(record, event.text ? event.text : "", event.length);
    put_fixed(record, masked_crc(event.text, event.length), 4);
    record->failed = record->failed || event.failed;
    sky_text_free(&event);
    SKY_TRY(sky_text_status(record, "an event"));
    return sky_file_append(file->fd_plus_one - 1, file->path, record->text, record->length); /* all or nothing: readers stop for good at half an event */
}

sky_status sky_event_file_open(struct sky_event_file *file, const char *folder, int64_t next_step)
{
    char name[160], host[64] = "host";
    struct sky_text version = {0}, session = {0};
    gethostname(host, sizeof host - 1);
    snprintf(name, sizeof name, "events.out.tfevents.%lld.%s.%ld", (long long)time(NULL), host, (long)getpid());
    SKY_TRY(sky_path_join(&file->path, folder, name));
    file->fd_plus_one = open(file->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) + 1;
    sky_status status = file->fd_plus_one ? SKY_OK : sky_fail_errno(file->path, "opening");
    sky_text_append(&version, "brain.Event:2");
    if (status == SKY_OK) status = write_event(file, 0, EVENT_VERSION, &version);
    if (status == SKY_OK && next_step > 0) {
        put_int_field(&session, SESSION_STATUS, SESSION_START);
        status = write_event(file, next_step, EVENT_SESSION, &session);
    }
    sky_text_free(&version);
    sky_text_free(&session);
    if (status != SKY_OK) sky_event_file_close(file);
    return status;
}

void sky_event_file_close(struct sky_event_file *file)
{
    if (file->fd_plus_one) close(file->fd_plus_one - 1);
    sky_text_free(&file->record);
    free(file->path);
    memset(file, 0, sizeof *file);
}

static void begin_value(struct sky_text *value, const char *tag)
{
    put_bytes_field(value, VALUE_TAG, tag, strlen(tag));
}

sky_status sky_event_file_scalars(struct sky_event_file *file, int64_t step, const struct sky_event_scalar *scalars, int count)
{
    struct sky_text summary = {0};
    if (!file->fd_plus_one) return SKY_OK;
    for (int i = 0; i < count; i++) {
        struct sky_text value = {0};
        if (isnan(scalars[i].value)) continue;
        begin_value(&value, scalars[i].tag);
        put_float_field(&value, VALUE_SCALAR, (float)scalars[i].value);
        put_message(&summary, SUMMARY_VALUE, &value);
    }
    return write_event(file, step, EVENT_SUMMARY, &summary);
}

struct spread {
    double low, high, sum, squares, buckets[BUCKETS];
};

static void spread_values(struct spread *spread, const float *values, int64_t count)
{
    *spread = (struct spread){.low = (double)values[0], .high = (double)values[0]};
    for (int64_t i = 0; i < count; i++) {
        const double value = (double)values[i];
        spread->low = fmin(spread->low, value), spread->high = fmax(spread->high, value);
        spread->sum += value, spread->squares += value * value;
    }
    const double width = spread->high - spread->low;
    for (int64_t i = 0; i < count; i++) {
        const int bucket = width > 0 ? (int)(((double)values[i] - spread->low) / width * BUCKETS) : 0;
        spread->buckets[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    }
}

sky_status sky_event_file_histogram(struct sky_event_file *file, int64_t step, const char *tag, const float *values, int64_t count)
{
    struct sky_text summary = {0}, value = {0}, histogram = {0}, limits = {0}, buckets = {0};
    struct spread spread;
    if (!file->fd_plus_one || count <= 0) return SKY_OK;
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(values[i])) return sky_fail(SKY_NUMERIC, tag, "value %lld is not finite", (long long)i);
    spread_values(&spread, values, count);
    for (int i = 0; i < BUCKETS; i++) {
        put_double(&limits, i + 1 < BUCKETS ? spread.low + (spread.high - spread.low) * (i + 1) / BUCKETS : nextafter(spread.high, INFINITY));
        put_double(&buckets, spread.buckets[i]);
    }
    put_double_field(&histogram, HISTOGRAM_MIN, spread.low);
    put_double_field(&histogram, HISTOGRAM_MAX, spread.high);
    put_double_field(&histogram, HISTOGRAM_COUNT, (double)count);
    put_double_field(&histogram, HISTOGRAM_SUM, spread.sum);
    put_double_field(&histogram, HISTOGRAM_SQUARES, spread.squares);
    put_message(&histogram, HISTOGRAM_LIMITS, &limits);
    put_message(&histogram, HISTOGRAM_BUCKETS, &buckets);
    begin_value(&value, tag);
    put_message(&value, VALUE_HISTOGRAM, &histogram);
    put_message(&summary, SUMMARY_VALUE, &value);
    return write_event(file, step, EVENT_SUMMARY, &summary);
}

sky_status sky_event_file_png(struct sky_event_file *file, int64_t step, const char *tag, int width, int height, const void *png, size_t bytes)
{
    struct sky_text summary = {0}, value = {0}, image = {0};
    if (!file->fd_plus_one) return SKY_OK;
    put_int_field(&image, IMAGE_HEIGHT, height);
    put_int_field(&image, IMAGE_WIDTH, width);
    put_int_field(&image, IMAGE_COLORS, 3);
    put_bytes_field(&image, IMAGE_BYTES, png, bytes);
    begin_value(&value, tag);
    put_message(&value, VALUE_IMAGE, &image);
    put_message(&summary, SUMMARY_VALUE, &value);
    return write_event(file, step, EVENT_SUMMARY, &summary);
}
