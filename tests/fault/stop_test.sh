#!/usr/bin/env bash
# Signals at any moment, a second Ctrl-C, two processes on one run folder, evaluations cut off: exit codes, messages, and that a resume makes up for everything.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"

# wait_for TEXT: until the run in the background has said so, or has ended.
wait_for() { while ! grep -q "$1" "$work/.started" && kill -0 "$pid" 2>/dev/null; do sleep 0.02; done; }

# Two processes: the second is told whose folder it is, and the first does not notice.
start first --set train.epochs=1000
wait_for_steps first 2
tiny first --resume --set train.epochs=1000
expect_code 2; expect_err "error: $work/first: is in use by another run (process $pid)"; expect_err 'hint: wait for it to end'
tiny first
expect_code 2; expect_err "process $pid"
expect kill -0 "$pid"
before=$(lines_of first)
wait_for_steps first $((before + 2))
expect [ "$(lines_of first)" -ge $((before + 2)) ]
stop TERM
expect_code 75; expect_err "error: $work/first: stopped by a signal after step $(($(lines_of first) - 1)); a checkpoint is written"

# Twelve random moments, the start and the end of the program among them.
tiny whole --set train.epochs=4 --set train.eval_every=1
expect_code 0
stopped=0
for ((i = 0; i < 12; i++)); do
    start random $([ -n "$(newest random)" ] && echo --resume) --set train.epochs=4 --set train.eval_every=1
    sleep "0.$(printf %03d "$(between 1 300)")"
    stop "$([ $((i % 2)) -eq 0 ] && echo TERM || echo INT)"
    case $code in
    0) [ "$(steps_of "$(newest random)")" -eq 12 ] && break; fail 'ended early' ;;
    75) stopped=$((stopped + 1)); expect [ "$(steps_of "$(newest random)")" -eq "$(lines_of random)" ] ;;
    130 | 143) pass ;; # before the program minds signals
    *) fail "exit code $code: $err" ;;
    esac
done
tiny random $([ -n "$(newest random)" ] && echo --resume) --set train.epochs=4 --set train.eval_every=1
expect_code 0
expect cmp "$(newest whole)" "$(newest random)"
expect same_losses whole random
expect diff -r "$work/whole/eval" "$work/random/eval"
expect cmp "$work/whole/best.safetensors" "$work/random/best.safetensors"
expect [ "$(find "$work/whole/eval" -name 'step-*.json' | wc -l)" -eq 3 ]

# Killed between a checkpoint and the evaluation of its step: that is made up for.
cp -r "$work/whole" "$work/cut"
rm "$work/cut/eval/step-000000009.json" "$(newest cut)"
tiny cut --resume --set train.epochs=4 --set train.eval_every=1
expect_code 0
expect diff -r "$work/whole/eval" "$work/cut/eval"

# A step that takes long: the first Ctrl-C waits for its end, the second does not.
slow=(--set model.width=1 --set data.image_size=384 --set train.batch_size=12 --set device.threads=1)
start slow "${slow[@]}"
wait_for 'from step 0'
sleep 0.3
kill -INT "$pid"
sleep 0.1
expect kill -0 "$pid"
begun=$(date +%s%N)
stop INT
expect_code 130
expect [ $(($(date +%s%N) - begun)) -lt 1000000000 ]
expect [ -z "$(newest slow)" ]

# Stopped while it evaluates: the checkpoint is there, and a resume evaluates.
slow=(--set model.width=0.5 --set data.image_size=256 --set train.epochs=1 --set train.batch_size=12 --set device.threads=1)
"$program" train "$work/tiny.ini" -o "$work/evaluated" "${slow[@]}" >"$work/.out" 2>"$work/.started" &
pid=$!
wait_for 'step-000000001.safetensors'
sleep 0.1
stop TERM
expect_code 75; expect_err "hint: go on with: skygem train $work/evaluated --resume"
expect [ ! -e "$work/evaluated/eval" ]
run "$program" train "$work/evaluated" --resume --quiet
expect_code 0; expect_out 'drone2satellite'
scores=$(cat "$work/evaluated/eval/step-000000001.json")
run "$program" eval "$work/evaluated" --json --quiet
expect_code 0; expect [ "$out" = "$scores" ]

# best.safetensors is what was evaluated, averaged parameters included.
tiny averaged --set train.ema=0.8 --set train.eval_every=1
expect_code 0
run "$program" eval "$work/averaged" --weights "$work/averaged/best.safetensors" --json --quiet
expect_code 0; expect [ "$out" = "$(cat "$work/averaged/eval/step-000000003.json")" ]
world_done
