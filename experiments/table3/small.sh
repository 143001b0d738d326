#!/usr/bin/env bash
# Table 3's ablation at small scale: the four rows with trunks a quarter as wide, from random weights, on a synthetic world, three seeds each. It shows that the whole kit runs and
# how far such an ablation can be seen at this scale; its numbers say nothing about University-1652. Under an hour on 2 cores.
#   bash experiments/table3/small.sh [OUTPUT_DIR] [--seeds "1 2 3"]
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$root/runs/table3-small
[ $# -eq 0 ] || [[ $1 == -* ]] || { out=$1; shift; }
if [ ! -x "$root/build/skygem" ]; then
    bash "$root/third_party/install.sh"
    cmake -S "$root" -B "$root/build" -DCMAKE_BUILD_TYPE=Release >&2
    cmake --build "$root/build" -j"$(nproc)" >&2
fi
if [ ! -d "$out/world" ]; then # it gets its name when it is whole
    rm -rf "$out/world-unfinished"
    "$root/build/skygem" data synth "$out/world-unfinished" --seed 1 --size 128 --places-train 240 --places-test 80 --distractors 40 --views 6
    mv "$out/world-unfinished" "$out/world"
fi
seeds=(--seeds "1 2 3")
[ $# -eq 0 ] || seeds=("$@")
exec bash "$root/experiments/run_table.sh" "$root/experiments/table3" "$out/world" --runs "$out/runs" "${seeds[@]}" -- \
    --set data.image_size=128 --set data.samples_per_class=2 --set augment.pad=6 --set augment.satellite_rotation=180 \
    --set model.width=0.25 --set model.embedding=128 --set model.dropout=0.2 --set optimizer.lr=0.02 --set optimizer.backbone_lr_scale=1 \
    --set schedule.kind=cosine --set schedule.warmup_epochs=1 --set train.epochs=20 --set train.batch_size=16 --set device.winograd=yes
