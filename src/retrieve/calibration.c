/*
 * The fit behind calibration.h: Newton's method on two parameters, with margins scaled to a spread of 1 and steps halved until they help. Keeps nothing.
 */
#include "calibration.h"

#include <math.h>
#include <string.h>

enum { FEWEST = 20, STEPS = 100, BINS = 10 };

static double logistic(double x) { return 1 / (1 + exp(-x)); }

double sky_calibration_probability(const struct sky_calibration *calibration, double margin)
{
    return logistic(calibration->offset + calibration->slope * margin);
}

struct problem {
    const double *margins;
    const bool *right;
    int64_t count;
    double target[2], scale; /* of wrong, of right ones; margins are divided by scale */
};

/* Minus the log likelihood, in a form that does not overflow. */
static double loss(const struct problem *p, double a, double b)
{
    double sum = 0;
    for (int64_t i = 0; i < p->count; i++) {
        const double x = a + b * p->margins[i] / p->scale;
        sum += log1p(exp(-fabs(x))) + fmax(x, 0) - p->target[p->right[i]] * x;
    }
    return sum;
}

static void newton_step(const struct problem *p, double a, double b, double *step_a, double *step_b)
{
    double ga = 0, gb = 0, haa = 1e-9, hab = 0, hbb = 1e-9;
    for (int64_t i = 0; i < p->count; i++) {
        const double m = p->margins[i] / p->scale, q = logistic(a + b * m), difference = q - p->target[p->right[i]], weight = q * (1 - q);
        ga += difference, gb += difference * m;
        haa += weight, hab += weight * m, hbb += weight * m * m;
    }
    const double determinant = haa * hbb - hab * hab;
    *step_a = (ga * hbb - gb * hab) / determinant, *step_b = (gb * haa - ga * hab) / determinant;
}

static double spread(const double *values, int64_t count)
{
    double mean = 0, squares = 0;
    for (int64_t i = 0; i < count; i++) mean += values[i] / (double)count;
    for (int64_t i = 0; i < count; i++) squares += (values[i] - mean) * (values[i] - mean) / (double)count;
    return squares > 0 ? sqrt(squares) : 1;
}

sky_status sky_calibration_fit(const double *margins, const bool *right, int64_t count, struct sky_calibration *out)
{
    int64_t rights = 0;
    for (int64_t i = 0; i < count; i++) rights += right[i];
    if (count < FEWEST) {
        sky_fail(SKY_DATA, "calibration", "%lld photos are too few; at least %d with a known place are needed, better some hundreds", (long long)count, FEWEST);
        return sky_hint("take them from places that the model was not trained on");
    }
    if (!rights || rights == count)
        return sky_fail(SKY_DATA, "calibration", "%s of the %lld photos is found: there is nothing to tell apart", rights ? "every one" : "none",
                        (long long)count);
    struct problem p = {margins, right, count, {1 / ((double)(count - rights) + 2), ((double)rights + 1) / ((double)rights + 2)}, spread(margins, count)};
    double a = log((double)rights / (double)(count - rights)), b = 0, now = loss(&p, a, b);
    for (int step = 0; step < STEPS; step++) {
        double da, db, size = 1, next = 0;
        newton_step(&p, a, b, &da, &db);
        for (; size > 1e-6 && !((next = loss(&p, a - size * da, b - size * db)) < now); size /= 2) {
        }
        if (size <= 1e-6) break; /* no better point: this is the minimum */
        const bool still = now - next < 1e-12 * (1 + fabs(now));
        a -= size * da, b -= size * db, now = next;
        if (still) break;
    }
    if (!(b > 0) || !isfinite(a) || !isfinite(b)) {
        sky_fail(SKY_DATA, "calibration", "among these %lld photos a larger margin is no sign of being right", (long long)count);
        return sky_hint("more photos may show it; without a calibration locate prints the margin alone");
    }
    out->offset = a, out->slope = b / p.scale;
    return SKY_OK;
}

void sky_reliability_measure(const double *probabilities, const bool *right, int64_t count, struct sky_reliability *out)
{
    double rights = 0;
    memset(out, 0, sizeof *out);
    for (int64_t i = 0; i < count; i++) {
        const int bin = probabilities[i] >= 1 ? BINS - 1 : (int)(probabilities[i] * BINS);
        const double error = probabilities[i] - right[i];
        out->bin_count[bin]++, out->bin_right[bin] += right[i], out->bin_confidence[bin] += probabilities[i];
        out->brier += error * error / (double)count;
        rights += right[i];
    }
    const double share = count ? rights / (double)count : 0;
    out->base_brier = share * (1 - share);
    for (int bin = 0; bin < BINS; bin++) {
        if (!out->bin_count[bin]) continue;
        out->gap += fabs(out->bin_confidence[bin] - (double)out->bin_right[bin]) / (double)count;
        out->bin_confidence[bin] /= (double)out->bin_count[bin];
    }
}
