#!/usr/bin/env bash
# skygem info and skygem train --dry-run: the paper's model by the published numbers, and every shipped experiment planned, with no convolution on a library's reference code.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"

paper=$source_dir/experiments/paper/se_resnet50_gem_256.ini
run "$program" info "$paper" --totals --set data.root=nowhere
expect_code 0; expect_quiet
expect_out 'model              se_resnet50, 256 px, 16 images a run, 7 heads of 512'
expect_out 'classes            701 (assumed: no data folder to count)'
expect_out 'parameters         36433435 (trunk 26039024, heads 10392363, GeM 2048)'
expect_out '7.9' # G multiply-adds; unit/model_test.c has the digits
for line in 'memory parameters' 'memory activations' 'memory together'; do expect_out "$line"; done
expect_out 'bytes moved        1049.1 MB an image, forward and backward'
run "$program" info "$paper" --totals --set data.root=nowhere --set device.backend=ref --set train.precision=fp16
expect_code 0
expect_out 'bytes moved fused  505.3 MB: of 53 batch norms 33 have their sums from a convolution, 20 are applied on the way into one, 29 start their gradient in one'
fails_with 4 'fusion = auto' "$program" info "$paper" --totals --set data.root=nowhere --set device.backend=cpu --set device.fusion=yes
run "$program" info "$paper" --totals --set "data.root=$world"
expect_code 0; expect_out 'classes            12'

"$program" data synth "$work/ground" --places-train 12 --places-test 6 --distractors 2 --views 2 --street 1 --size 64 --quiet \
    >"$work/.out" 2>&1 || fail 'no world with street images'
found=0
while read -r experiment; do
    found=$((found + 1))
    data=$world images='12 satellite and 24 drone images'
    [[ $experiment == *_4views.ini ]] && data=$work/ground images='12 satellite, 24 drone, 12 street and 12 google images'
    for graph in '' --infer; do
        # shellcheck disable=SC2086 # nothing or an option
        run "$program" info "$experiment" $graph --set "data.root=$data"
        expect_code 0
        expect [ "$(awk '$2 == "CONV"' <<<"$out" | wc -l)" -gt 12 ]
        expect [ -z "$(awk '$2 == "CONV" && $NF ~ /^(ref|simple)/' <<<"$out")" ]
    done
    run "$program" train "$experiment" --dry-run --set "data.root=$data" --set train.batch_size=4 -o "$work/dry"
    expect_code 0; expect_out "data               $data: 12 classes, $images"; expect_out 'dry run: everything fits together; nothing was trained'
    expect [ ! -e "$work/dry" ]
done < <(find "$source_dir/experiments" -name '*.ini')
expect [ "$found" -ge 3 ]

fails_with 3 "$work/nowhere" "$program" train "$paper" --dry-run --set "data.root=$work/nowhere"
fails_with 2 'there is no such weights file' "$program" train "$work/tiny.ini" --dry-run --set "model.weights=$work/none.safetensors"
fails_with 3 'places' "$program" train "$work/tiny.ini" --dry-run --set train.batch_size=13
expect_err 'hint: '
fails_with 2 'this folder has no run.ini' "$program" info "$world"
run "$program" info "$work/tiny.ini" --set device.backend=ref --totals
expect_code 0
run "$program" train "$work/tiny.ini" --dry-run --set device.backend=cuda
if [ "$code" -eq 0 ]; then skip 'a device that is not there' 'this machine has a GPU'
else expect_code 4; expect_err 'error: device.backend: '; expect_err 'hint: '
fi
tiny run
run "$program" train "$work/tiny.ini" --dry-run --set "model.weights=$(newest run)"
expect_code 0; expect_err 'weights: 189 tensors taken from '
fails_with 1 'tensors fit; the first that does not: backbone.conv1.weight' "$program" train "$work/tiny.ini" --dry-run --set "model.weights=$(newest run)" --set model.width=0.25
# Winograd is used, or it is said that it is not.
run "$program" info "$work/tiny.ini" --set device.winograd=yes
case $out in
*'winograd 4x4'*) if [[ $out != *'note: device.winograd'* ]]; then pass; else fail 'Winograd is used and said to be missing'; fi ;;
*) expect_out 'note: device.winograd = yes, but this program has no Winograd code' ;;
esac
world_done
