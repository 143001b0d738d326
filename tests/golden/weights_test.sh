#!/usr/bin/env bash
# Weights at full size, where PyTorch is installed: torchvision's networks (random weights with settled statistics; SE networks by torch_model.py) are imported
# from both .pth formats, and their features compared on real pictures; what we export loads into torchvision's networks and into a three-view model, strictly
# and bit for bit.
source "$(dirname "$0")/../check.sh"
golden=$source_dir/tests/golden

python=
for candidate in python3 /usr/bin/python3; do
    [ -z "$python" ] && "$candidate" -c 'import numpy, torch, PIL' 2>/dev/null && python=$candidate
done
export PYTHONDONTWRITEBYTECODE=1
if [ -z "$python" ]; then
    skip 'weights at full size' 'no python3 here imports torch, numpy and PIL (Debian: python3-torch python3-pil)'
    check_done
    exit
fi
pictures=$(find "$source_dir/../shared/data/drone_places" -name '*.jpg' 2>/dev/null | sort | sed -n '1p;200p;900p')
[ -n "$pictures" ] || pictures="$golden/image/photo.png $golden/image/square.png"

# shellcheck disable=SC2086 # a list of paths without blanks
run "$python" "$golden/make_weights_golden.py" --full "$work" $pictures
expect_code 0
[ "$code" -eq 0 ] || printf '%s\n' "$err"
for file in "$work"/*.pth; do
    run "$program" weights import "$file" -o "${file%.pth}.imported.safetensors" --quiet
    expect_code 0
    expect_out 'missing            none'
    expect_out 'unexpected         none'
done
run "$build/weights_golden_test" "$work"
[ "$code" -eq 0 ] || printf '%s\n' "$out"
expect_code 0
printf '%s\n' "$out" | grep ' off by '

# Back to torch.
[ -e "$work/vgg16.pth" ] || skip 'VGG16' 'torchvision is not installed'
for name in resnet18 resnet34 resnet50 resnet101 vgg16; do
    [ -e "$work/$name.pth" ] || continue
    run "$program" weights export "$work/$name.imported.safetensors" -o "$work/$name.out.pth" --layout torchvision --quiet
    expect_code 0
done
for kind in timm legacy; do
    run "$program" weights export "$work/se_resnet50_$kind.imported.safetensors" -o "$work/se_resnet50_$kind.out.pth" --layout "$kind" --quiet
    expect_code 0
done
run "$program" weights export "$work/resnet50.imported.safetensors" -o "$work/resnet50.views.pth" --quiet
expect_code 0
run "$python" "$golden/load_weights.py" "$work"
expect_code 0
printf '%s\n' "$out"
[ "$code" -eq 0 ] || printf '%s\n' "$err"
check_done
