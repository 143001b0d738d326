#!/usr/bin/env bash
# N steps are the same as k steps, an end by a signal, and the rest after --resume: the last checkpoint's bytes, every loss and the scores, wherever the run was
# stopped and however often.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
steps_an_epoch=12 epochs=3 inside=0

# stopped FOLDER SIGNAL WANTED_CODE LOW HIGH OPTIONS...: goes on with FOLDER until a step drawn from LOW to HIGH.
stopped() {
    local folder=$1 signal=$2 want=$3 target before
    target=$(between "$4" "$5")
    shift 5
    before=$(newest "$folder")
    start "$folder" ${before:+--resume} "$@"
    wait_for_steps "$folder" "$target"
    stop "$signal"
    expect_code "$want"
    expect [ "$(lines_of "$folder")" -ge "$target" ]
    if [ "$want" -eq 75 ]; then
        expect_err "a checkpoint is written"
        expect_err "hint: go on with: skygem train"
        expect [ "$(steps_of "$(newest "$folder")")" -eq "$(lines_of "$folder")" ] # whole steps, the last one included
        [ $(($(steps_of "$(newest "$folder")") % steps_an_epoch)) -eq 0 ] || inside=$((inside + 1))
    fi
}

# check NAME OPTIONS...
check() {
    local name=$1 total=$((epochs * steps_an_epoch)) last
    shift
    set -- --set train.epochs=$epochs --set data.samples_per_class=4 "$@"
    tiny "$name-whole" "$@"
    expect_code 0
    stopped "$name" TERM 75 2 $((total / 6)) "$@"
    stopped "$name" KILL 137 $((total * 7 / 18)) $((total / 2)) "$@"
    stopped "$name" INT 75 $((total * 13 / 18)) $((total * 15 / 18)) "$@"
    tiny "$name" --resume "$@"
    expect_code 0
    last=step-$(printf %09d $total).safetensors
    expect cmp "$work/$name-whole/checkpoints/$last" "$work/$name/checkpoints/$last"
    expect same_losses "$name-whole" "$name"
    expect [ "$(lines_of "$name")" -eq $total ]
}

check plain --set model.dropout=0
check everything --set model.dropout=0.5 --set train.ema=0.9 --set optimizer.clip_norm=5 --set loss.label_smoothing=0.1 --set schedule.kind=cosine --set schedule.warmup_epochs=1 \
    --set augment.satellite_rotation=180 --set augment.drone_rotation=20 --set augment.erasing=0.5 --set augment.brightness=0.2 --set augment.saturation=0.2
steps_an_epoch=6 epochs=4
check accumulated --set train.accumulate=2 --set model.share_views=no --set model.part_attention=yes --set train.ema=0.5 --set data.workers=3 --set device.winograd=yes
expect [ "$inside" -gt 0 ] # some signal came inside an epoch

# Evaluated after a resume as without one; resuming a trained run only evaluates.
for folder in everything-whole everything; do
    run "$program" train "$work/$folder" --resume --quiet
    expect_code 0
done
expect cmp "$work/everything-whole/eval/step-000000036.json" "$work/everything/eval/step-000000036.json"

# One that is scored too is left as it is, until something that it is scored by changes.
run "$program" train "$work/everything" --resume
expect_code 0
expect_err "$work/everything: trained and scored already"
expect [ -z "$out" ]
sed -i 's/^flip = yes\b/flip = no /' "$work/everything/run.ini"
for end in changed again; do
    run "$program" train "$work/everything" --resume
    expect_code 0
    if [ $end = changed ]; then expect_err "scores written to $work/everything/eval/step-000000036.json"; else expect_err "trained and scored already"; fi
done
expect [ "$(grep -c '"flip": true' "$work/everything/eval/step-000000036.json")" = 0 ]
world_done
