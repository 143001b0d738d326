#!/usr/bin/env bash
# kill -9 at 50 random moments of a run that does little else than write checkpoints: each time --resume goes on from the newest checkpoint that was there, and
# takes none that is half written.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
kills=50 halves=0
one_step_epochs=(--set train.batch_size=12 --set train.epochs=100000 --set train.keep_checkpoints=2 --set data.image_size=32 --set augment.pad=0 --set model.blocks=2
    --set model.partition=lpn --set model.global_branch=none --set model.embedding=64 --set data.workers=1 --set device.threads=1)

for ((kill = 0; kill < kills; kill++)); do
    before=$(newest run)
    start run ${before:+--resume} "${one_step_epochs[@]}"
    while ! grep -q '^checkpoint ' "$work/.started" && kill -0 "$pid" 2>/dev/null; do sleep 0.02; done # it has gone on by one step at least
    sleep "0.$(printf %03d "$(between 0 150)")"
    stop KILL
    expect_code 137
    if [ -n "$before" ]; then expect_err "resumed from $before"; fi
    if [[ $err == *warning* ]]; then fail "something was rejected: $err"; else pass; fi
    if compgen -G "$work/run/checkpoints/*.tmp-*" >/dev/null; then halves=$((halves + 1)); fi
done
expect [ "$halves" -gt 0 ] # some kill came while a file was being written: otherwise this test proves nothing

# What half-written files are left goes away; every step is there once.
start run --resume "${one_step_epochs[@]}"
while [ "$(grep -c '^checkpoint ' "$work/.started")" -lt 3 ] && kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
stop TERM
expect_code 75
expect [ "$(find "$work/run/checkpoints" -type f | wc -l)" -eq 2 ]
expect [ "$(sed -E 's/^\{"step": ([0-9]+),.*/\1/' "$work/run/metrics.jsonl" | sort -nu | wc -l)" -eq "$(lines_of run)" ]
expect [ "$(steps_of "$(newest run)")" -eq "$(lines_of run)" ]
expect [ "$(lines_of run)" -gt "$kills" ]

# Killed before its first checkpoint was whole, a run has nothing to resume: it can be started again in its folder.
mkdir -p "$work/early/checkpoints"
echo half >"$work/early/checkpoints/step-000000001.safetensors.tmp-999999999"
tiny early --resume
expect_code 1; expect_err 'there is no checkpoint here'; expect_err 'hint: start the run anew without --resume'
tiny early
expect_code 0
expect [ "$(steps_of "$(newest early)")" -eq 6 ]
world_done
