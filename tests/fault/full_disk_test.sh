#!/usr/bin/env bash
# A disk without room: training goes on and says so, older checkpoints stay whole, and once there is room a resume gives the bits of a run that never met the limit.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
first=step-000000003.safetensors last=step-000000009.safetensors
tiny whole --set train.epochs=3
expect_code 0

# check FOLDER: after a run that found no room for the checkpoints of steps 6 and 9.
check_goes_on() {
    local folder=$1
    expect_code 1
    expect_err "error: $work/$folder/checkpoints/$last"
    expect_err "warning: training goes on without a checkpoint: $work/$folder/checkpoints/step-000000006.safetensors"
    expect [ "$(find "$work/$folder/checkpoints" -type f)" = "$work/$folder/checkpoints/$first" ] # nothing half written is left
    expect cmp "$work/whole/checkpoints/$first.kept" "$work/$folder/checkpoints/$first"
    expect same_losses whole "$folder"
}
check_resumes() {
    tiny "$1" --resume --set train.epochs=3
    expect_code 0; expect_quiet
    expect cmp "$work/whole/checkpoints/$last" "$work/$1/checkpoints/$last"
    expect same_losses whole "$1"
}
cp "$work/whole/checkpoints/$first" "$work/whole/checkpoints/$first.kept"

# A limit on the size of files stands for the disk where this may not be mounted: a write fails in the middle of the checkpoint.
tiny limited --set train.epochs=1
expect_code 0
size=$(stat -c %s "$work/limited/checkpoints/$first")
run bash -c "trap '' XFSZ; ulimit -f $((size / 1024 / 2)); exec \"\$@\"" - "$program" train "$work/tiny.ini" -o "$work/limited" --no-eval --quiet --resume --set train.epochs=3
cp "$work/limited/checkpoints/$first" "$work/whole/checkpoints/$first.kept" # another number of epochs stands in its metadata
expect_err 'File too large'
check_goes_on limited
check_resumes limited

# A line that finds no room is left out whole, and said once: here the limit lies just above run.ini, below the lines of 60 steps.
limit=$(($(stat -c %s "$work/whole/run.ini") / 1024 + 1))
run bash -c "trap '' XFSZ; ulimit -f $limit; exec \"\$@\"" - \
    "$program" train "$work/tiny.ini" -o "$work/lines" --no-eval --quiet --set train.epochs=1 --set data.samples_per_class=20
expect_code 1
expect_err 'warning: training goes on without this line of metrics.jsonl, and others until there is room'
expect [ "$(grep -c 'this line of metrics' "$work/.err")" -eq 1 ]
expect [ "$(lines_of lines)" -gt 10 ]
expect [ "$(lines_of lines)" -lt 60 ]
expect [ "$(grep -c '}$' "$work/lines/metrics.jsonl")" -eq "$(lines_of lines)" ]
expect [ "$(tail -c 2 "$work/lines/metrics.jsonl")" = '}' ] # a whole line and its end

disk=$work/disk
mkdir "$disk"
if mount -t tmpfs -o size=64m skygem-test "$disk" 2>/dev/null; then
    trap 'umount -l "$disk"; chmod -R u+w "$work" 2>/dev/null; rm -rf "$work"' EXIT
    size=$(stat -c %s "$work/whole/checkpoints/$last")
    head -c $((64 * 1024 * 1024 - size * 2)) /dev/zero >"$disk/filler" # room for one checkpoint, not for two
    tiny disk/run --set train.epochs=3
    cp "$disk/run/checkpoints/$first" "$work/whole/checkpoints/$first.kept"
    expect_err 'the disk has'; expect_err 'a checkpoint takes'; expect_err 'hint: make room'
    check_goes_on disk/run
    head -c 64M /dev/zero >>"$disk/filler" 2>/dev/null # no byte left: not for a line, not for the log
    tiny disk/run --resume --set train.epochs=3
    expect_code 1; expect_err 'No space left on device'
    rm "$disk/filler"
    check_resumes disk/run
else
    skip 'full disk' 'this user may not mount a file system'
fi
world_done
