/*
 * MATLAB 5 files byte by byte: header, tags, padding, column order, UTF-16 paths; and what the format cannot hold.
 */
#include "check.h"
#include "folder.h"

#include "io/mat.h"

#define GALLERY_F_BYTES (8 + 16 + 16 + 8 + 16 + 8 + 24)

static uint32_t u32(const unsigned char *at) { return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24; }

static void test_bytes(void)
{
    const float gallery_rows[6] = {1, 2, 3, 4, 5, 6}, query_rows[3] = {7, 8, 9};
    const int64_t gallery_labels[2] = {12, -1}, query_labels[1] = {12};
    const char *const gallery_paths[2] = {"a.jpg", "\xC3\xA9\xF0\x9F\x9B\xB0.jpg"}, *const query_paths[1] = {"q"};
    const struct sky_mat_side gallery = {2, 3, gallery_rows, gallery_labels, gallery_paths}, query = {1, 3, query_rows, query_labels, query_paths};
    char *text = NULL;
    size_t count = 0;
    CHECK_OK(sky_mat_write_result(in_folder("x.mat"), &gallery, &query));
    CHECK_OK(sky_file_read(in_folder("x.mat"), 1 << 20, &text, &count));
    const unsigned char *at = (const unsigned char *)text;
    CHECK(!memcmp(at, "MATLAB 5.0 MAT-file", 19) && at[124] == 0 && at[125] == 1 && at[126] == 'I' && at[127] == 'M');

    at += 128; /* gallery_f: single 2 x 3, by columns */
    CHECK(u32(at) == 14 && u32(at + 4) == GALLERY_F_BYTES - 8);
    CHECK(u32(at + 8) == 6 && u32(at + 12) == 8 && u32(at + 16) == 7 && u32(at + 20) == 0);
    CHECK(u32(at + 24) == 5 && u32(at + 28) == 8 && u32(at + 32) == 2 && u32(at + 36) == 3);
    CHECK(u32(at + 40) == 1 && u32(at + 44) == 9 && !memcmp(at + 48, "gallery_f\0\0\0\0\0\0\0", 16));
    CHECK(u32(at + 64) == 7 && u32(at + 68) == 24);
    static const float columns[6] = {1, 4, 2, 5, 3, 6};
    CHECK(!memcmp(at + 72, columns, sizeof columns));

    at += GALLERY_F_BYTES; /* gallery_label: int64 1 x 2 */
    CHECK(u32(at) == 14 && u32(at + 16) == 14 && u32(at + 32) == 1 && u32(at + 36) == 2 && u32(at + 44) == 13 && u32(at + 64) == 12 && u32(at + 68) == 16);
    CHECK(!memcmp(at + 72, gallery_labels, 16));

    at += 8 + u32(at + 4); /* gallery_path: char 2 x 7 (e with an accent, a surrogate pair, 4 letters) */
    CHECK(u32(at) == 14 && u32(at + 16) == 4 && u32(at + 32) == 2 && u32(at + 36) == 7 && u32(at + 64) == 4 && u32(at + 68) == 28 &&
          (8 + u32(at + 4)) % 8 == 0);
    static const uint16_t units[14] = {'a', 0xE9, '.', 0xD83D, 'j', 0xDEF0, 'p', '.', 'g', 'j', ' ', 'p', ' ', 'g'};
    CHECK(!memcmp(at + 72, units, sizeof units));

    at += 8 + u32(at + 4); /* the query's three: one value's odd lengths are padded */
    CHECK(!memcmp(at + 48, "query_f", 8) && u32(at + 32) == 1 && u32(at + 36) == 3 && u32(at + 60) == 12 && !memcmp(at + 64, query_rows, 12) &&
          u32(at + 76) == 0);
    at += 8 + u32(at + 4);
    CHECK(!memcmp(at + 48, "query_label", 11));
    at += 8 + u32(at + 4);
    CHECK(!memcmp(at + 48, "query_path", 10) && at[72] == 'q');
    at += 8 + u32(at + 4);
    CHECK((size_t)((const char *)at - text) == count);
    free(text);
}

static void test_limits(void)
{
    const struct sky_mat_side huge = {1 << 20, 512, NULL, NULL, NULL};
    CHECK_FAILS(sky_mat_write_result(in_folder("huge.mat"), &huge, &huge), SKY_UNSUPPORTED, "2147483648 bytes");
    CHECK(!sky_path_is_file(in_folder("huge.mat")));
    CHECK_FAILS(sky_mat_write_result(in_folder("none/x.mat"), &huge, &huge), SKY_IO, "none");
}

int main(void)
{
    folder_make();
    test_bytes();
    test_limits();
    folder_remove(folder);
    return check_done();
}
