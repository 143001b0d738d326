#!/usr/bin/env bash
# A rank is killed, exits, aborts, stalls, leaves or fails, at start-up, in an all-reduce, at a checkpoint's barrier, in an evaluation's gather, under skygem
# launch and mpirun, among 2 to 4 ranks: every process is gone within 10 s of it (a stall: within the timeout and 10 s), the exit code says why, and the message
# names the rank, the step and the collective.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/ranks.sh"
timeout_s=3 faulty=1

# one NAME LAUNCHER SIZE FAULT WHERE: a run, its results in $work/NAME.{out,code,gone}.
one() {
    local mark="$work/mark-$1" code
    launcher "$2" "$3"
    timeout 100 "${start[@]}" "$build/comm_faults" "$4" "$5" $faulty $timeout_s "$mark" >"$work/$1.out" 2>&1 </dev/null
    code=$?
    for ((i = 0; i < 400; i++)); do
        pgrep -f "$mark" >/dev/null || break
        sleep 0.05
    done
    now >"$work/$1.gone"
    echo "$code" >"$work/$1.code"
}

# The message of whoever waits, and the starter's or the rank's own, by where it was.
declare -A waits=([start-up]='start-up, meeting: rank 1' [all-reduce]='train, step 2, gradients: rank 1'
    [checkpoint]='checkpoint, step 3, saved: rank 1' [evaluation]='evaluation, step 6, features: rank 1')

# judge NAME LAUNCHER FAULT WHERE
judge() {
    local text code limit=10 struck gone wanted=5
    text=$(cat "$work/$1.out") code=$(cat "$work/$1.code") gone=$(cat "$work/$1.gone")
    struck=$(sed -n 's/.*strikes at //p' <<<"$text" | head -n 1)
    [ "$3" = stalls ] && limit=$((limit + timeout_s))
    [ "$3" = fails ] && wanted=3                          # its own reason, which it has told
    [ "$3-$4" = exits-start-up ] && wanted=3              # before it belongs to the ranks, its exit code is its own
    if [ "$code" -eq $wanted ]; then pass; else fail "$1: exit code $code, should be $wanted: ${text:0:1500}"; fi
    if awk -v a="$struck" -v b="$gone" -v l=$limit 'BEGIN { exit !(a != "" && b - a <= l) }'; then pass
    else fail "$1: struck at '$struck', all gone at $gone, more than $limit s"; fi
    case $2-$3-$4 in
    mpirun-*-start-up | mpirun-killed-* | mpirun-exits-* | mpirun-aborts-*) # mpirun ends the others before they can say: the watcher has
        if [[ $3 == fails || $3-$4 == exits-start-up ]]; then pass
        elif grep -qE "rank 1: (process [0-9]+ )?(was killed|has ended|has not come).*" <<<"$text"; then pass; else fail "$1: nobody names rank 1: ${text:0:1500}"; fi
        [ "$4" = all-reduce ] && if grep -q 'rank 1: process .*, in train, step 2, ' <<<"$text"; then pass; else fail "$1: where rank 1 was is not said: ${text:0:1500}"; fi
        ;;
    *) if [[ $text == *"${waits[$4]}"* ]]; then pass; else fail "$1: nobody says '${waits[$4]}': ${text:0:1500}"; fi ;;
    esac
    [ "$3" = fails ] && if [[ $text == *'image.jpg: is not an image'* ]]; then pass; else fail "$1: the reason is not told: ${text:0:1500}"; fi
}

# Four runs at a time: most of them wait.
runs=()
add() {
    while [ "$(jobs -rp | wc -l)" -ge 4 ]; do wait -n; done
    runs+=("$1-$2-$3-$4 $1 $3 $4")
    one "$1-$2-$3-$4" "$@" &
}
# each LAUNCHER FAULT WHERE: at the next size of 2 to 4, or at all of them.
size=2
each() {
    local n
    for n in 2 3 4; do [ "${SKY_FULL:-0}" != 1 ] && [ $n -ne $size ] || add "$1" $n "$2" "$3"; done
    size=$((size % 3 + 2))
}
for fault in killed exits aborts stalls leaves fails; do
    for where in start-up all-reduce checkpoint evaluation; do
        if [ $fault = stalls ]; then each launch $fault $where; else for n in 2 3 4; do add launch $n $fault $where; done; fi
    done
done
if [ ${#mpi_options[@]} -eq 0 ] && have_mpi 'faults under mpirun'; then
    skip "faults under $mpirun" 'it ends ranks in its own way and with exit codes of its own (experiments/cluster)'
elif have_mpi 'faults under mpirun'; then
    for fault in killed exits aborts stalls leaves fails; do
        for where in start-up all-reduce checkpoint evaluation; do
            each mpirun $fault $where
        done
    done
fi
wait
for run in "${runs[@]}"; do
    # shellcheck disable=SC2086 # words
    judge $run
done
check_done
