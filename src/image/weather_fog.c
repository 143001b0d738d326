/*
 * Fog: a light grey whose density comes and goes like clouds. The clouds are smooth noise over lattices of 2, 4 ... 32 cells a side, each finer one half as
 * strong.
 */
#include "weather.h"

#include "base/rng.h"

enum { OCTAVES = 5, POINTS = (1 << OCTAVES) + 1, STRETCH = 256 };

/* Of the picture that is hidden: 0.45 where the fog is thin, 0.85 where it is thick. */
static const double thin = 0.45, thick = 0.85, grey = 225;

static double ease(double t) { return t * t * (3 - 2 * t); }

/* Adds one octave: values at the lattice's points, eased between them. noise: [count] of row y from column `first` on. */
static void add_octave(const double lattice[POINTS][POINTS], int cells, double strength, int y, int first, int count, int size, double *noise)
{
    const double v = ((double)y + 0.5) / (double)size * (double)cells;
    const int top = (int)v;
    const double down = ease(v - top);
    for (int x = 0; x < count; x++) {
        const double u = ((double)(first + x) + 0.5) / (double)size * (double)cells;
        const int left = (int)u;
        const double across = ease(u - left);
        const double upper = lattice[top][left] + across * (lattice[top][left + 1] - lattice[top][left]);
        const double lower = lattice[top + 1][left] + across * (lattice[top + 1][left + 1] - lattice[top + 1][left]);
        noise[x] += strength * (upper + down * (lower - upper));
    }
}

static void hide(uint8_t *pixels, int count, const double *noise)
{
    for (int x = 0; x < count; x++) {
        double density = (noise[x] - 0.25) * 2; /* noise is mostly between a quarter and three quarters */
        density = density < 0 ? 0 : density > 1 ? 1 : density;
        for (int c = 0; c < 3; c++) pixels[3 * x + c] = sky_weather_blend(pixels[3 * x + c], grey, thin + (thick - thin) * density);
    }
}

void sky_weather_fog(uint64_t seed, uint32_t index, uint8_t *pixels, int size)
{
    double lattices[OCTAVES][POINTS][POINTS], total = 0;
    struct sky_rng rng = sky_rng_make(seed, SKY_RNG_WEATHER, SKY_ELEMENT_FOG, index);
    for (int o = 0; o < OCTAVES; o++) {
        total += 1.0 / (1 << o);
        for (int i = 0; i <= 2 << o; i++)
            for (int j = 0; j <= 2 << o; j++) lattices[o][i][j] = sky_rng_uniform(&rng);
    }
    for (int y = 0; y < size; y++)
        for (int first = 0; first < size; first += STRETCH) {
            double noise[STRETCH] = {0};
            const int count = size - first < STRETCH ? size - first : STRETCH;
            for (int o = 0; o < OCTAVES; o++) add_octave((const double(*)[POINTS])lattices[o], 2 << o, 1.0 / (1 << o) / total, y, first, count, size, noise);
            hide(pixels + ((size_t)y * (size_t)size + (size_t)first) * 3, count, noise);
        }
}
