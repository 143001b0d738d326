/*
 * The plain alterations behind alter.h. Integer work on rows; owns nothing.
 */
#include "alter.h"

#include <string.h>

void sky_image_shift(uint8_t *pixels, int size, int shift, enum sky_shift_fill fill)
{
    for (int y = 0; y < size; y++) {
        uint8_t *row = pixels + (size_t)y * (size_t)size * 3;
        memmove(row + (size_t)shift * 3, row, (size_t)(size - shift) * 3);
        if (fill == SKY_SHIFT_BLACK) memset(row, 0, (size_t)shift * 3);
        for (int x = 0; fill == SKY_SHIFT_MIRROR && x < shift / 2; x++) { /* the strip still holds what stood there: it turns round */
            uint8_t *left = row + (size_t)x * 3, *right = row + (size_t)(shift - 1 - x) * 3, pixel[3];
            memcpy(pixel, left, 3);
            memcpy(left, right, 3);
            memcpy(right, pixel, 3);
        }
    }
}

sky_status sky_image_alter(const struct sky_alteration *alteration, int64_t index, uint8_t *pixels, int size, struct sky_image *spare)
{
    SKY_TRY(sky_weather_apply(alteration->weather, alteration->seed, (uint32_t)(alteration->first + index), pixels, size, spare));
    if (alteration->shift) sky_image_shift(pixels, size, alteration->shift, alteration->fill);
    return SKY_OK;
}
