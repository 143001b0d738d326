/*
 * Every convolution of every shipped experiment, in training and inference and in each precision, planned by cuDNN against described GPUs: no GPU and no driver
 * is needed. Each must have a deterministic engine within the cap on scratch memory, and the tables must be those that lie beside this file; with another
 * cuDNN than theirs only what is supported is compared. plan_check --write makes the tables anew. The A100's takes minutes more, and is checked with SKY_FULL=1.
 */
#include "backend/cuda/plan_check.h"
#include "base/fs.h"
#include "base/threads.h"
#include "check.h"
#include "model/model.h"
#include "ops/cases.h"

/* The experiments on a device, or the operations' cases on the first; the last one only when everything is asked for. */
enum { H200, CASES, A100, JOBS };
static const char *const names[JOBS] = {"h200", "cases", "a100"};

static char *path_of(const char *name, const char *ending)
{
    struct sky_text text = {0};
    sky_text_format(&text, "%s/tests/plans/%s%s", SKY_SOURCE_DIR, name, ending);
    CHECK_OK(sky_text_status(&text, "a path"));
    return text.text;
}

/* ---- the experiments' convolutions ---- */

/* Without fusion, and with every fused form that fits: the bytes that decide between them depend on the batch, which is the user's. */
static void add_model(struct sky_plan_check *check, struct sky_config *config, enum sky_model_mode mode, int fusion)
{
    config->device.fusion = fusion;
    const bool train = mode == SKY_MODEL_TRAIN;
    struct sky_model model;
    if (!CHECK_OK(sky_model_build(&model, config, mode, train ? config->train.batch_size : config->eval.batch_size, train ? 701 : 0, SKY_VIEW_SATELLITE,
                                  SKY_F32, NULL)))
        return;
    CHECK_OK(sky_plan_check_add(check, &model.graph));
    CHECK(check->count > 0);
    sky_model_free(&model);
}

static int add_experiments(struct sky_plan_check *check, const char *folder)
{
    struct sky_listing listing = {0};
    int found = 0;
    if (!CHECK_OK(sky_folder_list(folder, &listing))) return 0;
    for (int64_t i = 0; i < listing.count; i++) {
        const struct sky_entry *entry = &listing.entries[i];
        const size_t length = strlen(entry->name);
        char *path = NULL;
        struct sky_config config;
        if (!CHECK_OK(sky_path_join(&path, folder, entry->name))) break;
        if (entry->is_folder) found += add_experiments(check, path);
        else if (length > 4 && !strcmp(entry->name + length - 4, ".ini") && CHECK_OK(sky_config_read(&config, path, NULL, 0))) {
            add_model(check, &config, SKY_MODEL_TRAIN, SKY_FUSION_NO);
            add_model(check, &config, SKY_MODEL_TRAIN, SKY_FUSION_YES);
            add_model(check, &config, SKY_MODEL_INFER, SKY_FUSION_NO);
            sky_config_free(&config);
            found++;
        }
        free(path);
    }
    sky_listing_free(&listing);
    return found;
}

/* What tests/ops runs on a GPU: odd shapes and channel counts. */
static void add_cases(struct sky_plan_check *check)
{
    for (int i = 0; i < ops_case_count; i++) {
        struct ops_subject subject = {0};
        if ((strcmp(ops_cases[i].name, "CONV") && strcmp(ops_cases[i].name, "BOTTLENECK")) || ops_cases[i].perf) continue;
        if (CHECK_OK(ops_subject_build(&subject, &ops_cases[i], SKY_F32))) CHECK_OK(sky_plan_check_add(check, &subject.graph));
        ops_subject_free(&subject);
    }
    CHECK(check->count > 50);
}

/* ---- planning: two jobs side by side ---- */

struct job {
    const char *name;
    const struct sky_plan_check *check;
    const char *json;
    struct sky_text table;
    struct sky_plan_check_result result;
};

static sky_status plan(void *context, int worker, int64_t number, int slot)
{
    struct job *job = &((struct job *)context)[number];
    (void)worker, (void)slot;
    return sky_plan_check_run(job->check, job->json, &job->table, &job->result);
}

static void plan_all(struct job *jobs, int count)
{
    struct sky_pool *pool = NULL;
    if (!CHECK_OK(sky_pool_create(&pool, 2, count, 0, count, plan, jobs))) return;
    for (int j = 0; j < count; j++) {
        int64_t number;
        int slot;
        if (!CHECK_OK(sky_pool_next(pool, &number, &slot))) break;
        sky_pool_release(pool, slot);
    }
    sky_pool_destroy(pool);
}

/* ---- the choice ---- */

static const struct sky_plan *planned(struct sky_plan_cache *cache, const struct sky_conv_problem *problem)
{
    const struct sky_plan *plan = NULL;
    CHECK_OK(sky_plan_find(cache, problem, &plan));
    return plan;
}

/* Each rule takes candidates away, and what is chosen keeps to it. */
static void test_rules(const char *json)
{
    const struct sky_plan_rules fp32 = {.deterministic = true, .workspace_cap = SKY_PLAN_WORKSPACE_CAP};
    struct sky_plan_rules tf32 = fp32, varying = fp32, frugal = fp32;
    tf32.tf32 = true, varying.deterministic = false, frugal.workspace_cap = 1000;
    struct sky_plan_cache *strict = NULL, *others[3] = {NULL};
    const struct sky_conv_problem stem = {SKY_CONV_DGRAD, SKY_F32, 8, 128, 128, 3, 64, 7, 7, 64, 64, 2, 3, false, false, false};
    struct sky_conv_problem other = stem;
    other.images = 4;
    CHECK_OK(sky_plan_cache_describe(&strict, json, &fp32));
    CHECK_OK(sky_plan_cache_describe(&others[0], json, &tf32));
    CHECK_OK(sky_plan_cache_describe(&others[1], json, &varying));
    CHECK_OK(sky_plan_cache_describe(&others[2], json, &frugal));
    const struct sky_plan *plan = check_failed ? NULL : planned(strict, &stem);
    for (int i = 0; i < 3 && plan; i++) {
        const struct sky_plan *by_rule = planned(others[i], &stem);
        if (by_rule && i < 2) CHECK(by_rule->allowed > plan->allowed);
        if (by_rule && i == 2) CHECK(by_rule->allowed < plan->allowed && by_rule->workspace_bytes <= frugal.workspace_cap);
    }
    if (plan) CHECK(plan->allowed <= plan->deterministic && plan->deterministic <= plan->candidates && plan->workspace_bytes <= fp32.workspace_cap);
    if (plan) CHECK(planned(strict, &stem) == plan && planned(strict, &other) != plan); /* once */
    sky_plan_cache_close(strict);
    for (int i = 0; i < 3; i++) sky_plan_cache_close(others[i]);
}

static void test_refusals(const char *json)
{
    const struct sky_plan_rules rules = {.deterministic = true, .workspace_cap = SKY_PLAN_WORKSPACE_CAP};
    struct sky_plan_cache *cache = NULL;
    const struct sky_plan *plan;
    struct sky_conv_problem problem = {SKY_CONV_DGRAD_BN, SKY_BF16, 8, 16, 16, 64, 64, 3, 3, 16, 16, 1, 1, false, false, false};
    CHECK_FAILS(sky_plan_cache_describe(&cache, "{}", &rules), SKY_DEVICE, "cuDNN");
    CHECK(cache == NULL);
    CHECK_OK(sky_plan_cache_describe(&cache, json, &rules));
    CHECK_FAILS(sky_plan_find(cache, &problem, &plan), SKY_UNSUPPORTED, "cuDNN has no engine: of 0 candidates");
    problem.form = SKY_CONV_FORWARD, problem.out_height = 17; /* not what this convolution gives */
    CHECK_FAILS(sky_plan_find(cache, &problem, &plan), SKY_DEVICE, "fprop 8x16x16x64 -> 17x16x64, 3x3 stride 1 pad 1 in bf16");
    printf("%s: %s\n", sky_error_last()->where, sky_error_last()->what);
    sky_plan_cache_close(cache);
}

/* As far as it goes without a device: the pointers are taken, once while they stay the same, and the library then refuses to run. */
static void test_running(const char *json)
{
    const struct sky_plan_rules rules = {.deterministic = true, .workspace_cap = SKY_PLAN_WORKSPACE_CAP};
    const struct sky_conv_problem problem = {SKY_CONV_FORWARD, SKY_F16, 8, 16, 16, 64, 64, 3, 3, 16, 16, 1, 1, false, false, false};
    struct sky_plan_cache *cache = NULL;
    struct sky_plan_pack pack = {0};
    float memory[64];
    void *pointers[SKY_CONV_TENSOR_COUNT] = {[SKY_CONV_X] = memory, [SKY_CONV_W] = memory + 16, [SKY_CONV_Y] = memory + 32};
    CHECK_OK(sky_plan_cache_describe(&cache, json, &rules));
    const struct sky_plan *plan = check_failed ? NULL : planned(cache, &problem);
    if (plan) {
        CHECK_FAILS(sky_plan_run(plan, NULL, &pack, pointers, memory), SKY_DEVICE, "cuDNN, running");
        const cudnnBackendDescriptor_t first = pack.pack;
        CHECK(first != NULL && pack.pointers[SKY_CONV_Y] == memory + 32);
        CHECK_FAILS(sky_plan_run(plan, NULL, &pack, pointers, memory), SKY_DEVICE, "cuDNN, running");
        CHECK(pack.pack == first);
        pointers[SKY_CONV_Y] = memory + 48;
        CHECK_FAILS(sky_plan_run(plan, NULL, &pack, pointers, memory), SKY_DEVICE, "cuDNN, running");
        CHECK(pack.pointers[SKY_CONV_Y] == memory + 48);
        pointers[SKY_CONV_W] = NULL;
        CHECK_FAILS(sky_plan_run(plan, NULL, &pack, pointers, memory), SKY_INTERNAL, "has no pointer");
        CHECK(pack.pack == NULL);
    }
    sky_plan_pack_free(&pack);
    sky_plan_cache_close(cache);
}

/* ---- tables ---- */

/* The next line of *rest without its end; false behind the last one. */
static bool next_line(const char **rest, char *line, size_t line_bytes)
{
    const char *end = strchr(*rest, '\n');
    if (!end) return false;
    snprintf(line, line_bytes, "%.*s", (int)(end - *rest), *rest);
    *rest = end + 1;
    return true;
}

/* Every cell down to "+", "-" or ".": what is supported, whatever the engine. In place: a cell is longer than what it becomes. */
static void reduce(char *line)
{
    char *to = strchr(line, '|');
    for (const char *cell = to; cell; cell = strchr(cell + 1, '|')) {
        const char mark = cell[2] == '-' || cell[2] == '.' ? cell[2] : '+';
        *to++ = '|', *to++ = mark;
    }
    if (to) *to = 0;
}

/* Rows that differ, are missing or too many; the first of ours in `first`. Of tables of different versions only what is supported is compared. */
static int differences(const char *table, const char *committed, char first[512])
{
    char ours[512] = "", theirs[512] = "";
    if (!next_line(&table, ours, sizeof ours) || !next_line(&committed, theirs, sizeof theirs)) return 1;
    const bool same_library = !strcmp(ours, theirs);
    int different = 0;
    for (;;) {
        const bool we = next_line(&table, ours, sizeof ours), they = next_line(&committed, theirs, sizeof theirs);
        if (!we && !they) return different;
        if (!same_library && we) reduce(ours);
        if (!same_library && they) reduce(theirs);
        if (we && they && !strcmp(ours, theirs)) continue;
        if (!different++) snprintf(first, 512, "%s", we ? ours : "(no row)");
    }
}

static void test_differences(void)
{
    char first[512] = "";
    CHECK(differences("# 1\na | 2/2 e1 | -\n", "# 1\na | 2/2 e1 | -\n", first) == 0);
    CHECK(differences("# 1\na | 2/2 e1 | -\n", "# 1\na | 2/2 e2 | -\n", first) == 1 && !strcmp(first, "a | 2/2 e1 | -"));
    CHECK(differences("# 1\na | 2/2 e1 | -\n", "# 2\na | 3/3 e2 | -\n", first) == 0);
    CHECK(differences("# 1\na | 2/2 e1 | -\n", "# 2\na | 3/3 e2 | 1/1 e3\n", first) == 1);
    CHECK(differences("# 1\na | . | 2/2\n", "# 2\na | - | 1/1 e3\n", first) == 1);
    CHECK(differences("# 1\na | -\nb | -\n", "# 1\na | -\n", first) == 1 && !strcmp(first, "b | -"));
    CHECK(differences("# 1\n", "# 1\na | -\n", first) == 1);
    CHECK(differences("", "# 1\n", first) == 1);
}

static void judge_plans(const struct job *job)
{
    printf("%s: %lld plans of %lld shapes\n", job->name, (long long)job->result.planned, (long long)job->check->count);
    check_that(job->result.missing == 0 && job->result.planned > 0, job->name, __FILE__, __LINE__, job->result.first_missing.what);
    if (job->result.missing)
        printf("%s: %lld convolutions without a plan, first %s\n", job->name, (long long)job->result.missing, job->result.first_missing.where);
}

static void judge_table(const struct job *job, bool write)
{
    char *path = path_of(job->name, ".txt"), *committed = NULL, first[512] = "";
    size_t bytes;
    if (write) CHECK_OK(sky_file_write_atomic(path, job->table.text, job->table.length));
    else if (CHECK_OK(sky_file_read(path, 1 << 20, &committed, &bytes))) {
        const int different = differences(job->table.text, committed, first);
        if (strncmp(job->table.text, committed, strcspn(committed, "\n")))
            printf("%s: its table is of another cuDNN: only what is supported is compared\n", job->name);
        check_that(!different, "rows as in the table (plan_check --write makes it anew)", __FILE__, __LINE__, first);
    }
    free(committed);
    free(path);
}

int main(int argc, char **argv)
{
    const char *full = getenv("SKY_FULL");
    const bool write = argc > 1 && !strcmp(argv[1], "--write");
    const int job_count = write || (full && !strcmp(full, "1")) ? JOBS : A100;
    struct sky_plan_check experiments = {0}, cases = {0};
    struct job jobs[JOBS];
    char *json[JOBS] = {NULL};
    CHECK(add_experiments(&experiments, SKY_SOURCE_DIR "/experiments") > 0);
    add_cases(&cases);
    for (int j = 0; j < JOBS; j++) {
        size_t bytes;
        char *path = path_of(names[j == CASES ? H200 : j], ".json");
        CHECK_OK(sky_file_read(path, 1 << 16, &json[j], &bytes));
        jobs[j] = (struct job){.name = names[j], .check = j == CASES ? &cases : &experiments, .json = json[j]};
        free(path);
    }
    test_differences();
    if (!check_failed) test_rules(json[H200]);
    if (!check_failed) test_refusals(json[H200]);
    if (!check_failed) test_running(json[H200]);
    if (!check_failed) plan_all(jobs, job_count);
    for (int j = 0; j < job_count && !check_failed; j++) {
        judge_plans(&jobs[j]);
        if (j != CASES) judge_table(&jobs[j], write);
    }
    if (job_count < JOBS) check_skip("the A100's table of plans", "SKY_FULL=1 checks it too");
    for (int j = 0; j < JOBS; j++) sky_text_free(&jobs[j].table);
    for (int j = 0; j < JOBS; j++) free(json[j]);
    sky_plan_check_free(&experiments);
    sky_plan_check_free(&cases);
    return check_done();
}
