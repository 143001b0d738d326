#!/usr/bin/env bash
# One rank that goes the ways of several ([debug] exchange): gradients in buckets, statistics over all ranks; where there is a device, through NCCL and within
# the recorded step. The bits are those of a run that goes none of them, whoever starts it. That gradients do travel shows where they travel as bf16: they are
# rounded.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
source "$(dirname "$0")/ranks.sh"

# through NAME OPTIONS...: a run that exchanges with itself.
through() {
    local name=$1
    shift
    run "${start[@]}" "$program" train "$work/tiny.ini" -o "$work/$name" --no-eval --quiet --set debug.exchange=yes "$@"
    expect_code 0
    expect grep -q '1 rank of 4 places, gradients in' "$work/$name/log.txt"
    [ -z "$device" ] || expect grep -q 'buckets.* through NCCL' "$work/$name/log.txt"
}
same() {
    expect same_tensors "$(newest alone)" "$(newest "$1")"
    expect same_losses alone "$1"
}

tiny alone
expect_code 0
expect [ "$(grep -c 'gradients in' "$work/alone/log.txt")" -eq 0 ]
device=$(grep -o 'cuda back end' "$work/alone/log.txt" | head -n 1)
[ -n "$device" ] || skip 'one rank through NCCL' 'no device trains here: buckets and sums are the host'"'"'s'

start=()
through buckets
same buckets
through small --set distributed.bucket_mib=0.01
expect grep -qE 'gradients in [0-9]{2,} buckets' "$work/small/log.txt"
same small
through node-by-node --set device.cuda_graph=no --set distributed.bucket_mib=0.01
same node-by-node
through statistics --set distributed.bn_sync=yes
same statistics
through rounded --set distributed.gradients=bf16
expect grep -q 'buckets as bf16' "$work/rounded/log.txt"
if same_tensors "$(newest alone)" "$(newest rounded)" >/dev/null; then fail 'gradients that travel as bf16 are not rounded'; else pass; fi

launchers=launch
have_mpi 'one rank under mpirun' && launchers='launch mpirun'
for how in $launchers; do
    launcher "$how" 1
    through "$how"
    same "$how"
    run "${start[@]}" "$program" train "$work/tiny.ini" -o "$work/$how-plain" --no-eval --quiet
    expect_code 0
    same "$how-plain"
done
world_done
