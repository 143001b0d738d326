#!/usr/bin/env bash
# skygem weights as a user meets it: show, import, export; what it says of real files, and of wrong ones.
source "$(dirname "$0")/../check.sh"
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

check_done
