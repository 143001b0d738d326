#!/usr/bin/env bash
# [eval] precision = int8: what takes it and what it changes, what refuses it.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
int8=(--set eval.precision=int8)
fails_with 2 "train.precision" "$program" train "$work/tiny.ini" --dry-run --set train.precision=int8
fails_with 2 'the ref back end has no int8 convolutions' "$program" info "$work/tiny.ini" --infer "${int8[@]}" --set device.backend=ref
expect_err 'hint: set [device] backend = cpu'
run "$program" info "$work/tiny.ini" --infer "${int8[@]}" --gpu "$(dirname "$0")/../plans/h200.json"
expect_code "$([[ $err == *'the cuda back end has no int8 convolutions'* ]] && echo 2 || echo 4)" # 4: built without CUDA
run "$program" doctor
if [[ $out != *'int8'*'works on the CPU'* ]]; then
    skip 'evaluation in int8' 'oneDNN has no fast int8 convolutions for this processor'
    fails_with 2 'no fast int8 convolutions for this processor' "$program" info "$work/tiny.ini" --infer "${int8[@]}" --set device.backend=cpu
    world_done
    exit
fi
int8+=(--set device.backend=cpu)

# ---- what runs is named: int8 behind the first convolution, which sees normalised pixels ----
run "$program" info "$work/tiny.ini" --infer "${int8[@]}"
expect_code 0
expect [ "$(grep -c ' CONV .* int8 ' <<<"$out")" -eq "$(($(grep -c ' CONV ' <<<"$out") - 1))" ]
expect [ "$(grep ' CONV ' <<<"$out" | head -n 1 | grep -c int8)" -eq 0 ]
run "$program" bench step "$work/tiny.ini" --infer -n 1 "${int8[@]}"
expect_code 0; expect_out ' int8'

# ---- training evaluates in it; eval, embed, index, locate and explain take it ----
run "$program" train "$work/tiny.ini" -o "$work/run" --quiet "${int8[@]}"
expect_code 0
weights=$(newest run) tiles=$world/test/gallery_drone
for precision in fp32 int8; do
    run "$program" eval "$work/run" --quiet --json --save-features "$work/$precision" --set eval.precision=$precision --set device.backend=cpu
    expect_code 0; expect_out '"r1": '
done
expect [ "$(cmp "$work/fp32/query_drone.npy" "$work/int8/query_drone.npy" | wc -l)" -eq 1 ]
run "$program" embed --weights "$weights" -o "$work/all.npy" "$world/test/query_drone" --quiet "${int8[@]}"
expect_code 0; expect cmp "$work/all.npy" "$work/int8/query_drone.npy"
run "$program" embed --weights "$weights" -o "$work/one.npy" "$world/test/query_drone" --quiet "${int8[@]}" --set eval.batch_size=3 --set device.threads=1
expect_code 0; expect cmp "$work/all.npy" "$work/one.npy"
run "$program" index --weights "$weights" -o "$work/index" "$tiles" --quiet "${int8[@]}"
expect_code 0
first=$(find "$tiles" -type f | sort | head -n 1)
run "$program" locate "$work/index" "$first" -k 1 --quiet "${int8[@]}"
expect_code 0; expect_out "   1  1.0000"; expect_out "${first#"$tiles"/}"
run "$program" explain "$first" --weights "$weights" -o "$work/made" "${int8[@]}"
expect_code 0; expect_err 'then 6 parts'
world_done
