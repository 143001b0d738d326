/*
 * What falls: rain as streaks, snow as flakes, each in five layers from far (many, small, faint) to near (few, large), in one wind a picture. Sizes are parts
 * of the picture's side, so that another resolution sees the same weather.
 */
#include "weather.h"

#include "base/rng.h"

#include <math.h>

enum { LAYERS = 5 };

struct layer {
    int count;
    double size;  /* rain: length of a streak; snow: radius of a flake; in 256ths of the side */
    double width; /* rain: of a streak; snow: of a flake's soft edge; likewise */
    double share; /* how much of what is behind is hidden */
};

static const struct layer rain[LAYERS] = {{350, 8, 0.8, 0.35}, {250, 12, 1, 0.4}, {180, 16, 1.2, 0.45}, {120, 21, 1.5, 0.5}, {70, 28, 2, 0.55}};
static const struct layer snow[LAYERS] = {{400, 0.8, 0.5, 0.7}, {280, 1.2, 0.6, 0.8}, {180, 1.8, 0.8, 0.85}, {90, 2.6, 1.4, 0.85}, {40, 3.8, 2.4, 0.8}};

/* A dull sky before anything falls. */
static void veil(uint8_t *pixels, int size, double colour, double share)
{
    uint8_t table[256];
    for (int x = 0; x < 256; x++) table[x] = sky_weather_blend((uint8_t)x, colour, share);
    for (size_t i = 0; i < (size_t)size * (size_t)size * 3; i++) pixels[i] = table[pixels[i]];
}

static void cover(uint8_t *pixels, int size, int x, int y, double colour, double share)
{
    if (x < 0 || y < 0 || x >= size || y >= size || share <= 0) return;
    uint8_t *pixel = pixels + ((size_t)y * (size_t)size + (size_t)x) * 3;
    for (int c = 0; c < 3; c++) pixel[c] = sky_weather_blend(pixel[c], colour, share);
}

static int down(double value)
{
    const int whole = (int)value;
    return whole > value ? whole - 1 : whole;
}

/* A streak from (x, y) downwards: in each row the part of each pixel that lies in it. */
static void streak(uint8_t *pixels, int size, double x, double y, double length, double slope, double width, double colour, double share)
{
    const int first = down(y), last = down(y + length);
    for (int row = first; row <= last; row++) {
        const double middle = x + (row - y) * slope, left = middle - width / 2, right = middle + width / 2;
        for (int column = down(left); column <= down(right); column++) {
            const double from = column > left ? column : left, to = column + 1 < right ? column + 1 : right;
            cover(pixels, size, column, row, colour, (to - from) * share);
        }
    }
}

static void flake(uint8_t *pixels, int size, double x, double y, double radius, double soft, double share)
{
    const double reach = radius + soft;
    for (int row = down(y - reach); row <= down(y + reach); row++)
        for (int column = down(x - reach); column <= down(x + reach); column++) {
            const double across = column + 0.5 - x, along = row + 0.5 - y;
            const double inside = (reach - sqrt(across * across + along * along)) / (2 * soft);
            cover(pixels, size, column, row, 250, (inside > 1 ? 1 : inside) * share);
        }
}

void sky_weather_rain(uint64_t seed, uint32_t index, uint8_t *pixels, int size)
{
    struct sky_rng rng = sky_rng_make(seed, SKY_RNG_WEATHER, SKY_ELEMENT_RAIN, index);
    const double slope = sky_rng_between(&rng, -0.4, 0.4), unit = size / 256.0;
    veil(pixels, size, 110, 0.2);
    for (int l = 0; l < LAYERS; l++)
        for (int drop = 0; drop < rain[l].count; drop++) {
            const double length = rain[l].size * unit * sky_rng_between(&rng, 0.7, 1.3), x = sky_rng_between(&rng, -0.2, 1.2) * size,
                         y = sky_rng_uniform(&rng) * (size + length) - length;
            streak(pixels, size, x, y, length, slope, rain[l].width * unit, sky_rng_between(&rng, 180, 220), rain[l].share);
        }
}

void sky_weather_snow(uint64_t seed, uint32_t index, uint8_t *pixels, int size)
{
    struct sky_rng rng = sky_rng_make(seed, SKY_RNG_WEATHER, SKY_ELEMENT_SNOW, index);
    const double unit = size / 256.0;
    veil(pixels, size, 200, 0.15);
    for (int l = 0; l < LAYERS; l++)
        for (int i = 0; i < snow[l].count; i++) {
            const double radius = snow[l].size * unit * sky_rng_between(&rng, 0.7, 1.3), x = sky_rng_uniform(&rng) * size, y = sky_rng_uniform(&rng) * size;
            flake(pixels, size, x, y, radius, snow[l].width * unit, snow[l].share);
        }
}
