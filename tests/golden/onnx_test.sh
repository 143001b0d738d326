#!/usr/bin/env bash
# weights export --format onnx: small networks of every kind are trained for a moment, exported, and run in onnxruntime (where that is installed) on images that
# skygem embedded. Without it the models are still written, twice, and must be the same bytes; onnx_write_test compares the encoding with the onnx package's
# either way.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
golden=$source_dir/tests/golden
export PYTHONDONTWRITEBYTECODE=1
python=
for candidate in python3 /usr/bin/python3; do
    [ -z "$python" ] && "$candidate" "$golden/run_onnx.py" --check >/dev/null 2>&1 && python=$candidate
done
[ -n "$python" ] || skip 'ONNX models in onnxruntime' 'no python3 here imports onnxruntime, numpy and PIL (pip install onnxruntime pillow)'

# onnx_of NAME VIEW KEY=VALUE...: VIEW's queries go through the exported model.
onnx_of() {
    local name=$1 view=$2 key given=()
    shift 2
    for key in "$@"; do given+=(--set "$key"); done
    run "$program" train "$work/tiny.ini" -o "$work/$name" --no-eval --quiet --set train.epochs=1 --set eval.flip=no "${given[@]}"
    expect_code 0
    local weights
    weights=$(ls "$work/$name"/checkpoints/*.safetensors)
    run "$program" weights export "$weights" -o "$work/$name.onnx" --view "$view"
    expect_code 0
    expect_err "the inference network of"
    run "$program" weights export "$weights" -o "$work/$name-again.onnx" --view "$view" --quiet
    expect cmp "$work/$name.onnx" "$work/$name-again.onnx"
    [ -n "$python" ] || return 0
    run "$program" eval "$work/$name" --save-features "$work/$name-features" --quiet
    expect_code 0
    run "$python" "$golden/run_onnx.py" "$work/$name.onnx" "$work/$name-features/query_$view.npy" "$work/$name-features/query_$view.paths.txt" "$world" 64
    expect_code 0
    if [ "$code" -eq 0 ]; then printf '%s\n' "$out"; else printf '%s\n' "${err: -600}"; fi
}
onnx_of paper drone model.backbone=se_resnet50 model.se_layout=legacy # msba, GeM by channel, up-sampled map, both maxima
onnx_of rings drone model.backbone=se_resnet18 model.partition=lpn model.blocks=2 model.gem_learn=part model.ring_norm=ring
onnx_of whole satellite model.backbone=resnet18 model.partition=none model.pooling=avg model.global_branch=none model.share_views=no train.ema=0.5
onnx_of other drone model.backbone=resnet18 model.partition=none model.pooling=avg model.global_branch=none model.share_views=no
onnx_of list drone model.backbone=resnet50 model.partition=list model.parts=ring2,square1,ring3 model.blocks=3 model.pooling=max model.part_attention=yes \
    model.global_branch=layer4
onnx_of fixed drone model.backbone=resnet34 model.gem_learn=fixed model.part_attention=yes
onnx_of single drone model.backbone=resnet18 model.gem_learn=scalar model.last_stride=2
"$program" help config | grep -q vgg16 && onnx_of vgg drone model.backbone=vgg16 model.global_branch=layer4

given=(--experiment "$work/tiny.ini" --set model.backbone=resnet18)
run "$program" weights import "$golden/weights/torchvision_resnet18.pth" -o "$work/alone.safetensors" "${given[@]}"
expect_code 0
fails_with 2 "needs the experiment" "$program" weights export "$work/alone.safetensors" -o "$work/no.onnx"
fails_with 1 "should be" "$program" weights export "$work/alone.safetensors" -o "$work/no.onnx" --experiment "$work/whole"
world_done
