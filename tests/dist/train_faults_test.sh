#!/usr/bin/env bash
# The real training by several ranks, in trouble: a rank is killed or stalls, one rank meets a broken image, the disk is full, signals come to one or to all;
# under skygem launch and mpirun. All processes are gone in time, the exit code and the message say why, the last checkpoint loads, and a resume gives the bits
# of a run that nothing happened to.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
source "$(dirname "$0")/ranks.sh"
timeout_s=3
settings=(--set train.batch_size=2 --set train.epochs=60 --set train.checkpoint_every=2 --set distributed.timeout_s=$timeout_s --set train.keep_checkpoints=99)

# train LAUNCHER SIZE FOLDER OPTIONS...: in the background as $pid; all that it says goes to $work/.started.
train() {
    local folder=$3
    launcher "$1" "$2"
    shift 3
    : >"$work/.started"
    "${start[@]}" "$program" train "$work/tiny.ini" -o "$work/$folder" --no-eval "${settings[@]}" "$@" >"$work/.started" 2>&1 </dev/null &
    pid=$!
}

# process_of RANK FOLDER: the process that is this rank (under mpirun the watcher's child: the last one started).
process_of() {
    local found='' id
    for id in $(pgrep -f -- "-o $work/$2 "); do
        tr '\0' '\n' <"/proc/$id/environ" 2>/dev/null | grep -qxE "(SKYGEM_|OMPI_COMM_WORLD_|PMI_)RANK=$1" && found=$id
    done
    echo "$found"
}

# gone FOLDER SECONDS: until no process of the run is left.
gone() {
    for ((i = 0; i < $2 * 20; i++)); do
        pgrep -f -- "-o $work/$1 " >/dev/null || return 0
        sleep 0.05
    done
    pkill -KILL -f -- "-o $work/$1 "
    return 1
}

finish() {
    wait "$pid" 2>/dev/null
    code=$? out='' err=$(cat "$work/.started")
}

# strike LAUNCHER SIGNAL SECONDS [SIZE]: rank 1 of two (or so many) gets the signal in the middle of a run; all are gone within so many seconds.
strike() {
    local folder=$1-$2${4:+-$4} begun
    train "$1" "${4:-2}" "$folder"
    wait_for_steps "$folder" "$(between 7 40)"
    kill -s "$2" "$(process_of 1 "$folder")"
    begun=$(now)
    expect gone "$folder" "$3"
    finish
    printf '%s %s: all gone after %s s\n' "$1" "$2" "$(awk -v a="$begun" -v b="$(now)" 'BEGIN { print b - a }')"
    expect_code 5
    expect grep -qE 'rank 1(:| is gone| has kept).*(train|checkpoint), step [0-9]+' "$work/.started" # which rank, and what it was doing
    [ "$1-$2" = mpirun-KILL ] || # there mpirun ends rank 0 before it can say where it waited
        expect grep -qE 'error: (train|checkpoint), step [0-9]+, (the next batch|gradients 1 of 1|losses|writing a checkpoint): rank 1' "$work/.started"
    expect [ -n "$(newest "$folder")" ]
    run "$program" eval "$work/$folder" --json --quiet
    expect_code 0; expect_out '"r1"'
}

# resumed LAUNCHER FOLDER: goes on to the end, to the bits of the undisturbed run.
resumed() {
    train "$1" 2 "$2" --resume
    finish
    expect_code 0
    expect cmp "$(newest whole)" "$(newest "$2")"
    expect same_losses whole "$2"
}

train launch 2 whole
finish
expect_code 0
expect [ "$(lines_of whole)" -eq 180 ]
expect [ "$(find "$work/whole" -name 'log.txt' | wc -l)" -eq 1 ]
launchers=launch
have_mpi 'training under mpirun' && launchers='launch mpirun'
for how in $launchers; do
    strike "$how" KILL 10
    resumed "$how" "$how-KILL"
    strike "$how" STOP $((timeout_s + 10))
    for size in 3 4; do
        [ "${SKY_FULL:-0}" = 1 ] || continue
        strike "$how" KILL 10 $size
        strike "$how" STOP $((timeout_s + 10)) $size
    done

    # A signal to one rank is a signal to all: they stop behind the same step, with a checkpoint.
    train "$how" 2 "$how-term"
    wait_for_steps "$how-term" 5
    kill -TERM "$(process_of 1 "$how-term")"
    expect gone "$how-term" 10
    finish
    expect_code 75; expect_err 'stopped by a signal after step'
    expect [ "$(steps_of "$(newest "$how-term")")" -eq "$(lines_of "$how-term")" ]
    resumed "$how" "$how-term"
done

# And one to the launcher.
train launch 4 all --set train.batch_size=3
wait_for_steps all 3
kill -TERM "$pid"
expect gone all 10
finish
expect_code 75; expect [ "$(steps_of "$(newest all)")" -eq "$(lines_of all)" ]

# A broken image in the batch of one rank: the run ends as one of one rank does, with a checkpoint of the last whole step, and all say which image it was.
cp -r "$world" "$work/broken"
image=$(find "$work/broken/train/satellite" -type f | sort | sed -n 5p)
head -c 300 "$image" >"$image.part" && mv "$image.part" "$image"
train launch 2 bad --set "data.root=$work/broken"
expect gone bad 20
finish
expect_code 3; expect_err "error: $image"; expect_err 'rank '
expect [ "$(lines_of bad)" -lt 3 ] # each place comes once in three steps
expect [ "$(steps_of "$(newest bad || echo step-0.safetensors)")" -eq "$(lines_of bad)" ]
train launch 2 skipped --set "data.root=$work/broken" --set data.on_bad_image=skip --set train.epochs=2
finish
expect_code 3; expect_err 'no image of this place in this view can be read' # it had one only

# A file-size limit stands for a full disk: all go on without a checkpoint, and the last one's failure ends all.
tiny limited --set train.epochs=1
size=$(stat -c %s "$(newest limited)")
rm -r "$work/limited"
run "$program" launch -n 2 bash -c "trap '' XFSZ; ulimit -f $((size / 1024 / 2)); exec \"\$@\"" - \
    "$program" train "$work/tiny.ini" -o "$work/limited" --no-eval "${settings[@]}" --set train.epochs=3
expect_code 1
expect_err 'training goes on without a checkpoint'; expect_err 'File too large'
expect [ "$(lines_of limited)" -eq 9 ]
expect [ -z "$(newest limited)" ]

# A run folder in use, an experiment that is not the run's, too few places: told by rank 0, and nobody waits.
train launch 2 used
wait_for_steps used 2
launcher launch 2
run "${start[@]}" "$program" train "$work/tiny.ini" -o "$work/used" --no-eval "${settings[@]}"
expect_code 2; expect_err "is in use by another run"
kill -TERM "$pid"
finish
run "${start[@]}" "$program" train "$work/tiny.ini" -o "$work/used" --no-eval "${settings[@]}" --resume --set optimizer.lr=0.5
expect_code 2; expect_err 'was made with other settings'
run "${start[@]}" "$program" train "$work/tiny.ini" -o "$work/used" --no-eval "${settings[@]}" --resume --set distributed.bn_sync=yes --set distributed.gradients=bf16
expect_code 0; expect_err '[distributed] the run had bn_sync = no, gradients = fp32, now it is bn_sync = yes, gradients = bf16: it goes on with that, and not to the same bits'
run "${start[@]}" "$program" train "$work/tiny.ini" -o "$work/few" --no-eval --set train.batch_size=7
expect_code 3; expect_err 'an epoch holds 12 places, fewer than the 14 of one step (2 ranks with 7 each)'

# Sharded evaluation: the digits and the features of one rank, also with more ranks than images in a set.
run "$program" eval "$work/whole" --json --quiet --save-features "$work/features"
expect_code 0
scores=$out
for how in $launchers; do
    for size in 2 3 8; do
        launcher "$how" $size
        rm -rf "$work/shared"
        run "${start[@]}" "$program" eval "$work/whole" --json --quiet --save-features "$work/shared"
        expect_code 0; expect [ "$out" = "$scores" ]
        expect diff -r "$work/features" "$work/shared"
    done
done
world_done
