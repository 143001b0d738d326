/*
 * Which elements make up a weather, and those that change every pixel alike: dark, over-exposure, wind. Owns nothing.
 */
#include "weather.h"

#include "base/rng.h"

#include <string.h>

enum { BLUR = 15 };

const char *sky_weather_name(enum sky_weather weather)
{
    static const char *const names[SKY_WEATHER_COUNT] = {"none", "fog", "rain", "snow", "fog+rain", "fog+snow", "rain+snow", "dark", "over-exposure", "wind"};
    return names[weather];
}

static void scale_and_add(uint8_t *pixels, int size, double factor, double addend)
{
    uint8_t table[256];
    for (int x = 0; x < 256; x++) {
        const double value = x * factor + addend + 0.5;
        table[x] = value < 0 ? 0 : value > 255 ? 255 : (uint8_t)value;
    }
    for (size_t i = 0; i < (size_t)size * (size_t)size * 3; i++) pixels[i] = table[pixels[i]];
}

static int nearest(double value) { return value < 0 ? -(int)(0.5 - value) : (int)(value + 0.5); }

static int clamp(int value, int size) { return value < 0 ? 0 : value >= size ? size - 1 : value; }

/* The mean of 15 pixels along a line in any direction: 15 columns wide or 15 rows high. Edge pixels repeat. */
static sky_status blow(uint64_t seed, uint32_t index, uint8_t *pixels, int size, struct sky_image *spare)
{
    struct sky_rng rng = sky_rng_make(seed, SKY_RNG_WEATHER, SKY_ELEMENT_WIND, index);
    const double slope = sky_rng_between(&rng, -1, 1);
    const int steep = (int)sky_rng_below(&rng, 2);
    int across[BLUR], down[BLUR];
    for (int i = 0; i < BLUR; i++) {
        const int along = i - BLUR / 2, aside = nearest(slope * along);
        across[i] = steep ? aside : along, down[i] = steep ? along : aside;
    }
    SKY_TRY(sky_image_resize_buffer(spare, size, size));
    memcpy(spare->pixels, pixels, (size_t)size * (size_t)size * 3);
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++) {
            int sums[3] = {0, 0, 0};
            for (int i = 0; i < BLUR; i++) {
                const uint8_t *from = spare->pixels + ((size_t)clamp(y + down[i], size) * (size_t)size + (size_t)clamp(x + across[i], size)) * 3;
                for (int c = 0; c < 3; c++) sums[c] += from[c];
            }
            for (int c = 0; c < 3; c++) pixels[((size_t)y * (size_t)size + (size_t)x) * 3 + (size_t)c] = (uint8_t)((sums[c] + BLUR / 2) / BLUR);
        }
    return SKY_OK;
}

sky_status sky_weather_apply(enum sky_weather weather, uint64_t seed, uint32_t index, uint8_t *pixels, int size, struct sky_image *spare)
{
    struct sky_rng rng = sky_rng_make(seed, SKY_RNG_WEATHER, SKY_ELEMENT_EXPOSURE, index);
    if (weather == SKY_WEATHER_FOG || weather == SKY_WEATHER_FOG_RAIN || weather == SKY_WEATHER_FOG_SNOW) sky_weather_fog(seed, index, pixels, size);
    if (weather == SKY_WEATHER_RAIN || weather == SKY_WEATHER_FOG_RAIN || weather == SKY_WEATHER_RAIN_SNOW) sky_weather_rain(seed, index, pixels, size);
    if (weather == SKY_WEATHER_SNOW || weather == SKY_WEATHER_FOG_SNOW || weather == SKY_WEATHER_RAIN_SNOW) sky_weather_snow(seed, index, pixels, size);
    if (weather == SKY_WEATHER_DARK) scale_and_add(pixels, size, 0.4, -15);
    if (weather == SKY_WEATHER_OVER_EXPOSURE) scale_and_add(pixels, size, 1.6, sky_rng_between(&rng, 0, 30));
    return weather == SKY_WEATHER_WIND ? blow(seed, index, pixels, size, spare) : SKY_OK;
}
