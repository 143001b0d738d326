#!/usr/bin/env bash
# Ranks that do not find each other, each with a message of its own: one missing, two programs for one rank, two versions, contradicting variables, launchers
# within launchers, MPI missing in the program or not the launcher's. And the launcher: signals, its own death, output, exit codes.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/ranks.sh"
ranks=$build/comm_faults

# Alone, whatever SLURM's batch script has set.
run "$ranks"
expect_code 0; expect_out 'rank 0 of 1 is done'
run env SLURM_PROCID=0 SLURM_NTASKS=4 "$ranks"
expect_code 0; expect_out 'rank 0 of 1 is done'

# Contradictions.
fails_with 2 'SKYGEM_RANK: is set, but SKYGEM_SIZE is not' env SKYGEM_RANK=0 "$ranks"
fails_with 2 'SKYGEM_CHANNEL is not' env SKYGEM_RANK=0 SKYGEM_SIZE=2 "$ranks"
fails_with 2 "descriptor 0 is not the launcher's shared memory" env SKYGEM_RANK=0 SKYGEM_SIZE=2 SKYGEM_CHANNEL=0 "$ranks"
fails_with 2 'rank 2 of 2 cannot be' env OMPI_COMM_WORLD_RANK=2 OMPI_COMM_WORLD_SIZE=2 "$ranks"
fails_with 2 "OMPI_COMM_WORLD_RANK: 'x' is not what a launcher" env OMPI_COMM_WORLD_RANK=x OMPI_COMM_WORLD_SIZE=2 "$ranks"
fails_with 2 'OMPI_COMM_WORLD_SIZE: is set, but OMPI_COMM_WORLD_RANK is not' env OMPI_COMM_WORLD_SIZE=2 "$ranks"
fails_with 2 'rank 3 of 2 on this machine cannot be' env OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=8 OMPI_COMM_WORLD_LOCAL_RANK=3 OMPI_COMM_WORLD_LOCAL_SIZE=2 "$ranks"
run "$program" launch -n 2 env OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=2 "$ranks"
expect_code 2; expect_err 'started by both skygem launch (SKYGEM_SIZE) and mpirun (OpenMPI)'
run "$program" launch -n 2 "$program" launch -n 2 "$ranks"
expect_code 2; expect_err 'is itself started as one of 2 ranks'

# A program without MPI under MPI: every rank would train alone.
fails_with 4 'this is rank 1 of 2 under MPI, but this program is built without MPI: each rank would run alone' \
    env OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 "$build/comm_alone"

# One rank missing, two programs for one rank, two versions.
run "$program" launch -n 2 bash -c '[ $SKYGEM_RANK = 1 ] || exec "$0"' "$ranks"
expect_code 5; expect_err 'start-up, meeting: rank 1 is gone, in start-up'; expect_err 'has ended with exit code 0 before it came'
run "$program" launch -n 2 bash -c '[ $SKYGEM_RANK = 1 ] && exec sleep 100; exec "$0" none - 0 1' "$ranks"
expect_code 5; expect_err 'start-up, meeting: rank 1 has not come within 1 s'
run timeout 60 "$program" launch -n 2 bash -c '"$0" stalls all-reduce -1 5 & sleep 1; exec "$0"' "$ranks"
expect_code 5; expect_err 'rank 0 is process'
run "$program" launch -n 2 bash -c 'exec "$0" none - 0 10 "skygem 9.$SKYGEM_RANK"' "$ranks"
expect_code 5; expect_err "the program's version: rank 1 does not have what rank 0 has"; expect_err "this rank is 'skygem 9.1'"

# The launcher: its command line, what ranks print, exit codes.
fails_with 2 'needs -n N' "$program" launch true
fails_with 2 'needs COMMAND' "$program" launch -n 2
fails_with 2 'there is no such file' "$program" launch -n 2 "$work/there is no such file"
run "$program" launch -n 3 bash -c 'echo "out $SKYGEM_RANK"; echo "err $SKYGEM_RANK" >&2; printf "no end" >&2'
expect_code 0; expect_out 'out 2'; expect_err $'err 0\n'; expect_err '[rank 2] err 2'; expect_err '[rank 1] no end'
expect [ "$(grep -c '^\[rank 0\]' "$work/.err")" -eq 0 ]
run "$program" launch -n 2 bash -c 'exit $((SKYGEM_RANK * 6))'
expect_code 6
run "$program" launch -n 1 "$program" info --help
expect_code 0; expect_out 'Usage: skygem info'
run "$program" launch -n 2 bench score --help
expect_code 0; expect_out 'Usage: skygem bench score'
run "$program" launch -n "$(nproc)" bash -c 'nproc; echo threads $SKYGEM_THREADS'
expect_code 0; expect [ "$(grep -c '^1$' "$work/.out")" -eq "$(nproc)" ]; expect_out 'threads 1'
run "$program" launch --no-bind -n "$(nproc)" nproc
expect_code 0; expect [ "$(grep -c "^$(nproc)\$" "$work/.out")" -eq "$(nproc)" ]

# gone MARK: waits (at most 10 s) until no process has that word in its arguments.
gone() {
    for ((i = 0; i < 200; i++)); do
        pgrep -f "$1" >/dev/null || return 0
        sleep 0.05
    done
    return 1
}
# started MARK COUNT: waits until so many do.
started() {
    for ((i = 0; i < 200; i++)); do
        [ "$(pgrep -fc "$1")" -ge "$2" ] && return 0
        sleep 0.05
    done
    return 1
}

# A signal is passed on; ranks that do not mind it end by it.
"$program" launch -n 2 "$ranks" stalls all-reduce -1 100 "$work/signal" >/dev/null 2>"$work/.err" &
pid=$!
expect started "$work/signal" 3
sleep 0.5
kill -TERM $pid
wait $pid
expect [ $? -eq 143 ]
expect gone "$work/signal"

# The launcher is killed: nothing is left, not even what ranks have started.
("$program" launch -n 2 bash -c '"$0" stalls all-reduce -1 100 "$1" & wait' "$ranks" "$work/killed" >/dev/null 2>&1 & echo $! >"$work/pid")
expect started "$work/killed" 5
kill -KILL "$(cat "$work/pid")"
expect gone "$work/killed"
# A rank ends and leaves a process behind.
run "$program" launch -n 2 bash -c 'sleep 1000 & exec -a "$0" sleep 0.1' "$work/left"
expect_code 0
expect gone "$work/left"

# mpirun: another version, a place that MPI does not confirm, a program without MPI.
if have_mpi 'ranks that do not find each other under mpirun'; then
    run timeout 60 "$mpirun" "${mpi_options[@]}" -n 1 "$ranks" none - 0 10 'skygem 9.0' : -n 1 "$ranks" none - 0 10 'skygem 9.1'
    expect_code 5; expect_err "the program's version: rank 1 does not have what rank 0 has"
    run timeout 60 env SLURM_STEP_NUM_TASKS=2 SLURM_PROCID=1 SLURM_LOCALID=1 SLURM_STEP_TASKS_PER_NODE=2 "$ranks"
    expect_code 2; expect_err 'was started as rank 1 of 2, but MPI says rank 0 of 1'; expect_err 'srun --mpi=pmix'
    run timeout 60 "$mpirun" "${mpi_options[@]}" -n 2 "$build/comm_alone"
    expect_code 4; expect_err 'each rank would run alone'
    run timeout 60 "$mpirun" "${mpi_options[@]}" -n 2 "$program" launch -n 2 "$ranks"
    expect_code 2; expect_err 'is itself started as one of 2 ranks ('
fi
check_done
