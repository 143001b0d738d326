#!/usr/bin/env bash
# skygem weights as a user meets it: show, import, export; what it says of real files, and of wrong ones.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
golden=$source_dir/tests/golden/weights
real=$source_dir/../shared/data/weights_cifar10_resnet

# ---- show ----
if [ -d "$real" ]; then
    run "$program" weights show "$real/resnet20-12fca82f.th"
    expect_code 0
    expect_quiet
    expect_out "torch (older)"
    expect_out "entry 'state_dict'"
    expect_out "(as the file's name says)"
    expect_out "module.layer1.0.conv1.weight                             f32   [16, 16, 3, 3]"
    expect_out "parameters         269722"
    run "$program" weights show --totals --json "$real/resnet20_bf16.safetensors"
    expect_code 0
    expect_out '"format": "safetensors"'
    expect_out '"parameters": 269722'
    cp "$real/resnet20-12fca82f.th" "$work/resnet20-12fca82e.th"
    fails_with 1 "its name promises a SHA-256 that begins with 12fca82e" "$program" weights show "$work/resnet20-12fca82e.th"
    head -c 500000 "$real/resnet20_zip.pth" >"$work/short.pth"
    fails_with 1 "cut short" "$program" weights show "$work/short.pth"
    head -c 500000 "$real/resnet20_legacy.pth" >"$work/short.pth"
    fails_with 1 "cut short" "$program" weights show "$work/short.pth"
else
    skip "real weights" "no shared/data here"
fi
fails_with 2 "no such weights file" "$program" weights show "$work/absent.pth"
fails_with 2 "needs FILE" "$program" weights show

printf '\x0b\0\0\0\0\0\0\0{"a": true}' >"$work/hostile.safetensors"
fails_with 1 "must hold dtype" "$program" weights show "$work/hostile.safetensors"

# ---- import: the small networks of tests/golden ----
# import_of NAME KEY=VALUE...: into $work/NAME.safetensors, compared with an experiment of these keys.
import_of() {
    local name=$1 key
    shift
    local given=()
    for key in "$@"; do given+=(--set "$key"); done
    run "$program" weights import "$golden/$name.pth" -o "$work/$name.safetensors" --experiment "$work/tiny.ini" --set model.width=0.125 "${given[@]}"
}
import_of torchvision_resnet18 model.backbone=resnet18
expect_code 0
expect_out "layout             torchvision, resnet18"
expect_out "taken              100 tensors -> $work/torchvision_resnet18.safetensors"
expect_out "left out           2: the ImageNet classifier"
expect_out "left out           20: counters"
expect_out "    classifier0.add_block.0.weight [16, 64]" # the heads are missing, and named
expect_out "unexpected         none"
expect [ -s "$work/torchvision_resnet18.safetensors" ]
import_of torchvision_resnet50_older model.backbone=resnet50
expect_code 0
import_of timm_se_resnet50 model.backbone=se_resnet50 model.se_layout=timm
expect_code 0
expect_out "taken              329 tensors"
import_of legacy_se_resnet50_older model.backbone=se_resnet50 model.se_layout=legacy
expect_code 0
import_of reference_lpn model.backbone=resnet18 model.partition=lpn model.pooling=avg model.global_branch=none
expect_code 0
expect_out "missing            none"
expect_out "the same tensors under the other view's name"
expect_out "the street view's, which has no place in the model"
street=(model.backbone=resnet18 model.partition=lpn model.pooling=avg model.global_branch=none data.views=satellite,drone,street)
cp "$golden/reference_lpn.pth" "$work/reference_street.pth"
golden=$work import_of reference_street "${street[@]}" # its model_2 is a trunk of its own
expect_code 0
expect_out "a trunk for street images"
expect_out "missing            none"
import_of reference_baseline model.backbone=resnet18 model.partition=none model.global_branch=none model.share_views=no
expect_code 0
expect_out "a trunk for each view"
expect_out "missing            none"
import_of reference_msba model.backbone=resnet18 model.partition=msba model.pooling=avg model.part_attention=yes
expect_code 0
expect_out "missing            none"

# What does not fit is named, and nothing is written.
rm -f "$work/no.safetensors"
refused() { # TEXT OPTION...
    local text=$1
    shift
    run "$program" weights import "$@" -o "$work/no.safetensors"
    expect_code 1
    expect_err "$text"
    expect [ ! -e "$work/no.safetensors" ]
}
refused "these are weights of resnet18" "$golden/torchvision_resnet18.pth" --experiment "$work/tiny.ini"
refused "nothing is written" "$golden/torchvision_resnet18.pth" # the width of the real network
expect_out "of another shape   100"
expect_out "backbone.conv1.weight in the file [8, 3, 7, 7], in the model [64, 3, 7, 7]"
refused "of the legacy kind" "$golden/legacy_se_resnet50_older.pth" --experiment "$work/tiny.ini" --set model.backbone=se_resnet50 --set model.se_layout=timm
refused "of layout legacy, not torchvision" "$golden/legacy_se_resnet50_older.pth" --layout torchvision
lpn=(--experiment "$work/tiny.ini" --set model.backbone=resnet18 --set model.partition=lpn --set model.pooling=avg)
refused "keys are not known" "$golden/reference_msba.pth" "${lpn[@]}"
expect_out "model_1.classifier5.add_block.0.weight"
run "$program" weights import "$golden/reference_msba.pth" "${lpn[@]}" --allow-unexpected --json
expect_code 0
expect_out '"unexpected": ["model_1.classifier4.add_block.0.weight"'
expect_out '"missing": []'
fails_with 2 "give --experiment" "$program" weights import "$golden/torchvision_resnet18.pth" --set model.width=1
fails_with 2 "possible: skygem, torchvision" "$program" weights import "$golden/torchvision_resnet18.pth" --layout caffe

# ---- export, and back: the same bytes ----
# round_trip NAME LAYOUT ENDING KEY=VALUE...
round_trip() {
    local name=$1 layout=$2 ending=$3 key
    shift 3
    local given=()
    for key in "$@"; do given+=(--set "$key"); done
    run "$program" weights export "$work/$name.safetensors" -o "$work/out.$ending" --layout "$layout" --quiet
    expect_code 0
    run "$program" weights export "$work/$name.safetensors" -o "$work/again.$ending" --layout "$layout" --quiet
    expect cmp "$work/out.$ending" "$work/again.$ending"
    run "$program" weights import "$work/out.$ending" -o "$work/back.safetensors" --experiment "$work/tiny.ini" --set model.width=0.125 "${given[@]}"
    expect_code 0
    expect cmp "$work/$name.safetensors" "$work/back.safetensors"
}
for ending in pth safetensors; do
    round_trip torchvision_resnet18 torchvision $ending model.backbone=resnet18
    round_trip torchvision_resnet50_older timm $ending model.backbone=resnet50
    round_trip timm_se_resnet50 timm $ending model.backbone=se_resnet50 model.se_layout=timm
    round_trip legacy_se_resnet50_older legacy $ending model.backbone=se_resnet50 model.se_layout=legacy
    round_trip legacy_se_resnet50_older reference $ending model.backbone=se_resnet50 model.se_layout=legacy
    round_trip reference_lpn reference $ending model.backbone=resnet18 model.partition=lpn model.pooling=avg model.global_branch=none
    round_trip reference_street reference $ending "${street[@]}"
    round_trip reference_baseline reference $ending model.backbone=resnet18 model.partition=none model.global_branch=none model.share_views=no
    round_trip reference_msba reference $ending model.backbone=resnet18 model.partition=msba model.pooling=avg model.part_attention=yes
    round_trip reference_msba skygem $ending model.backbone=resnet18 model.partition=msba model.pooling=avg model.part_attention=yes
done
fails_with 4 "no such network in layout legacy" "$program" weights export "$work/torchvision_resnet18.safetensors" -o "$work/no.pth" --layout legacy
fails_with 4 "has 2 trunks" "$program" weights export "$work/reference_baseline.safetensors" -o "$work/no.pth" --layout torchvision
fails_with 2 "output is missing" "$program" weights export "$work/reference_baseline.safetensors"
fails_with 1 "skygem weights import" "$program" weights export "$golden/reference_lpn.pth" -o "$work/no.pth"

# What is read is not written over, under whatever name.
cp "$golden/torchvision_resnet18.pth" "$work/own.pth"
ln -s own.pth "$work/link.safetensors"
cp "$work/torchvision_resnet18.safetensors" "$work/own.safetensors"
fails_with 2 'is the file that is read' "$program" weights import "$work/own.pth" -o "$work/link.safetensors" --experiment "$work/tiny.ini" --set model.backbone=resnet18
fails_with 2 'is the file that is read' "$program" weights export "$work/own.safetensors" -o "$work/../$(basename "$work")/own.safetensors"
expect cmp "$golden/torchvision_resnet18.pth" "$work/own.pth"
expect cmp "$work/torchvision_resnet18.safetensors" "$work/own.safetensors"

# ---- training from them ----
start() { run "$program" train "$work/tiny.ini" --no-eval --set train.epochs=1 "$@"; }
start -o "$work/run" --set model.weights="$golden/torchvision_resnet18.pth" --set model.backbone=resnet18
expect_code 0
expect_err "100 tensors taken from $golden/torchvision_resnet18.pth (layout torchvision)"
expect_err "57 tensors keep their initial values: gem.p (absent, model [64]), "\
"classifier0.add_block.0.weight (absent, model [16, 64]), classifier1.add_block.0.weight (absent, model [16, 64]), and 54 more"
start -o "$work/run-two" --set model.weights="$work/torchvision_resnet18.safetensors" --set model.backbone=resnet18 --set model.share_views=no
expect_code 0
expect_err "200 tensors taken from" # one trunk for both views
fails_with 1 "of the trunk's" "$program" train "$work/tiny.ini" -o "$work/run-no" --set model.weights="$golden/torchvision_resnet18.pth"
fails_with 1 "of the legacy kind" "$program" train "$work/tiny.ini" -o "$work/run-no" --set model.backbone=se_resnet50 \
    --set model.weights="$work/legacy_se_resnet50_older.safetensors"
fails_with 1 "tensors of its trunk have no place in the model's; the first: backbone.layer1.0.se.fc1.weight" \
    "$program" train "$work/tiny.ini" -o "$work/run-no" --set model.backbone=resnet50 \
    --set model.weights="$work/legacy_se_resnet50_older.safetensors" # all of resnet50's tensors are there
start -o "$work/run-fewer" --set model.weights="$(ls "$work"/run/checkpoints/*.safetensors)" --set model.backbone=resnet18 --set model.partition=none
expect_code 0
expect_err "weights: 'classifier5.add_block.0.weight' of the file has no place in the model"
fails_with 1 "skygem weights import" "$program" eval "$work/tiny.ini" --weights "$golden/torchvision_resnet18.pth"

# Scores are of the model that the weights are of, or none.
not_of() { fails_with 1 "$1" "$program" eval "$work/run" --quiet --set "$2"; }
not_of "tensor 'classifier1.add_block.0.weight' has no place in the model" model.partition=none
not_of "tensor 'gem.p' has no place in the model" model.pooling=avg
not_of "tensor 'classifier00.add_block.0.weight' has no place in the model" model.global_branch=none

# A checkpoint says which kind of SE network it is; averaged parameters are what is exported.
run "$program" train "$work/tiny.ini" -o "$work/run-se" --no-eval --set train.epochs=1 --set train.ema=0.9 --quiet
expect_code 0
checkpoint=$(ls "$work"/run-se/checkpoints/*.safetensors)
fails_with 1 "tensor 'backbone.layer1.0.se.fc1.weight' has no place in the model" "$program" eval "$work/run-se" --quiet --set model.backbone=resnet18
run "$program" weights export "$checkpoint" -o "$work/run-se.pth"
expect_code 0
expect_err "averaged parameters"
run "$program" weights import "$work/run-se.pth" -o "$work/run-se.safetensors" --experiment "$work/run-se"
expect_code 0
expect_out "missing            none"
run "$program" embed "$world/test/query_drone" -o "$work/features.npy" --weights "$work/run-se.safetensors" --quiet # it is complete, and carries its experiment
expect_code 0
run "$program" weights import "$checkpoint" -o "$work/trunk.safetensors" --experiment "$work/tiny.ini" --set train.ema=0.9
expect_code 0
expect_out "the optimiser's state"
run "$program" weights export "$work/run-se.safetensors" -o "$work/run-se-ours.safetensors" --layout skygem
expect_code 0
fails_with 2 "does not say which" "$program" weights export "$work/run-se-ours.safetensors" -o "$work/no.pth"

world_done
