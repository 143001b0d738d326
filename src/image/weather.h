/*
 * Weather over a picture, for tests of robustness: the ten conditions of MuSe-Net's protocol on University-1652, made deterministic. Dark (0.4 x - 15),
 * over-exposure (1.6 x plus up to 30) and wind (motion blur over 15 pixels) have its parameters; fog, rain and snow are our own layers (five of drops or
 * flakes, far to near; sizes scale with the picture), since the library it uses draws them in ways of its own. So scores compare between models scored here,
 * and only roughly with published ones.
 *
 * Every draw is a function of (seed, element, image index): the same picture whatever the threads. Arithmetic is IEEE double without contraction, without
 * library functions but the square root: the same bytes on every machine.
 */
#ifndef SKY_IMAGE_WEATHER_H
#define SKY_IMAGE_WEATHER_H

#include "image.h"

enum sky_weather {
    SKY_WEATHER_NONE,
    SKY_WEATHER_FOG,
    SKY_WEATHER_RAIN,
    SKY_WEATHER_SNOW,
    SKY_WEATHER_FOG_RAIN, /* fog, then rain before it */
    SKY_WEATHER_FOG_SNOW,
    SKY_WEATHER_RAIN_SNOW,
    SKY_WEATHER_DARK,
    SKY_WEATHER_OVER_EXPOSURE,
    SKY_WEATHER_WIND,
    SKY_WEATHER_COUNT
};

/* "none", "fog", "rain", "snow", "fog+rain", "fog+snow", "rain+snow", "dark", "over-exposure", "wind" */
const char *sky_weather_name(enum sky_weather weather);

/* In place. spare: scratch, reused between calls. SKY_NOMEM. */
sky_status sky_weather_apply(enum sky_weather weather, uint64_t seed, uint32_t index, uint8_t *pixels /* [size][size][3] */, int size, struct sky_image *spare);

/* ---- elements, for weather.c ---- */
void sky_weather_fog(uint64_t seed, uint32_t index, uint8_t *pixels, int size);
void sky_weather_rain(uint64_t seed, uint32_t index, uint8_t *pixels, int size);
void sky_weather_snow(uint64_t seed, uint32_t index, uint8_t *pixels, int size);

/* What an element's draws are keyed by; never renumber. */
enum sky_weather_element { SKY_ELEMENT_FOG = 1, SKY_ELEMENT_RAIN = 2, SKY_ELEMENT_SNOW = 3, SKY_ELEMENT_EXPOSURE = 4, SKY_ELEMENT_WIND = 5 };

/* x + share * (colour - x), rounded; share 0 .. 1. */
static inline uint8_t sky_weather_blend(uint8_t x, double colour, double share)
{
    const double value = x + share * (colour - x) + 0.5;
    return value < 0 ? 0 : value > 255 ? 255 : (uint8_t)value;
}

#endif
