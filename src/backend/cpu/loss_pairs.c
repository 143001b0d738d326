/*
 * Losses on cosines [P,M,M] between two views. Anchors (rows and columns) are looked at first, each by one thread; then every element of the gradient is written
 * once, from its row's and its column's anchor. Sums in double, anchors added up in their order.
 */
#include "cpu.h"

#include <math.h>

/* Squared distances are not smaller. */
static const double CLOSEST = 1e-6;

struct pairs {
    int64_t heads, members;
    const float *similarity;
    float *loss, *gradient;        /* gradient may be NULL */
    const int32_t *first, *second; /* [M] labels */
    double share, weight;          /* of one anchor or element in the loss; of the loss in the gradient */
};

static struct pairs pairs_of(const struct sky_kernel *kernel, const struct sky_run *run, double anchors)
{
    const union sky_attributes *attr = &kernel->node->attr;
    const struct sky_tensor *similarity = sky_cpu_in(kernel, 0);
    const struct sky_scalars *scalars = run->in[2];
    struct pairs p = {similarity->dim[0], similarity->dim[1], run->in[0], run->out[0], run->out[1], run->in[1], run->in[1], 1 / anchors, attr->pairs.weight};
    p.first += attr->pairs.first * p.members, p.second += attr->pairs.second * p.members;
    if (attr->pairs.mean) p.share /= (double)p.heads;
    if (scalars) p.weight *= (double)scalars->loss_scale;
    return p;
}

/* A row (side 0) or column (side 1) of one head: its label, the others' labels, and where its elements lie. */
struct line {
    int32_t label;
    const int32_t *others;
    int64_t start, stride;
};

static struct line line_of(const struct pairs *p, int64_t number)
{
    const int64_t head = number / (2 * p->members), side = number / p->members % 2, i = number % p->members, start = head * p->members * p->members;
    return side ? (struct line){p->second[i], p->first, start + i, p->members} : (struct line){p->first[i], p->second, start + i * p->members, 1};
}

static double distance(double cosine)
{
    return sqrt(fmax(2 - 2 * cosine, CLOSEST));
}

/* d distance / d cosine. */
static double distance_slope(double cosine)
{
    return 2 - 2 * cosine > CLOSEST ? -1 / distance(cosine) : 0;
}

static double sum_in_order(const double *values, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += values[i];
    return sum;
}

/* One loss a row. */
static sky_status contrastive_prepare(struct sky_kernel *kernel)
{
    const struct sky_tensor *similarity = sky_cpu_in(kernel, 0);
    kernel->work_bytes = (size_t)(similarity->dim[0] * similarity->dim[1]) * sizeof(double);
    return SKY_OK;
}

static sky_status contrastive_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct pairs p = pairs_of(kernel, run, (double)sky_cpu_in(kernel, 0)->dim[1]);
    const double margin = kernel->node->attr.pairs.margin;
    double *losses = run->work; /* [P,M] */
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t row = 0; row < p.heads * p.members; row++) {
        losses[row] = 0;
        for (int64_t j = 0; j < p.members; j++) {
            const double cosine = (double)p.similarity[row * p.members + j], gap = fmax(0, margin - distance(cosine));
            const bool pair = p.first[row % p.members] == p.second[j];
            losses[row] += p.share * (pair ? 1 - cosine : gap * gap / 2);
            if (p.gradient) p.gradient[row * p.members + j] = (float)(p.weight * p.share * (pair ? -1 : -gap * distance_slope(cosine)));
        }
    }
    *p.loss = (float)sum_in_order(losses, p.heads * p.members);
    return SKY_OK;
}

/* What an anchor found: its farthest pair and nearest stranger (positions in its line, or -1), and the gradient by the two cosines. */
struct anchor {
    double loss, by_pair, by_stranger;
    int64_t pair, stranger;
};

static sky_status triplet_prepare(struct sky_kernel *kernel)
{
    const struct sky_tensor *similarity = sky_cpu_in(kernel, 0);
    kernel->work_bytes = (size_t)(similarity->dim[0] * 2 * similarity->dim[1]) * sizeof(struct anchor);
    return SKY_OK;
}

static struct anchor find_anchor(const struct pairs *p, const struct line *line, const union sky_attributes *attr)
{
    struct anchor a = {.pair = -1, .stranger = -1};
    float far_pair = 0, near_stranger = 0;
    for (int64_t j = 0; j < p->members; j++) {
        const float cosine = p->similarity[line->start + j * line->stride];
        const bool pair = line->others[j] == line->label;
        if (pair && (a.pair < 0 || cosine < far_pair)) a.pair = j, far_pair = cosine;
        if (!pair && (a.stranger < 0 || cosine > near_stranger)) a.stranger = j, near_stranger = cosine;
    }
    if (a.pair < 0 || a.stranger < 0) return (struct anchor){.pair = -1, .stranger = -1};
    const double difference = distance((double)far_pair) - distance((double)near_stranger), x = attr->pairs.alpha * difference;
    const double hinge = fmax(0, difference + attr->pairs.margin), soft = fmax(x, 0) + log1p(exp(-fabs(x)));
    const double slope = attr->pairs.soft ? attr->pairs.alpha / (1 + exp(-x)) : hinge > 0;
    a.loss = p->share * (attr->pairs.soft ? soft : hinge);
    a.by_pair = p->weight * p->share * slope * distance_slope((double)far_pair);
    a.by_stranger = -p->weight * p->share * slope * distance_slope((double)near_stranger);
    return a;
}

static double anchor_gradient(const struct anchor *a, int64_t position)
{
    return (a->pair == position ? a->by_pair : 0) + (a->stranger == position ? a->by_stranger : 0);
}

static sky_status triplet_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct pairs p = pairs_of(kernel, run, 2 * (double)sky_cpu_in(kernel, 0)->dim[1]);
    struct anchor *anchors = run->work; /* [P,2,M] */
    const int64_t lines = p.heads * 2 * p.members;
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t n = 0; n < lines; n++) {
        const struct line line = line_of(&p, n);
        anchors[n] = find_anchor(&p, &line, &kernel->node->attr);
    }
    double total = 0;
    for (int64_t n = 0; n < lines; n++) total += anchors[n].loss;
    *p.loss = (float)total;
    if (!p.gradient) return SKY_OK;
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t row = 0; row < p.heads * p.members; row++) {
        const struct anchor *of_row = anchors + row / p.members * 2 * p.members + row % p.members, *of_columns = anchors + (row / p.members * 2 + 1) * p.members;
        for (int64_t j = 0; j < p.members; j++)
            p.gradient[row * p.members + j] = (float)(anchor_gradient(of_row, j) + anchor_gradient(&of_columns[j], row % p.members));
    }
    return SKY_OK;
}

/* A line's ln sum exp and its target: `match` on each pair (0 in all when it has none), `even` everywhere. */
struct softmax {
    double loss, log_sum, match, even;
};

static sky_status info_nce_prepare(struct sky_kernel *kernel)
{
    const struct sky_tensor *similarity = sky_cpu_in(kernel, 0);
    kernel->work_bytes = (size_t)(similarity->dim[0] * 2 * similarity->dim[1]) * sizeof(struct softmax);
    return SKY_OK;
}

static struct softmax find_softmax(const struct pairs *p, const struct line *line, const union sky_attributes *attr)
{
    const double per_temperature = 1 / attr->pairs.temperature;
    double largest = -INFINITY, sum = 0, expected = 0;
    int64_t matches = 0;
    for (int64_t j = 0; j < p->members; j++) {
        largest = fmax(largest, (double)p->similarity[line->start + j * line->stride] * per_temperature);
        matches += line->others[j] == line->label;
    }
    if (matches == 0) return (struct softmax){.log_sum = INFINITY}; /* exp(z - inf) is 0: no gradient either */
    struct softmax s = {.match = (1 - attr->pairs.smoothing) / (double)matches, .even = attr->pairs.smoothing / (double)p->members};
    for (int64_t j = 0; j < p->members; j++) {
        const double z = (double)p->similarity[line->start + j * line->stride] * per_temperature;
        sum += exp(z - largest);
        expected += (s.even + (line->others[j] == line->label ? s.match : 0)) * z;
    }
    s.log_sum = largest + log(sum);
    s.loss = p->share * (s.log_sum - expected);
    return s;
}

static sky_status info_nce_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct pairs p = pairs_of(kernel, run, 2 * (double)sky_cpu_in(kernel, 0)->dim[1]);
    const double per_temperature = 1 / kernel->node->attr.pairs.temperature;
    struct softmax *found = run->work; /* [P,2,M] */
    const int64_t lines = p.heads * 2 * p.members;
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t n = 0; n < lines; n++) {
        const struct line line = line_of(&p, n);
        found[n] = find_softmax(&p, &line, &kernel->node->attr);
    }
    double total = 0;
    for (int64_t n = 0; n < lines; n++) total += found[n].loss;
    *p.loss = (float)total;
    if (!p.gradient) return SKY_OK;
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t row = 0; row < p.heads * p.members; row++) {
        const struct softmax *of_row = found + row / p.members * 2 * p.members + row % p.members, *of_columns = found + (row / p.members * 2 + 1) * p.members;
        for (int64_t j = 0; j < p.members; j++) {
            const double z = (double)p.similarity[row * p.members + j] * per_temperature, pair = p.first[row % p.members] == p.second[j];
            const double by_row = exp(z - of_row->log_sum) - of_row->even - pair * of_row->match;
            const double by_column = exp(z - of_columns[j].log_sum) - of_columns[j].even - pair * of_columns[j].match;
            p.gradient[row * p.members + j] = (float)(p.weight * p.share * per_temperature * (by_row + by_column));
        }
    }
    return SKY_OK;
}

const struct sky_operation sky_cpu_LOSS_CONTRASTIVE = {.prepare = contrastive_prepare, .run = contrastive_run};
const struct sky_operation sky_cpu_LOSS_TRIPLET = {.prepare = triplet_prepare, .run = triplet_run};
const struct sky_operation sky_cpu_LOSS_INFO_NCE = {.prepare = info_nce_prepare, .run = info_nce_run};
