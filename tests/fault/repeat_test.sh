#!/usr/bin/env bash
# The same experiment gives the same bytes: run again, with other numbers of loader threads, from a pack; another seed gives others. Scores and features are the same
# digits again and again, whatever the number of arithmetic threads and the batch.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
random=(--set model.dropout=0.5 --set augment.satellite_rotation=180 --set augment.drone_rotation=20 --set augment.erasing=0.5
    --set augment.contrast=0.3 --set data.samples_per_class=2)

tiny first "${random[@]}"
expect_code 0
last=$(newest first)
expect [ "$(steps_of "$last")" -eq 12 ]
tiny again "${random[@]}"
expect_code 0
expect cmp "$last" "$(newest again)" # metadata too
expect same_losses first again
tiny seed "${random[@]}" --set experiment.seed=2
expect_code 0
expect [ "$(tensors "$last" | cksum)" != "$(tensors "$(newest seed)" | cksum)" ]
expect [ "$(losses first | head -n 1)" != "$(losses seed | head -n 1)" ]

for workers in 1 2 5; do
    tiny "workers-$workers" "${random[@]}" --set data.workers=$workers
    expect_code 0
    expect same_tensors "$last" "$(newest "workers-$workers")"
    expect same_losses first "workers-$workers"
done

run "$program" data pack "$world" -o "$work/world.pack" --size 64 --quiet
expect_code 0
tiny packed "${random[@]}" --set "data.pack=$work/world.pack"
expect_code 0
expect same_tensors "$last" "$(newest packed)" # images of 64 pixels are packed as they are
expect same_losses first packed

# same_features A B: every file of the two folders.
same_features() { [ -s "$1/query_drone.npy" ] && diff -r "$1" "$2"; }
run "$program" eval "$work/first" --json --quiet --save-features "$work/features"
expect_code 0; expect_quiet; expect_out '"r1"'
scores=$out
for setting in device.threads=1 device.threads=2 device.threads=3 data.workers=3 eval.batch_size=5 "data.pack=$work/world.pack"; do
    run "$program" eval "$work/first" --json --quiet --save-features "$work/features-again" --set "$setting"
    expect_code 0
    expect [ "$out" = "$scores" ]
    expect same_features "$work/features" "$work/features-again"
done
run "$program" eval "$work/first" --json --quiet --save-features "$work/winograd" --set device.winograd=yes
expect_code 0
run "$program" eval "$work/first" --json --quiet --save-features "$work/winograd-again" --set device.winograd=yes --set device.threads=3 --set eval.batch_size=5
expect_code 0
expect same_features "$work/winograd" "$work/winograd-again"
run "$program" train "$work/first" --resume --quiet # nothing left to train: the scores that training ends with
expect_code 0
expect [ "$(cat "$work/first/eval/step-000000012.json")" = "$scores" ]
world_done
