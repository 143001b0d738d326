#!/usr/bin/env bash
# Calls that write a checkpoint fail, one at a time: open, write (after half of its bytes), fsync of the file and of its folder, rename, unlink, mkdir. Training
# goes on, nothing half written stays, the other checkpoints are whole; when the failing one was the last the run ends with 1, and a resume gives the bits of a
# run that never failed.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
cc=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
if ! "$cc" -shared -fPIC -O1 -o "$work/fail_call.so" "$(dirname "$0")/fail_call.c" -ldl 2>"$work/.err"; then
    skip 'failing calls' "no preloaded library can be built: $(head -n 1 "$work/.err")"
    world_done
    exit
fi

options=(--set train.batch_size=12 --set train.epochs=4 --set train.keep_checkpoints=2) # four checkpoints, of which two stay
tiny whole "${options[@]}"
expect_code 0
last=step-000000004.safetensors
# with CALL AT ERRNO FOLDER: a run whose call fails.
with() {
    run env LD_PRELOAD="$work/fail_call.so" FAIL_CALL="$1" FAIL_AT="$2" FAIL_ERRNO="$3" FAIL_PATH=/checkpoints FAIL_COUNT="$work/count" \
        "$program" train "$work/tiny.ini" -o "$work/$4" --no-eval --quiet "${options[@]}"
    count=$(cat "$work/count" 2>/dev/null || echo 0)
}

for call in open:28 write:28 fsync:5 rename:30 unlink:5 mkdir:13; do
    errno=${call#*:} call=${call%:*}
    with "$call" 0 "$errno" counted
    expect_code 0; expect_quiet
    rm -r "$work/counted"
    expect [ "$count" -gt 0 ] # otherwise this test proves nothing
    total=$count
    # In the first checkpoint, in the second, in the middle of all, in the last one's first and last call.
    for at in $(printf '%d\n' 1 2 $((total / 4 + 2)) $((total / 2)) $((total * 3 / 4 + 1)) "$total" | sort -nu); do
        [ "$at" -le "$total" ] || continue
        rm -rf "$work/failed"
        with "$call" "$at" "$errno" failed
        unnoticed=no
        [ "$call" = open ] && unnoticed=yes                       # one of several that open a file to read it back
        [ "$call" = mkdir ] && [ "$at" -gt 1 ] && unnoticed=yes # the folder is there already
        case $code in
        0) [ $unnoticed = yes ] || expect_err 'warning: training goes on without a checkpoint: ' ;;
        1) expect_err 'error: ' ;;
        *) fail "$call $at of $total: exit code $code: $err" ;;
        esac
        expect [ -z "$(find "$work/failed" -name '*.tmp-*')" ]
        expect same_losses whole failed
        if [ "$code" -eq 0 ]; then
            expect cmp "$work/whole/checkpoints/$last" "$work/failed/checkpoints/$last"
        elif [ -n "$(newest failed)" ]; then
            tiny failed --resume "${options[@]}"
            expect_code 0
            expect cmp "$work/whole/checkpoints/$last" "$work/failed/checkpoints/$last"
        fi
    done
done
world_done
