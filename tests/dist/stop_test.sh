#!/usr/bin/env bash
# A run of several ranks is asked to stop: all finish the same step, rank 0 writes a checkpoint, the exit code is 75, and a resume ends with the bits of a run
# that was not stopped. Under mpirun SIGUSR1 asks; under skygem launch any of them does.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
source "$(dirname "$0")/ranks.sh"

ranked() { # LAUNCHER FOLDER OPTIONS...
    launcher "$1" 2
    local folder=$2
    shift 2
    "${start[@]}" "$program" train "$work/tiny.ini" -o "$work/$folder" --no-eval --set train.batch_size=2 --set train.epochs=200 --set train.checkpoint_every=1000 "$@"
}

run ranked launch whole --quiet
expect_code 0
launchers=(launch:TERM launch:INT launch:USR1)
have_mpi 'stopping under mpirun' && launchers+=(mpirun:USR1)
for pair in "${launchers[@]}"; do
    name=${pair%:*} signal=${pair#*:}
    ranked "$name" "$name-$signal" >/dev/null 2>"$work/.started" </dev/null &
    pid=$!
    wait_for_steps "$name-$signal" 20
    # the launcher itself, not the shell that waits for it
    kill -s "$signal" "$(pgrep -P $pid | head -n 1)" 2>/dev/null || kill -s "$signal" $pid
    wait $pid
    code=$? out='' err=$(cat "$work/.started")
    expect_code 75; expect_err "stopped by a signal after step $(($(lines_of "$name-$signal") - 1)); a checkpoint is written"
    expect [ "$(steps_of "$(newest "$name-$signal")")" -eq "$(lines_of "$name-$signal")" ]
    run ranked "$name" "$name-$signal" --resume --quiet
    expect_code 0
    expect cmp "$(newest whole)" "$(newest "$name-$signal")"
    expect same_losses whole "$name-$signal"
done
world_done
