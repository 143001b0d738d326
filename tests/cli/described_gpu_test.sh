#!/usr/bin/env bash
# skygem info --gpu: whole graphs prepared by the CUDA back end for a GPU that is only described, without a device or a driver: every shipped experiment in
# fp16, where convolutions take in batch norm, and the paper's in each precision, for training and evaluation.
source "$(dirname "$0")/../check.sh"

paper=$source_dir/experiments/paper/se_resnet50_gem_256.ini
h200=$source_dir/tests/plans/h200.json a100=$source_dir/tests/plans/a100.json
run "$program" info "$paper" --totals --set data.root=nowhere --gpu "$h200"
if [[ $err == *'built without the CUDA back end'* ]]; then
    expect_code 4; expect_err 'hint: '
    skip 'info --gpu' 'built without CUDA'
    check_done
    exit
fi
expect_code 0; expect_out 'device             NVIDIA H200 with 139.7 GiB'

# Every convolution has one of cuDNN's engines.
planned() {
    expect_code 0; expect_out 'cudnn engine'
    expect [ "$(awk '$2 ~ /CONV/ && !/cudnn engine/' <<<"$out" | wc -l)" -eq 0 ]
}
for precision in fp32 tf32 bf16 fp16; do
    run "$program" info "$paper" --set data.root=nowhere --gpu "$h200" --set train.precision=$precision
    planned
done
for precision in fp32 bf16; do # plan_check has the others: what cuDNN compiles for the fused ones takes ten seconds
    run "$program" info "$paper" --infer --set data.root=nowhere --gpu "$a100" --set eval.precision=$precision
    planned
done
while read -r experiment; do
    run "$program" info "$experiment" --set data.root=nowhere --gpu "$h200" --set train.precision=fp16 --set device.fusion=yes
    planned
done < <(find "$source_dir/experiments" -name '*.ini')

fails_with 1 'cannot open' "$program" info "$paper" --gpu none.json
for text in '{"deviceName": "a"}' '{"totalGlobalMem": 5}' '[]'; do
    echo "$text" >"$work/gpu.json"
    fails_with 1 'does not describe a GPU' "$program" info "$paper" --gpu "$work/gpu.json"
    expect_err 'hint: '
done
echo 'deviceName' >"$work/gpu.json"
fails_with 1 'gpu.json' "$program" info "$paper" --gpu "$work/gpu.json"
echo '{"deviceName": "a", "totalGlobalMem": 5}' >"$work/gpu.json"
fails_with 4 "the device's properties" "$program" info "$paper" --set data.root=nowhere --gpu "$work/gpu.json"
check_done
