/*
 * skygem doctor: the first thing a maintainer asks for. Versions compiled and loaded, the machine, what may slow it down, and which back ends work and
 * why not. Reads /proc, /sys and the environment; changes nothing.
 */
#include "backend/cpu/library.h"
#include "backend/select.h"
#include "backend/with_cuda.h"
#include "base/json.h"
#include "base/threads.h"
#include "build_info.h"
#include "comm/device_comm.h"
#include "commands.h"
#include "image/library.h"
#include "skygem/skygem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_FACTS = 64, MAX_WARNINGS = 16, SYSTEM_BYTES = 16384 };

struct report {
    struct fact {
        const char *section, *name;
        char value[400];
    } facts[MAX_FACTS];
    char warnings[MAX_WARNINGS][300];
    int fact_count, warning_count;
};

static void add_fact(struct report *r, const char *section, const char *name, const char *format, ...) __attribute__((format(printf, 4, 5)));
static void add_fact(struct report *r, const char *section, const char *name, const char *format, ...)
{
    va_list arguments;
    if (r->fact_count == MAX_FACTS) return;
    struct fact *fact = &r->facts[r->fact_count++];
    fact->section = section;
    fact->name = name;
    va_start(arguments, format);
    vsnprintf(fact->value, sizeof fact->value, format, arguments);
    va_end(arguments);
}

static void warn(struct report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void warn(struct report *r, const char *format, ...)
{
    va_list arguments;
    if (r->warning_count == MAX_WARNINGS) return;
    va_start(arguments, format);
    vsnprintf(r->warnings[r->warning_count++], sizeof *r->warnings, format, arguments);
    va_end(arguments);
}

/* ---- the system's own files ---- */

/* The start of a file (of /proc/cpuinfo: the first processor), "" when it is not there. */
static const char *read_system_file(const char *path, char text[SYSTEM_BYTES])
{
    FILE *file = fopen(path, "re");
    const size_t count = file ? fread(text, 1, SYSTEM_BYTES - 1, file) : 0;
    text[count] = 0;
    if (file) fclose(file);
    return text;
}

/* What stands behind "NAME<blanks>:" in a file of such lines; "" when it is not there. */
static void find_line(const char *text, const char *name, char *out, size_t out_bytes)
{
    const size_t length = strlen(name);
    out[0] = 0;
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL) {
        if (strncmp(line, name, length) || !strchr(" \t:", line[length])) continue;
        const char *value = strchr(line, ':');
        if (!value) return;
        value += 1 + strspn(value + 1, " \t");
        snprintf(out, out_bytes, "%.*s", (int)strcspn(value, "\n"), value);
        return;
    }
}

static size_t kib_line(const char *text, const char *name)
{
    char line[64];
    find_line(text, name, line, sizeof line);
    return (size_t)strtoull(line, NULL, 10) * 1024;
}

static void describe_processor(struct report *r)
{
    static const char *const features[] = {"sse4_2",   "avx",         "avx2",       "fma",         "f16c",        "avx512f",  "avx512bw",
                                           "avx512vl", "avx512_vnni", "avx512vbmi", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16",
                                           "amx_int8", "asimd",       "asimdhp",    "bf16",        "sve"};
    char text[SYSTEM_BYTES], model[128], flags[4096], padded[4200], word[32], found[300] = "";
    const int usable = sky_thread_count_default();
    long long share = 0, period = 0;
    read_system_file("/proc/cpuinfo", text);
    find_line(text, "model name", model, sizeof model);
    find_line(text, "flags", flags, sizeof flags);
    if (!*flags) find_line(text, "Features", flags, sizeof flags);
    snprintf(padded, sizeof padded, " %s ", flags);
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        snprintf(word, sizeof word, " %s ", features[i]);
        const size_t used = strlen(found);
        if (strstr(padded, word)) snprintf(found + used, sizeof found - used, "%s%s", used ? " " : "", features[i]);
    }
    add_fact(r, "machine", "processor", "%s", *model ? model : "unknown");
    add_fact(r, "machine", "SIMD", "%s", *found ? found : "unknown");
    add_fact(r, "machine", "cores", "%d usable of %ld", usable, sysconf(_SC_NPROCESSORS_ONLN));
    const int parts = sscanf(read_system_file("/sys/fs/cgroup/cpu.max", text), "%lld %lld", &share, &period);
    if (parts == 2 && period > 0 && share < usable * period)
        warn(r, "this container may use %.1f processors, but %d threads will be started: set [device] threads and [data] workers",
             (double)share / (double)period, usable);
}

static void describe_memory(struct report *r)
{
    char text[SYSTEM_BYTES], total[32], available[32];
    read_system_file("/proc/meminfo", text);
    const size_t bytes = kib_line(text, "MemTotal");
    sky_print_bytes(bytes, total);
    sky_print_bytes(kib_line(text, "MemAvailable"), available);
    add_fact(r, "machine", "memory", "%s, %s available", total, available);
    const size_t allowed = (size_t)strtoull(read_system_file("/sys/fs/cgroup/memory.max", text), NULL, 10); /* "max": 0 */
    sky_print_bytes(allowed, total);
    if (allowed && allowed < bytes) add_fact(r, "machine", "memory limit", "%s for this container", total);
    const char *chosen = strchr(read_system_file("/sys/kernel/mm/transparent_hugepage/enabled", text), '[');
    if (!chosen) return;
    add_fact(r, "machine", "huge pages", "%.*s", (int)strcspn(chosen + 1, "]"), chosen + 1);
    if (!strncmp(chosen, "[never", 6))
        warn(r, "transparent huge pages are off, which slows large models: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
}

/* ---- libraries and back ends ---- */

static void add_library(struct report *r, const struct sky_library *library, const char *file)
{
    char path[256] = "nowhere: not used";
    sky_library_path(file, path, sizeof path);
    add_fact(r, "libraries", library->name, "compiled %s, loaded %s%sfrom %s", library->compiled, library->loaded, *library->loaded ? " " : "", path);
    if (*library->loaded && strcmp(library->loaded, library->compiled))
        warn(r, "%s %s is loaded, but the program was compiled for %s: build it again", library->name, library->loaded, library->compiled);
}

static void describe_libraries(struct report *r)
{
    struct sky_library jpeg, png, tiff, onednn, inih = {"libinih", SKY_BUILD_INIH, ""}, openmp = {"OpenMP", SKY_BUILD_OPENMP, ""};
    char path[256];
    sky_image_libraries(&jpeg, &png);
    sky_cpu_library(&onednn);
    add_library(r, &jpeg, "libjpeg");
    add_library(r, &png, "libpng");
    if (sky_tiff_library(&tiff)) add_library(r, &tiff, "libtiff");
    else add_fact(r, "libraries", "libtiff", "not in this program: %s; TIFF files are not read", SKY_BUILD_TIFF);
    add_library(r, &inih, "libinih");
    add_library(r, &onednn, "libdnnl");
    add_library(r, &openmp, sky_library_path("libomp", path, sizeof path) ? "libomp" : "libgomp");
    if (sky_library_path("libomp", path, sizeof path) && sky_library_path("libgomp", path, sizeof path))
        warn(r, "two OpenMP libraries are loaded (libomp and libgomp), whose threads get in each other's way: build with gcc for speed");
    if (sky_library_path("libopenblas", path, sizeof path)) add_fact(r, "libraries", "OpenBLAS", "loaded by another library (%s)", path);
}

static void describe_environment(struct report *r)
{
    static const char *const shown[] = {"OMP_NUM_THREADS", "OMP_PROC_BIND", "OMP_WAIT_POLICY", "GOMP_CPU_AFFINITY", "KMP_AFFINITY", "LD_PRELOAD"};
    static const char *const slowing[] = {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"};
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        const char *value = getenv(shown[i]);
        if (value) add_fact(r, "environment", shown[i], "%s", value);
    }
    for (size_t i = 0; i < sizeof slowing / sizeof *slowing; i++) {
        const char *value = getenv(slowing[i]);
        if (!value) continue;
        add_fact(r, "environment", slowing[i], "%s", value);
        if (strstr(slowing[i], "OPENBLAS"))
            warn(r, "%s=%s pins OpenBLAS to fixed kernels: skygem does not use it, but unset it before timing PyTorch or NumPy", slowing[i], value);
        else warn(r, "%s=%s keeps oneDNN from this processor's fastest code: unset it", slowing[i], value);
    }
}

/* The driver's version is what it supports; the others are compared with what the program was compiled for. */
static void describe_cuda(struct report *r)
{
    struct sky_cuda_library libraries[4];
    char path[256];
    const int count = sky_cuda_libraries(libraries);
    for (int i = 0; i < count; i++) {
        const struct sky_cuda_library *library = &libraries[i];
        if (!sky_library_path(library->file, path, sizeof path)) snprintf(path, sizeof path, "nowhere");
        add_fact(r, "libraries", library->name, "compiled %s, loaded %s from %s", library->compiled, library->loaded, path);
        if (strcmp(library->file, "libcuda.so") && strcmp(library->loaded, library->compiled))
            warn(r, "%s %s is loaded, but the program was compiled for %s: see which copy comes first in LD_LIBRARY_PATH", library->name, library->loaded, library->compiled);
    }
}

/* NCCL is loaded when it is wanted: now. */
static void describe_nccl(struct report *r)
{
    char compiled[32], loaded[32], path[256];
    if (!sky_device_comm_library(compiled, loaded)) return;
    if (!sky_library_path("libnccl", path, sizeof path)) snprintf(path, sizeof path, "nowhere");
    add_fact(r, "libraries", "NCCL", "compiled %s, loaded %s from %s", compiled, loaded, path);
}

/* Opens and closes a back end; true when it works. */
static bool try_backend(struct report *r, const struct sky_backend *backend)
{
    struct sky_device device = {.backend = backend, .options = {.threads = 1, .deterministic = true}};
    if (backend->open(&device) != SKY_OK) {
        add_fact(r, "back ends", backend->name, "does not work: %s: %s", sky_error_last()->where, sky_error_last()->what);
        return false;
    }
    backend->close(&device);
    add_fact(r, "back ends", backend->name, "works: %s", backend->description);
    return true;
}

static bool describe_backends(struct report *r)
{
    char text[SYSTEM_BYTES], device[160];
    const char *driver = read_system_file("/proc/driver/nvidia/version", text);
    const bool works = try_backend(r, &sky_backend_cpu);
    add_fact(r, "back ends", "Winograd", "%s",
             sky_cpu_has_winograd() ? "works on the CPU (device.winograd = yes)" : "not in this build: it needs AVX2 or AVX-512, and SKY_NATIVE=ON");
    add_fact(r, "back ends", "int8", "%s", sky_cpu_has_int8() ? "works on the CPU, for evaluation (eval.precision = int8)" : "not on this processor: it needs AVX2");
    if (!*driver) driver = "none (there is no /proc/driver/nvidia/version)";
    if (*SKY_BUILD_CUDA) add_fact(r, "back ends", "cuda", "not in this program: %s", SKY_BUILD_CUDA);
    else try_backend(r, sky_cuda_backend());
    for (int index = 0; sky_cuda_describe(index, device); index++) add_fact(r, "back ends", "GPU", "%d: %s", index, device);
    add_fact(r, "back ends", "GPU driver", "%.*s", (int)strcspn(driver, "\n"), driver);
    if (sky_comm_mpi_library(device, sizeof device)) add_fact(r, "back ends", "MPI", "%s", device);
    else add_fact(r, "back ends", "MPI", "not in this program: %s", SKY_BUILD_MPI);
    return try_backend(r, &sky_backend_ref) || works;
}

/* ---- output ---- */

static void print_text(const struct report *r)
{
    const char *section = "";
    for (int i = 0; i < r->fact_count; i++) {
        const struct fact *fact = &r->facts[i];
        if (strcmp(section, fact->section)) printf("%s%s\n", i ? "\n" : "", fact->section);
        section = fact->section;
        printf("  %-18s %s\n", fact->name, fact->value);
    }
    for (int i = 0; i < r->warning_count; i++) printf("%s  %s\n", i ? "" : "\nworth knowing\n", r->warnings[i]);
}

static sky_status print_json(const struct report *r)
{
    struct sky_text text = {0};
    struct sky_json_writer w = {&text, false};
    sky_json_begin_object(&w, NULL);
    for (int i = 0; i < r->fact_count; i++) {
        const struct fact *fact = &r->facts[i];
        if (!i || strcmp(r->facts[i - 1].section, fact->section)) sky_json_begin_object(&w, fact->section);
        sky_json_string(&w, fact->name, fact->value);
        if (i + 1 == r->fact_count || strcmp(r->facts[i + 1].section, fact->section)) sky_json_end_object(&w);
    }
    sky_json_begin_array(&w, "warnings");
    for (int i = 0; i < r->warning_count; i++) sky_json_string(&w, NULL, r->warnings[i]);
    sky_json_end_array(&w);
    sky_json_end_object(&w);
    const sky_status status = sky_text_status(&text, "report");
    if (status == SKY_OK) puts(text.text);
    sky_text_free(&text);
    return status;
}

static sky_status run(const struct sky_args *args)
{
    struct report *r = calloc(1, sizeof *r);
    sky_status status = SKY_OK;
    if (!r) return sky_fail(SKY_NOMEM, "doctor", "cannot allocate its report");
    add_fact(r, "program", "version", "%s", SKYGEM_VERSION);
    add_fact(r, "program", "build", "%s, %s, %s%s%s", SKY_BUILD_TYPE, SKY_BUILD_COMPILER, SKY_BUILD_TUNING, *SKY_BUILD_SANITIZERS ? ", sanitizers " : "",
             SKY_BUILD_SANITIZERS);
    describe_processor(r);
    describe_memory(r);
    describe_libraries(r);
    describe_cuda(r);
    describe_nccl(r);
    describe_environment(r);
    const bool usable = describe_backends(r);
    if (sky_args_given(args, "json")) status = print_json(r);
    else print_text(r);
    free(r);
    if (status == SKY_OK && !usable) return sky_fail(SKY_DEVICE, "doctor", "no back end works; the report says why");
    return status;
}

static const struct sky_option options[] = {
    {"json", 0, NULL, NULL, "print one JSON object", false},
    {0},
};

const struct sky_command sky_command_doctor = {
    .name = "doctor",
    .doc = "versions compiled and loaded, the machine, which back ends work and why not",
    .options = options,
    .run = run,
};
