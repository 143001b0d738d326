/*
 * Reference losses on cosines [P,M,M] between two views: contrastive, triplet with hard mining, symmetric InfoNCE. Each gives its gradient, weighted, in the same run.
 */
#include "ref.h"

static const double CLOSEST = 1e-6; /* squared distances are not smaller */

/* What the three share. */
struct pairs {
    struct ref_tensor similarity, loss, gradient;
    const int32_t *first, *second; /* [M] labels of the two views */
    int64_t heads, members;
    double share, weight; /* of one head in the loss; of the loss in the gradient */
};

static struct pairs pairs_of(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const union sky_attributes *attr = &kernel->node->attr;
    struct pairs p = {.similarity = ref_in(kernel, run, 0), .loss = ref_out(kernel, run, 0), .gradient = ref_out(kernel, run, 1)};
    const struct sky_scalars *scalars = run->in[2];
    p.heads = p.similarity.dim[0], p.members = p.similarity.dim[1];
    p.first = (const int32_t *)run->in[1] + attr->pairs.first * p.members;
    p.second = (const int32_t *)run->in[1] + attr->pairs.second * p.members;
    p.share = 1 / (attr->pairs.mean ? (double)p.heads : 1);
    p.weight = attr->pairs.weight * (scalars ? (double)scalars->loss_scale : 1);
    return p;
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

static void add(const struct ref_tensor *tensor, int64_t index, double value)
{
    if (tensor->data) ref_set(tensor, index, ref_get(tensor, index) + value);
}

sky_status ref_LOSS_CONTRASTIVE(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct pairs p = pairs_of(kernel, run);
    const double margin = kernel->node->attr.pairs.margin, share = p.share / (double)p.members;
    double total = 0;
    for (int64_t e = 0; e < p.similarity.count; e++) {
        const int64_t i = e / p.members % p.members, j = e % p.members;
        const double cosine = ref_get(&p.similarity, e), gap = fmax(0, margin - distance(cosine));
        const bool pair = p.first[i] == p.second[j];
        total += share * (pair ? 1 - cosine : gap * gap / 2);
        if (p.gradient.data) ref_set(&p.gradient, e, p.weight * share * (pair ? -1 : -gap * distance_slope(cosine)));
    }
    ref_set(&p.loss, 0, total);
    return SKY_OK;
}

/* One anchor: row `i` of the first view (stride 1) or column `i` (stride M) of one head's cosines, from element `start`. */
static double triplet(const struct sky_kernel *kernel, const struct pairs *p, int64_t start, int64_t stride, int32_t label, const int32_t *others)
{
    const union sky_attributes *attr = &kernel->node->attr;
    int64_t pair = -1, stranger = -1;
    for (int64_t j = 0; j < p->members; j++) {
        const int64_t e = start + j * stride;
        const double cosine = ref_get(&p->similarity, e);
        if (others[j] == label && (pair < 0 || cosine < ref_get(&p->similarity, pair))) pair = e;
        if (others[j] != label && (stranger < 0 || cosine > ref_get(&p->similarity, stranger))) stranger = e;
    }
    if (pair < 0 || stranger < 0) return 0;
    const double near = ref_get(&p->similarity, pair), far = ref_get(&p->similarity, stranger), difference = distance(near) - distance(far);
    const double share = p->share / (2 * (double)p->members), x = attr->pairs.alpha * difference;
    double value = fmax(0, difference + attr->pairs.margin), slope = value > 0;
    if (attr->pairs.soft) value = fmax(x, 0) + log1p(exp(-fabs(x))), slope = attr->pairs.alpha / (1 + exp(-x));
    add(&p->gradient, pair, p->weight * share * slope * distance_slope(near));
    add(&p->gradient, stranger, -p->weight * share * slope * distance_slope(far));
    return share * value;
}

sky_status ref_LOSS_TRIPLET(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct pairs p = pairs_of(kernel, run);
    double total = 0;
    for (int64_t e = 0; p.gradient.data && e < p.gradient.count; e++) ref_set(&p.gradient, e, 0);
    for (int64_t a = 0; a < p.heads * p.members; a++) {
        const int64_t head = a / p.members * p.members * p.members, i = a % p.members;
        total += triplet(kernel, &p, head + i * p.members, 1, p.first[i], p.second);
        total += triplet(kernel, &p, head + i, p.members, p.second[i], p.first);
    }
    ref_set(&p.loss, 0, total);
    return SKY_OK;
}

/* Cross entropy of one row or column of one head's scaled cosines. */
static double cross_entropy(const struct sky_kernel *kernel, const struct pairs *p, int64_t start, int64_t stride, int32_t label, const int32_t *others)
{
    const union sky_attributes *attr = &kernel->node->attr;
    const double smoothing = attr->pairs.smoothing, temperature = attr->pairs.temperature, share = p->share / (2 * (double)p->members);
    double largest = -INFINITY, sum = 0, value = 0;
    int64_t matches = 0;
    for (int64_t j = 0; j < p->members; j++) {
        largest = fmax(largest, ref_get(&p->similarity, start + j * stride) / temperature);
        matches += others[j] == label;
    }
    if (matches == 0) return 0;
    for (int64_t j = 0; j < p->members; j++) sum += exp(ref_get(&p->similarity, start + j * stride) / temperature - largest);
    for (int64_t j = 0; j < p->members; j++) {
        const double log_p = ref_get(&p->similarity, start + j * stride) / temperature - largest - log(sum);
        const double target = (others[j] == label ? (1 - smoothing) / (double)matches : 0) + smoothing / (double)p->members;
        value -= target * log_p;
        add(&p->gradient, start + j * stride, p->weight * share / temperature * (exp(log_p) - target));
    }
    return share * value;
}

sky_status ref_LOSS_INFO_NCE(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct pairs p = pairs_of(kernel, run);
    double total = 0;
    for (int64_t e = 0; p.gradient.data && e < p.gradient.count; e++) ref_set(&p.gradient, e, 0);
    for (int64_t a = 0; a < p.heads * p.members; a++) {
        const int64_t head = a / p.members * p.members * p.members, i = a % p.members;
        total += cross_entropy(kernel, &p, head + i * p.members, 1, p.first[i], p.second);
        total += cross_entropy(kernel, &p, head + i, p.members, p.second[i], p.first);
    }
    ref_set(&p.loss, 0, total);
    return SKY_OK;
}
