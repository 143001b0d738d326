/*
 * THE table of an experiment's keys: reading, checking, help, defaults and run.ini all come from these rows. A new key is a field in
 * skygem/config.h and one row here. The defaults are the paper's recipe.
 */
#include "schema.h"

#include <stddef.h>
#include <string.h>

/* In the order of the enums in skygem/config.h. */
static const char *const data_formats[] = {"university1652", "sues200", "denseuav", NULL};
static const char *const views[] = {"satellite", "drone", "street", "google", NULL};
static const char *const samplers[] = {"paired", "unpaired", NULL};
static const char *const bad_image_policies[] = {"fail", "skip", NULL};
static const char *const exif_policies[] = {"ignore", "apply", NULL};
static const char *const se_layouts[] = {"legacy", "timm", NULL};
static const char *const poolings[] = {"gem", "avg", "max", NULL};
static const char *const gem_learns[] = {"fixed", "scalar", "channel", "part", NULL};
static const char *const partitions[] = {"none", "lpn", "msba", "list", NULL};
static const char *const ring_norms[] = {"square", "ring", NULL};
static const char *const global_branches[] = {"none", "layer4", "layer3+layer4", NULL};
static const char *const kl_directions[] = {"drone||satellite", "satellite||drone", "symmetric", NULL};
static const char *const pair_features[] = {"part", "joint", NULL};
static const char *const reductions[] = {"sum", "mean", NULL};
static const char *const optimizers[] = {"sgd", "adamw", NULL};
static const char *const schedules[] = {"step", "multistep", "cosine", "constant", NULL};
static const char *const nonfinite_policies[] = {"stop", "skip", NULL};
static const char *const directions[] = {"drone2satellite", "satellite2drone", "street2satellite", "satellite2street", "both", "all", NULL};
static const char *const protocols[] = {"full", "no-distractors", NULL};
static const char *const weathers[] = {"none", "fog", "rain", "snow", "fog+rain", "fog+snow", "rain+snow", "dark", "over-exposure", "wind", NULL};
static const char *const shift_fills[] = {"black", "mirror", NULL};
static const char *const precisions[] = {"fp32", "tf32", "bf16", "fp16", NULL};
static const char *const eval_precisions[] = {"fp32", "tf32", "bf16", "fp16", "int8", NULL};
static const char *const backends[] = {"auto", "cpu", "cuda", "ref", NULL};
static const char *const gradient_precisions[] = {"fp32", "bf16", NULL};
static const char *const backbones[] = {"resnet18", "resnet34", "resnet50", "resnet101", "se_resnet18", "se_resnet34", "se_resnet50", "se_resnet101",
                                        "vgg16", NULL};
static const char *const fusions[] = {"auto", "yes", "no", NULL};

const struct sky_section sky_sections[] = {
    {"experiment", "what the run is called and its seed"},
    {"data", "the images and how they are drawn"},
    {"augment", "random changes to training images, in this order: jitter, pad, rotation, crop, flip, erasing"},
    {"model", "trunk, pooling, parts and heads"},
    {"loss", "what is minimised"},
    {"optimizer", "how gradients move the weights, and the groups of weights"},
    {"schedule", "the learning rate over the epochs"},
    {"train", "length, batches, checkpoints"},
    {"eval", "features and scores on the test set"},
    {"device", "where it runs"},
    {"distributed", "several ranks, one process a device: train.batch_size is that of each rank"},
    {"log", "what is reported"},
    {"debug", "for finding faults"},
};
const int sky_section_count = sizeof sky_sections / sizeof *sky_sections;

#define AT(section, key) #section, #key, offsetof(struct sky_config, section.key)
#define RANGE(from, to) .low = from, .high = to
#define ABOVE(from, to) .low = from, .high = to, .range = SKY_RANGE_ABOVE_LOW
#define BELOW(from, to) .low = from, .high = to, .range = SKY_RANGE_BELOW_HIGH
#define HASHED .in_hash = true
#define HASHED_IF(says) .in_hash = true, .counts = says

/* What stands for the only way there was before there was a choice does not count, so runs from then keep their hash. */
static bool has_other_views(const struct sky_config *config) { return config->data.views.count != 2 || !sky_has_pair(&config->data.views); }
static bool uses_adamw(const struct sky_config *config) { return config->optimizer.kind == SKY_OPTIMIZER_ADAMW; }

/* The length of a run shapes no step unless the schedule is a cosine. */
static bool has_cosine(const struct sky_config *config) { return config->schedule.kind == SKY_SCHEDULE_COSINE; }

const struct sky_key sky_schema[] = {
    {AT(experiment, name), SKY_KEY_TEXT, "none", "", .doc = "name of the run; without one, the file's name"},
    {AT(experiment, seed), SKY_KEY_INT, "1", "", RANGE(0, 9007199254740991), HASHED, .doc = "all randomness is a function of it: same seed, same run"},
    {AT(experiment, note), SKY_KEY_TEXT, "none", "", .doc = "anything to remember, kept with the run"},

    {AT(data, root), SKY_KEY_PATH, "none", "", .doc = "folder of the data set, with train/ and test/ as University-1652 has them"},
    {AT(data, format), SKY_KEY_CHOICE, "university1652", "", .choices = data_formats,
     .doc = "how the folder is laid out: University-1652, SUES-200 (a flight height in data.height), DenseUAV (with geo-tags)"},
    {AT(data, height), SKY_KEY_INT, "0", "m", RANGE(0, 10000),
     .doc = "SUES-200: the flight height to train on and to score; 0 = scores of every height, one after the other"},
    {AT(data, image_size), SKY_KEY_INT, "256", "pixels", RANGE(32, 2048), HASHED, .doc = "side of the square network input; a multiple of 16"},
    {"data", "views", offsetof(struct sky_config, data.views.list), SKY_KEY_CHOICES, "satellite, drone", "", .choices = views,
     .count_offset = offsetof(struct sky_config, data.views.count), .limit = SKY_VIEW_COUNT, .is_set = true, HASHED_IF(has_other_views),
     .doc = "the views to train on, an image of each a place and step; street and google, which look from the ground, share a trunk of their own"},
    {AT(data, sampler), SKY_KEY_CHOICE, "paired", "", .choices = samplers, HASHED,
     .doc = "paired: each place gives all views; unpaired: each view is shuffled by itself"},
    {AT(data, samples_per_class), SKY_KEY_INT, "1", "", RANGE(1, 1000), HASHED, .doc = "times each place comes in an epoch"},
    {AT(data, workers), SKY_KEY_INT, "0", "threads", RANGE(0, 1024), .doc = "threads that decode and augment images; 0 = one a core"},
    {AT(data, pack), SKY_KEY_PATH, "none", "", .doc = "decoded cache of the data set, made by skygem data pack"},
    {AT(data, exif), SKY_KEY_CHOICE, "ignore", "", .choices = exif_policies, HASHED,
     .doc = "orientation tags: data sets ignore them, one's own photos want apply"},
    {AT(data, on_bad_image), SKY_KEY_CHOICE, "fail", "", .choices = bad_image_policies,
     .doc = "a broken training image ends the run, or another of its place is taken and counted"},

    {AT(augment, pad), SKY_KEY_INT, "10", "pixels", RANGE(0, 512), HASHED, .doc = "edge padding on each side before the crop"},
    {AT(augment, crop), SKY_KEY_BOOL, "yes", "", HASHED, .doc = "crop at a random place; otherwise the centre"},
    {AT(augment, flip), SKY_KEY_NUMBER, "0.5", "probability", RANGE(0, 1), HASHED, .doc = "mirror image"},
    {AT(augment, satellite_rotation), SKY_KEY_NUMBER, "90", "degrees", RANGE(0, 180), HASHED, .doc = "satellite images turn by up to this, both ways"},
    {AT(augment, drone_rotation), SKY_KEY_NUMBER, "0", "degrees", RANGE(0, 180), HASHED, .doc = "drone images turn by up to this, both ways"},
    {AT(augment, erasing), SKY_KEY_NUMBER, "0", "probability", RANGE(0, 1), HASHED, .doc = "a random rectangle of every image but the satellite's is erased"},
    {AT(augment, brightness), SKY_KEY_NUMBER, "0", "factor", RANGE(0, 1), HASHED, .doc = "jitter between 1 - x and 1 + x"},
    {AT(augment, contrast), SKY_KEY_NUMBER, "0", "factor", RANGE(0, 1), HASHED, .doc = "jitter between 1 - x and 1 + x"},
    {AT(augment, saturation), SKY_KEY_NUMBER, "0", "factor", RANGE(0, 1), HASHED, .doc = "jitter between 1 - x and 1 + x"},

    {AT(model, backbone), SKY_KEY_NAME, "se_resnet50", "", .choices = backbones, HASHED, .doc = "trunk"},
    {AT(model, se_layout), SKY_KEY_CHOICE, "legacy", "", .choices = se_layouts, HASHED,
     .doc = "SE trunks: legacy strides in conv1 and pools without padding, timm strides in conv2"},
    {AT(model, width), SKY_KEY_NUMBER, "1", "factor", ABOVE(0, 4), HASHED, .doc = "scales every channel count of the trunk, rounded to multiples of 8"},
    {AT(model, last_stride), SKY_KEY_INT, "1", "", RANGE(1, 2), HASHED,
     .doc = "stride of layer4; 1 keeps a map twice as large; vgg16 has its five pools instead"},
    {AT(model, weights), SKY_KEY_PATH, "none", "", HASHED, .doc = "safetensors file to start from; without one, random weights"},
    {AT(model, pooling), SKY_KEY_CHOICE, "gem", "", .choices = poolings, HASHED, .doc = "how a part becomes a vector"},
    {AT(model, gem_p), SKY_KEY_NUMBER, "3", "", RANGE(1, 16), HASHED, .doc = "GeM's exponent, or where its learning starts"},
    {AT(model, gem_learn), SKY_KEY_CHOICE, "channel", "", .choices = gem_learns, HASHED,
     .doc = "GeM's exponent is fixed, or learned: one, one a channel, one a part"},
    {AT(model, partition), SKY_KEY_CHOICE, "msba", "", .choices = partitions, HASHED,
     .doc = "parts: none (the whole map), lpn (rings), msba (rings and squares 2, 3), list ([model] parts)"},
    {AT(model, parts), SKY_KEY_PARTS, "none", "", .limit = 32, HASHED, .doc = "with partition = list: ring1 is the centre, square2 is rings 1 and 2"},
    {AT(model, blocks), SKY_KEY_INT, "4", "", RANGE(1, 16), HASHED, .doc = "rings the map is cut into; msba needs at least 4"},
    {AT(model, ring_norm), SKY_KEY_CHOICE, "square", "", .choices = ring_norms, HASHED,
     .doc = "a ring's mean is over its square with a zero hole (as the references), or over the ring"},
    {AT(model, part_attention), SKY_KEY_BOOL, "no", "", HASHED, .doc = "parts are weighted by a softmax over the parts, channel by channel"},
    {AT(model, global_branch), SKY_KEY_CHOICE, "layer3+layer4", "", .choices = global_branches, HASHED,
     .doc = "one more head on the max-pooled maps of these layers"},
    {AT(model, embedding), SKY_KEY_INT, "512", "", RANGE(1, 8192), HASHED, .doc = "length of each head's feature"},
    {AT(model, dropout), SKY_KEY_NUMBER, "0.75", "probability", BELOW(0, 1), HASHED, .doc = "of a feature before the classifier"},
    {AT(model, share_views), SKY_KEY_BOOL, "yes", "", HASHED, .doc = "one trunk for satellite and drone, or one each"},

    {AT(loss, ce), SKY_KEY_NUMBER, "1", "weight", RANGE(0, 1000), HASHED, .doc = "cross entropy over the places"},
    {AT(loss, kl), SKY_KEY_NUMBER, "1", "weight", RANGE(0, 1000), HASHED,
     .doc = "divergence between the predictions of drone and satellite; needs paired samples"},
    {AT(loss, kl_direction), SKY_KEY_CHOICE, "drone||satellite", "", .choices = kl_directions, HASHED,
     .doc = "the first named view gives the target; symmetric is the sum of both"},
    {AT(loss, kl_detach), SKY_KEY_BOOL, "no", "", HASHED, .doc = "no gradient into the target"},
    {AT(loss, kl_temperature), SKY_KEY_NUMBER, "1", "", ABOVE(0, 100), HASHED, .doc = "softens both predictions; the loss is multiplied by its square"},
    {AT(loss, reduction), SKY_KEY_CHOICE, "sum", "", .choices = reductions, HASHED, .doc = "over the heads"},
    {AT(loss, label_smoothing), SKY_KEY_NUMBER, "0", "", BELOW(0, 1), HASHED, .doc = "share of the target spread over all places"},
    {AT(loss, contrastive), SKY_KEY_NUMBER, "0", "weight", RANGE(0, 1000), HASHED,
     .doc = "contrastive loss: drone and satellite features of one place draw together, others keep a distance; needs paired samples, as the three below"},
    {AT(loss, contrastive_margin), SKY_KEY_NUMBER, "0.7", "distance", ABOVE(0, 2), HASHED, .doc = "that distance, between unit vectors"},
    {AT(loss, triplet), SKY_KEY_NUMBER, "0", "weight", RANGE(0, 1000), HASHED,
     .doc = "triplet loss on the farthest of the same place and the nearest of others in the batch"},
    {AT(loss, triplet_margin), SKY_KEY_NUMBER, "0.3", "distance", RANGE(0, 2), HASHED, .doc = "by how much the second is to be farther away"},
    {AT(loss, soft_margin), SKY_KEY_NUMBER, "0", "weight", RANGE(0, 1000), HASHED,
     .doc = "triplet loss with ln(1 + exp(alpha difference)) in the margin's place"},
    {AT(loss, soft_margin_alpha), SKY_KEY_NUMBER, "10", "", ABOVE(0, 1000), HASHED, .doc = "1: soft margin; more: weighted soft margin"},
    {AT(loss, info_nce), SKY_KEY_NUMBER, "0", "weight", RANGE(0, 1000), HASHED,
     .doc = "InfoNCE both ways: each image picks its place among the other view's of the rank's batch"},
    {AT(loss, info_nce_temperature), SKY_KEY_NUMBER, "0.07", "", RANGE(0.01, 1), HASHED, .doc = "cosines are divided by it"},
    {AT(loss, info_nce_learn), SKY_KEY_BOOL, "yes", "", HASHED, .doc = "the temperature is learned from there, between 0.01 and 1"},
    {AT(loss, info_nce_smoothing), SKY_KEY_NUMBER, "0.1", "", BELOW(0, 1), HASHED, .doc = "share of its target spread over the batch"},
    {AT(loss, pair_features), SKY_KEY_CHOICE, "part", "", .choices = pair_features, HASHED,
     .doc = "what these four compare: each head's feature by itself, or all heads' unit features as one vector"},

    {AT(optimizer, kind), SKY_KEY_CHOICE, "sgd", "", .choices = optimizers, HASHED_IF(uses_adamw), .doc = "SGD with momentum, or AdamW"},
    {AT(optimizer, lr), SKY_KEY_NUMBER, "0.001", "", ABOVE(0, 100), HASHED, .doc = "learning rate of the heads"},
    {AT(optimizer, backbone_lr_scale), SKY_KEY_NUMBER, "0.1", "factor", RANGE(0, 100), HASHED, .doc = "the trunk's learning rate, times lr"},
    {AT(optimizer, gem_lr_scale), SKY_KEY_NUMBER, "1", "factor", RANGE(0, 1000), HASHED, .doc = "the GeM exponents' learning rate, times lr"},
    {AT(optimizer, momentum), SKY_KEY_NUMBER, "0.9", "", BELOW(0, 1), HASHED, .doc = "SGD: share of the last update kept"},
    {AT(optimizer, nesterov), SKY_KEY_BOOL, "yes", "", HASHED, .doc = "SGD: look ahead along the momentum"},
    {AT(optimizer, beta1), SKY_KEY_NUMBER, "0.9", "", BELOW(0, 1), HASHED_IF(uses_adamw), .doc = "AdamW: share kept of the moving mean of gradients"},
    {AT(optimizer, beta2), SKY_KEY_NUMBER, "0.999", "", BELOW(0, 1), HASHED_IF(uses_adamw), .doc = "AdamW: share kept of the moving mean of their squares"},
    {AT(optimizer, epsilon), SKY_KEY_NUMBER, "1e-8", "", ABOVE(0, 1), HASHED_IF(uses_adamw),
     .doc = "AdamW: added to the root of that mean, by which steps are divided"},
    {AT(optimizer, weight_decay), SKY_KEY_NUMBER, "0.0005", "", RANGE(0, 1), HASHED,
     .doc = "on every parameter but the GeM exponents: SGD adds it to the gradient, AdamW shrinks the weight by itself"},
    {AT(optimizer, gem_weight_decay), SKY_KEY_NUMBER, "0", "", RANGE(0, 1), HASHED, .doc = "on the GeM exponents"},
    {AT(optimizer, clip_norm), SKY_KEY_NUMBER, "0", "", RANGE(0, 1e9), HASHED, .doc = "longest gradient allowed, over all parameters; 0 = off"},

    {AT(schedule, kind), SKY_KEY_CHOICE, "step", "", .choices = schedules, HASHED, .doc = "how the learning rate falls"},
    {AT(schedule, step), SKY_KEY_INT, "80", "epochs", RANGE(1, 1000000), HASHED, .doc = "step: times gamma after each so many"},
    {AT(schedule, milestones), SKY_KEY_INTS, "none", "epochs", RANGE(1, 1000000), .count_offset = offsetof(struct sky_config, schedule.milestone_count),
     .limit = SKY_MAX_LIST, HASHED, .doc = "multistep: times gamma at each of these"},
    {AT(schedule, gamma), SKY_KEY_NUMBER, "0.1", "factor", ABOVE(0, 1), HASHED, .doc = "step, multistep: what the learning rate is multiplied by"},
    {AT(schedule, warmup_epochs), SKY_KEY_NUMBER, "0", "epochs", RANGE(0, 1000000), HASHED, .doc = "the learning rate rises linearly over so many; 0 = off"},

    {AT(train, epochs), SKY_KEY_INT, "120", "epochs", RANGE(1, 1000000), HASHED_IF(has_cosine), .doc = "length of the training"},
    {AT(train, batch_size), SKY_KEY_INT, "8", "places", RANGE(2, 65536), HASHED, .doc = "places in a step, an image of each view; batch norm needs at least 2"},
    {AT(train, accumulate), SKY_KEY_INT, "1", "steps", RANGE(1, 65536), HASHED, .doc = "gradients of so many batches are added up for one update"},
    {AT(train, precision), SKY_KEY_CHOICE, "fp32", "", .choices = precisions, HASHED,
     .doc = "of maps and convolutions; tf32, bf16 and fp16 need the CUDA back end (weights, statistics, losses and update stay fp32)"},
    {AT(train, ema), SKY_KEY_NUMBER, "0", "", BELOW(0, 1), HASHED, .doc = "moving average of the weights, used in evaluation: share kept a step; 0 = off"},
    {AT(train, checkpoint_every), SKY_KEY_INT, "10", "epochs", RANGE(1, 1000000), .doc = "between checkpoints; one is always written at the end"},
    {AT(train, keep_checkpoints), SKY_KEY_INT, "3", "", RANGE(1, 1000000), .doc = "older checkpoints are removed, but never the best"},
    {AT(train, eval_every), SKY_KEY_INT, "0", "epochs", RANGE(0, 1000000), .doc = "between evaluations; 0 = only at the end"},
    {AT(train, on_nonfinite), SKY_KEY_CHOICE, "stop", "", .choices = nonfinite_policies,
     .doc = "a loss or gradient that is not a number stops the run, or the update is left out"},

    {AT(eval, batch_size), SKY_KEY_INT, "32", "images", RANGE(1, 65536), .doc = "images at a time"},
    {AT(eval, precision), SKY_KEY_CHOICE, "fp32", "", .choices = eval_precisions,
     .doc = "of the evaluation: fp32 gives the same features on every back end; tf32, bf16 and fp16 are faster on CUDA, int8 convolutions on the CPU"},
    {AT(eval, flip), SKY_KEY_BOOL, "yes", "", .doc = "features are the sum over image and mirror image; both scores are reported"},
    {AT(eval, direction), SKY_KEY_CHOICE, "both", "", .choices = directions,
     .doc = "which view asks: both is drone and satellite, all is street and satellite too"},
    {"eval", "protocol", offsetof(struct sky_config, eval.protocols), SKY_KEY_CHOICES, "full, no-distractors", "", .choices = protocols,
     .count_offset = offsetof(struct sky_config, eval.protocol_count), .limit = 2, .doc = "rank the whole gallery, or only places that some query has"},
    {AT(eval, multi_query), SKY_KEY_INTS, "none", "images", RANGE(2, 1000000), .count_offset = offsetof(struct sky_config, eval.multi_query_count),
     .limit = SKY_MAX_LIST, .doc = "scores also for queries that are the mean of so many drone images of a place"},
    {AT(eval, single_frame), SKY_KEY_INT, "0", "", RANGE(0, 1000000),
     .doc = "scores also for this one drone frame of each place as the query (the references take 36); 0 = off"},
    {AT(eval, height_groups), SKY_KEY_INT, "0", "", RANGE(0, 32), .doc = "scores also by flight height: the drone's descent in so many equal parts; 0 = off"},
    {AT(eval, frames), SKY_KEY_INT, "54", "", RANGE(1, 1000000), .doc = "frames of the descent, from 256 m to 121.5 m in University-1652; for height_groups"},
    {AT(eval, query_shift), SKY_KEY_INTS, "none", "pixels", RANGE(1, 2048), .count_offset = offsetof(struct sky_config, eval.query_shift_count),
     .limit = SKY_MAX_LIST, .doc = "scores also for queries moved to the right by so much"},
    {AT(eval, shift_fill), SKY_KEY_CHOICE, "black", "", .choices = shift_fills,
     .doc = "what fills the strip that opens: black, or the mirror image of what stood there"},
    {AT(eval, weather), SKY_KEY_CHOICES, "none", "", .choices = weathers, .count_offset = offsetof(struct sky_config, eval.weather_count),
     .limit = SKY_MAX_LIST, .doc = "scores also with the drone's images in each of these, drawn the same for every model"},
    {AT(eval, rerank), SKY_KEY_BOOL, "no", "", .doc = "scores also after k-reciprocal re-ranking"},
    {AT(eval, rerank_k1), SKY_KEY_INT, "20", "", RANGE(1, 1000), .doc = "re-ranking: nearest rows that are asked for reciprocity"},
    {AT(eval, rerank_k2), SKY_KEY_INT, "6", "", RANGE(1, 1000), .doc = "re-ranking: nearest rows that are averaged; 1 = off"},
    {AT(eval, rerank_lambda), SKY_KEY_NUMBER, "0.3", "", RANGE(0, 1), .doc = "re-ranking: share of the first distance in the last"},

    {AT(device, backend), SKY_KEY_CHOICE, "auto", "", .choices = backends, .doc = "auto takes the fastest that works; ref is slow and exact"},
    {AT(device, index), SKY_KEY_INT, "0", "", RANGE(0, 1023), .doc = "which of several devices"},
    {AT(device, threads), SKY_KEY_INT, "0", "threads", RANGE(0, 1024), .doc = "of the arithmetic on the CPU; 0 = one a core"},
    {AT(device, winograd), SKY_KEY_BOOL, "no", "", HASHED, .doc = "faster 3x3 convolutions with a slightly larger rounding error"},
    {AT(device, deterministic), SKY_KEY_BOOL, "yes", "", .doc = "same bits in every run, even where that is slower"},
    {AT(device, cuda_graph), SKY_KEY_BOOL, "yes", "", .doc = "CUDA: a whole step is recorded once and launched as one graph; the same bits, fewer launches"},
    {AT(device, fusion), SKY_KEY_CHOICE, "auto", "", .choices = fusions, HASHED,
     .doc = "batch norm inside convolutions: auto in fp16, where it moves fewer bytes; yes wherever it fits (fp16 on a GPU, any precision with backend = ref)"},

    {AT(distributed, bn_sync), SKY_KEY_BOOL, "no", "", .doc = "batch norm's statistics are over all ranks' images; otherwise over each rank's own"},
    {AT(distributed, bucket_mib), SKY_KEY_NUMBER, "25", "MiB", ABOVE(0, 1e6),
     .doc = "gradients are summed over ranks in pieces of this size while the backward pass goes on; the first one is of 1 MiB, so that summing starts early"},
    {AT(distributed, gradients), SKY_KEY_CHOICE, "fp32", "", .choices = gradient_precisions,
     .doc = "what ranks send each other: bf16 is half as much, each gradient is rounded once before the sum and once after"},
    {AT(distributed, timeout_s), SKY_KEY_NUMBER, "300", "seconds", ABOVE(0, 1e6), .doc = "a rank that does not answer for so long ends the run"},
    {AT(distributed, check_every), SKY_KEY_INT, "1000", "steps", RANGE(0, 1000000000),
     .doc = "between comparisons of the ranks' parameters, which must be the same bits; 0 = never"},

    {AT(log, every), SKY_KEY_INT, "20", "steps", RANGE(1, 1000000), .doc = "between progress lines"},
    {AT(log, tensorboard), SKY_KEY_BOOL, "yes", "", .doc = "an event file for TensorBoard in the run folder"},

    {AT(debug, record), SKY_KEY_PATH, "none", "", .doc = "folder for inputs and losses of the first steps, to replay them elsewhere"},
    {AT(debug, sync), SKY_KEY_BOOL, "no", "", .doc = "CUDA: wait after each operation, so that a fault of the device is reported by its own layer; slow"},
    {AT(debug, exchange), SKY_KEY_BOOL, "no", "",
     .doc = "one rank alone also takes its gradients (and statistics, with bn_sync) the way that several ranks do, on CUDA through NCCL; the same bits, to "
            "test that way"},
    {AT(debug, record_steps), SKY_KEY_INT, "10", "steps", RANGE(1, 100000), .doc = "how many are recorded"},
};
const int sky_schema_count = sizeof sky_schema / sizeof *sky_schema;

const struct sky_key *sky_schema_find(const char *section, const char *name)
{
    for (int i = 0; i < sky_schema_count; i++) {
        if (!strcmp(sky_schema[i].section, section) && !strcmp(sky_schema[i].name, name)) return &sky_schema[i];
    }
    return NULL;
}

const char *sky_pair_loss_name(int loss)
{
    static const char *const names[SKY_PAIR_LOSS_COUNT] = {"contrastive", "triplet", "soft_margin", "info_nce"};
    return loss >= 0 && loss < SKY_PAIR_LOSS_COUNT ? names[loss] : "unknown";
}

double sky_pair_loss_weight(const struct sky_config *config, int loss)
{
    const double weights[SKY_PAIR_LOSS_COUNT] = {config->loss.contrastive, config->loss.triplet, config->loss.soft_margin, config->loss.info_nce};
    return loss >= 0 && loss < SKY_PAIR_LOSS_COUNT ? weights[loss] : 0;
}

const char *sky_view_name(int view) { return view >= 0 && view < SKY_VIEW_COUNT ? views[view] : "unknown"; }

int sky_views_index(const struct sky_views *list, int view)
{
    for (int i = 0; i < list->count; i++)
        if (list->list[i] == view) return i;
    return -1;
}

bool sky_has_pair(const struct sky_views *list) { return sky_views_index(list, SKY_VIEW_SATELLITE) >= 0 && sky_views_index(list, SKY_VIEW_DRONE) >= 0; }

const char *sky_direction_name(int direction) { return direction >= 0 && direction < SKY_DIRECTION_COUNT ? directions[direction] : "unknown"; }

bool sky_direction_has(int direction, int single)
{
    return direction == single || direction == SKY_DIRECTION_ALL ||
           (direction == SKY_DIRECTION_BOTH && (single == SKY_DIRECTION_DRONE_TO_SATELLITE || single == SKY_DIRECTION_SATELLITE_TO_DRONE));
}

int sky_direction_query(int single)
{
    static const int asks[SKY_SINGLE_DIRECTIONS] = {SKY_VIEW_DRONE, SKY_VIEW_SATELLITE, SKY_VIEW_STREET, SKY_VIEW_SATELLITE};
    return asks[single];
}

int sky_direction_gallery(int single)
{
    static const int asked[SKY_SINGLE_DIRECTIONS] = {SKY_VIEW_SATELLITE, SKY_VIEW_DRONE, SKY_VIEW_SATELLITE, SKY_VIEW_STREET};
    return asked[single];
}

const char *const sky_trunk_names[SKY_TRUNK_COUNT] = {"backbone", "backbone_satellite", "backbone_drone", "backbone_ground"};

const char *sky_trunk_name(const struct sky_config *config, int view)
{
    const struct sky_views *trained = &config->data.views;
    const bool here = sky_views_index(trained, view) >= 0;
    if (view == SKY_VIEW_STREET || view == SKY_VIEW_GOOGLE)
        return sky_views_index(trained, SKY_VIEW_STREET) >= 0 || sky_views_index(trained, SKY_VIEW_GOOGLE) >= 0 ? "backbone_ground" : NULL;
    if (!config->model.share_views) return !here ? NULL : view == SKY_VIEW_SATELLITE ? "backbone_satellite" : "backbone_drone";
    return sky_views_index(trained, SKY_VIEW_SATELLITE) >= 0 || sky_views_index(trained, SKY_VIEW_DRONE) >= 0 ? "backbone" : NULL;
}
