#!/usr/bin/env bash
# [debug] record and its replay: a short training is recorded, then done again in PyTorch from the same start on the same pixels (replay.py says what is
# compared and how closely). Without PyTorch the record is still made and looked at; model_golden_test compares with PyTorch's committed numbers then.
source "$(dirname "$0")/../check.sh"
golden=$source_dir/tests/golden
cd "$work" || exit 1

run "$program" data synth world --places-train 5 --places-test 2 --distractors 1 --views 4 --street 2 --size 96 --seed 3 --quiet
expect_code 0

cat >experiment.ini <<'INI'
[data]
root = world
image_size = 64
[model]
width = 0.03125
embedding = 8
dropout = 0
[optimizer]
lr = 0.004
[train]
batch_size = 5
epochs = 3
INI

# record NAME --set ...: three steps into NAME.
record() {
    local name=$1
    shift
    run "$program" train experiment.ini -o "run-$name" --no-eval --quiet --set "debug.record=$name" --set debug.record_steps=3 "$@"
    expect_code 0
    for file in init step_0000 step_0001 step_0002 gradients_0000 final; do expect [ -s "$name/$file.safetensors" ]; done
    expect [ "$(ls "$name" | wc -l)" -eq 6 ]
}

# replay NAME: the table is shown when something in it failed.
replay() {
    run "$python" "$golden/replay.py" "$1"
    [ "$code" -eq 0 ] || printf '%s\n' "$out"
    expect_code 0
    expect_out '3 steps replayed'
    expect_out ' 0 failed'
}

python=
for candidate in python3 /usr/bin/python3; do
    [ -z "$python" ] && "$candidate" -c 'import numpy, torch' 2>/dev/null && python=$candidate
done
export PYTHONDONTWRITEBYTECODE=1

run "$program" train experiment.ini -o run-accumulate --no-eval --quiet --set debug.record=accumulated --set train.accumulate=2 --set train.batch_size=2
expect_code 2
expect_err 'accumulate = 1'

if [ -z "$python" ]; then
    record plain
    skip 'replay in PyTorch' 'no python3 here imports torch and numpy (Debian: python3-torch)'
    check_done
    exit
fi

# The paper's model from well-conditioned weights: those of the golden file.
"$python" - "$golden" <<'PYTHON'
import sys
sys.path.insert(0, sys.argv[1])
import safetensors_file
tensors, _ = safetensors_file.read(sys.argv[1] + "/se_resnet50_legacy_msba.safetensors")
safetensors_file.write("weights.safetensors", {name[5:]: tensor for name, tensor in tensors.items() if name.startswith("init/")}, {})
PYTHON
record paper --set model.weights=weights.safetensors
replay paper
# Two trunks from their own random start, pooled by maximum over listed parts, no divergence, erased rectangles, rates that change.
record trunks --set model.backbone=resnet18 --set model.share_views=no --set model.partition=list --set 'model.parts=ring1, square2' --set model.blocks=3 \
    --set model.pooling=max --set loss.kl=0 --set augment.erasing=1 --set schedule.warmup_epochs=3
replay trunks
# All four views: one trunk above, one below, each row's own label; then three trunks, satellite's and drone's compared as well.
record views --set model.backbone=resnet18 --set data.views=google,street,drone,satellite --set data.sampler=unpaired --set loss.kl=0
replay views
record views-apart --set model.backbone=resnet18 --set data.views=satellite,drone,street,google --set model.share_views=no --set loss.triplet=1 --set augment.erasing=1
replay views-apart

# The comparison can fail: parameters that did not move, gradients of another model.
cp paper/init.safetensors paper/final.safetensors
run "$python" "$golden/replay.py" paper
expect_code 1
expect_out 'final parameters'
expect_out '2 failed'
cp trunks/gradients_0000.safetensors paper/gradients_0000.safetensors
run "$python" "$golden/replay.py" paper
expect_code 1
expect_err 'one side only'
check_done
