#!/usr/bin/env bash
# The scaling model of README.md as numbers: step time, exposed communication and efficiency by GPUs, network and batch. A model on paper, not a measurement: every assumption is a line below.
# Usage: bash experiments/cluster/model.sh [BYTES_PER_GRADIENT (4, or 2 for bf16)]
set -euo pipefail
awk -v each="${1:-4}" '
function log2(x) { return log(x) / log(2) }
# Seconds for the sum of `bytes` over n GPUs, 8 a node: within the node by NVLink, between m nodes by what a node has of network.
function sum_seconds(bytes, n, net, local, m) {
    local = n < 8 ? n : 8; m = n / local
    if (n == 1) return 0
    return bytes * 2 * (local - 1) / local / nvlink + 20e-6 + (m > 1 ? bytes * 2 * (m - 1) / m / net + 30e-6 + 24e-6 * log2(m) : 0)
}
# Sums start as the backward pass finishes the parts of the model; what is not done at its end is exposed.
function exposed(step, n, net, i, end, ready, backward) {
    backward = step * 2 / 3
    for (i = 1; i <= parts; i++) {
        ready = backward * done_at[i]
        end = (end > ready ? end : ready) + sum_seconds(parameters * share[i] * each, n, net)
    }
    return end > backward ? end - backward : 0
}
BEGIN {
    parameters = 36433435                         # skygem info experiments/paper/se_resnet50_gem_256.ini, 701 classes
    nvlink = 300e9                                # bus bandwidth at 25 MB (nccl-tests report 370 to 480 for large messages on H100)
    line = 0.85                                   # of the line rate is reached
    parts = 5                                     # heads, layer4, layer3, layer2, layer1 and stem: share of parameters; backward pass done, by multiply-adds
    split("0.285 0.453 0.217 0.037 0.008", share); split("0.02 0.50 0.73 0.88 1", done_at)
    split("2 16 32 64 128", images); split("2.4 6.4 9.1 14.2 27.2", ms)   # a step on one H200, bf16, 256 px: targets (2,500, 3,500, 4,500, 4,700 images/s), 2 images: launches
    spread = 0.01                                 # standard deviation of a rank'"'"'s step time; all wait for the slowest
    names[1] = "100 Gb/s a node"; rates[1] = 100e9 / 8; names[2] = "400 Gb/s a node"; rates[2] = 400e9 / 8; names[3] = "8 x 400 Gb/s a node"; rates[3] = 8 * 400e9 / 8
    printf "gradients: %.1f MB a step and rank\n\n", parameters * each / 1e6
    printf "| GPUs | network | time of all sums | exposed / efficiency: 8 pairs a GPU | 32 pairs | 64 pairs |\n|---|---|---|---|---|---|\n"
    for (n = 1; n <= 1024; n *= 2) {
        if (n == 2 || n == 4) continue
        for (k = n > 8 ? 1 : 3; k <= 3; k++) {
            total = 0
            for (i = 1; i <= parts; i++) total += sum_seconds(parameters * share[i] * each, n, rates[k] * line)
            printf "| %d | %s | %.2f ms ", n, n == 1 ? "-" : n <= 8 ? "NVLink alone" : names[k], 1e3 * total
            for (b = 2; b <= 5; b++) {
                if (b == 3) continue
                step = ms[b] / 1e3
                late = exposed(step, n, rates[k] * line)
                printf "| %.2f ms / %.0f %% ", 1e3 * late, 100 * step / (step * (1 + spread * sqrt(2 * log(n))) + late)
            }
            printf "|\n"
        }
    }
    printf "\nThe paper'"'"'s batch of 8 pairs shared by 8 GPUs: %.1f ms on one, %.1f ms + %.2f ms exposed on eight: %.1f times as fast, %.0f %% efficiency\n", ms[2], ms[1],
        1e3 * exposed(ms[1] / 1e3, 8, 1), ms[2] / (ms[1] + 1e3 * exposed(ms[1] / 1e3, 8, 1)), 100 * ms[2] / (ms[1] + 1e3 * exposed(ms[1] / 1e3, 8, 1)) / 8
}'
