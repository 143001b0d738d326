#!/usr/bin/env bash
# A run's event files as TensorBoard reads them: every step once, also after a resume from an earlier checkpoint, with the numbers of metrics.jsonl. Skipped
# where TensorBoard is not installed.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
tiny run
expect_code 0
expect test -s "$(ls "$work"/run/events.out.tfevents.* | head -n 1)"
tiny silent --set log.tensorboard=no
expect_code 0
expect test -z "$(ls "$work/silent" | grep tfevents)"
rm "$work/run/checkpoints/step-000000006.safetensors" # go on from step 3: TensorBoard is to forget the steps 3, 4, 5 of the first file
tiny run --resume
expect_code 0

python=$(for p in python3 /usr/bin/python3; do "$p" -c 'import tensorboard.backend.event_processing.event_accumulator' 2>/dev/null && echo "$p" && break; done)
if [ -z "$python" ]; then
    skip "$0" 'no python3 here imports tensorboard (pip install tensorboard)'
    world_done
    exit
fi
run "$python" "$source_dir/tests/golden/read_events.py" "$work/run"
expect_code 0
last=$(tail -n 1 "$work/run/metrics.jsonl" | sed -E 's/.*"loss": ([^,]*),.*/\1/')
expect_out "loss/total 6 0 5 $(printf '%.6g' "$last")"
expect_out 'learning_rate/head 6 0 5'
expect_out 'speed/images_per_second 6 0 5'
run "$program" train "$work/tiny.ini" -o "$work/scored" --quiet
expect_code 0
expect test -s "$work/scored/eval/sheet-000000006.png"
run "$python" "$source_dir/tests/golden/read_events.py" "$work/scored"
expect_code 0
expect_out 'drone2satellite/full/r1 1 6 6'
expect_out 'satellite2drone/no-distractors, no mirror pass/ap 1 6 6'
expect_out 'gem/p histogram 64'
expect_out 'retrievals, then hardest failures picture 870 '
world_done
