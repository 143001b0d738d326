#!/usr/bin/env bash
# Ranks under SLURM: a cluster of one node, made here for the test with daemons of its own, where SLURM is installed (apt install slurm-wlm munge; root). srun's
# ranks give the bits of skygem launch, a rank that is killed ends the step, a signal stops all behind a checkpoint, and experiments/cluster/train.sbatch runs
# as it is.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
source "$(dirname "$0")/ranks.sh"
for command in slurmctld slurmd munged srun sbatch; do
    command -v $command >/dev/null || { skip 'ranks under SLURM' "there is no $command (apt install slurm-wlm munge)"; world_done; exit; }
done
[ "$(id -u)" -eq 0 ] || { skip 'ranks under SLURM' 'its daemons need root'; world_done; exit; }
have_mpi 'ranks under SLURM' || { world_done; exit; }

# ---- the cluster ----
cluster=$work/cluster host=$(hostname -s) port=$(between 20000 40000)
mkdir -p "$cluster"/{state,spool,munge}
chmod 700 "$cluster/munge"
export SLURM_CONF=$cluster/slurm.conf
cat >"$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
AuthType=auth/munge
AuthInfo=socket=$cluster/munge/socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool
SlurmctldPidFile=$cluster/slurmctld.pid
SlurmdPidFile=$cluster/slurmd.pid
SlurmctldLogFile=$cluster/slurmctld.log
SlurmdLogFile=$cluster/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
KillWait=3
NodeName=$host NodeAddr=127.0.0.1 CPUs=8 RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
end_cluster() {
    scancel --user=root >/dev/null 2>&1
    for file in "$cluster/slurmd.pid" "$cluster/slurmctld.pid" "$cluster/munge/pid"; do [ -s "$file" ] && kill "$(cat "$file")" 2>/dev/null; done
    for ((i = 0; i < 100; i++)); do pgrep -f "$cluster" >/dev/null || break; sleep 0.1; done
    rm -rf "$work"
}
trap end_cluster EXIT
head -c 1024 /dev/urandom >"$cluster/munge/key"
chmod 600 "$cluster/munge/key"
munged --force --key-file="$cluster/munge/key" --socket="$cluster/munge/socket" --pid-file="$cluster/munge/pid" \
    --log-file="$cluster/munge/log" --seed-file="$cluster/munge/seed" >/dev/null 2>&1
slurmctld >/dev/null 2>&1 && slurmd -f "$SLURM_CONF" >/dev/null 2>&1
for ((i = 0; i < 300; i++)); do sinfo -h -o %T 2>/dev/null | grep -q idle && break; sleep 0.1; done
if ! timeout 60 srun -n 2 true 2>"$work/.err"; then
    skip 'ranks under SLURM' "a cluster of one node does not start here: $(tail -n 1 "$work/.err")"
    world_done
    exit
fi

srun --mpi=list 2>&1 | grep -qw pmix || { skip 'ranks under SLURM' 'this SLURM has no PMIx'; world_done; exit; }

# ---- ranks ----
settings=(--no-eval --set train.batch_size=2 --set train.checkpoint_every=1000 --set train.keep_checkpoints=99)
ranked() { # FOLDER OPTIONS...: four ranks, and what they say
    local folder=$1
    shift
    srun --mpi=pmix --kill-on-bad-exit=1 -n 4 "$program" train "$work/tiny.ini" -o "$work/$folder" "${settings[@]}" "$@"
}
process_of() { # RANK FOLDER: the rank itself, its watcher's child: the last one started
    local found='' id
    for id in $(pgrep -f -- "-o $work/$2 "); do tr '\0' '\n' <"/proc/$id/environ" 2>/dev/null | grep -qx "SLURM_PROCID=$1" && found=$id; done
    echo "$found"
}
begin() { # FOLDER: in the background as $pid
    : >"$work/.started"
    ranked "$1" --set train.epochs=2000 >"$work/.started" 2>&1 </dev/null &
    pid=$!
    wait_for_steps "$1" 10
}
finish() {
    wait "$pid" 2>/dev/null
    code=$? out='' err=$(cat "$work/.started")
}

run "$program" launch -n 4 "$program" train "$work/tiny.ini" -o "$work/launched" "${settings[@]}" --set train.epochs=10
expect_code 0
run ranked srun --set train.epochs=10
expect_code 0
expect cmp "$(newest launched)" "$(newest srun)"
run "$program" eval "$work/launched" --json --quiet
scores=$out
run srun --mpi=pmix -n 3 "$program" eval "$work/srun" --json --quiet
expect_code 0; expect [ "$out" = "$scores" ]

begin killed
kill -KILL "$(process_of 2 killed)"
finish
expect [ "$code" -ne 0 ]
expect_err 'rank 2: process'; expect_err 'was killed by signal 9'; expect_err 'in train, step'
expect [ "$(pgrep -fc -- "-o $work/killed ")" -eq 0 ]

begin stopped
scancel -s TERM "$(squeue -s -h -o %i | head -n 1)"
finish
expect_code 75; expect_err 'stopped by a signal after step'
expect [ "$(steps_of "$(newest stopped)")" -eq "$(lines_of stopped)" ]

mkdir "$work/bin" "$work/submitted"
ln -s "$program" "$work/bin/skygem"
PATH=$work/bin:$PATH
cd "$work/submitted" || exit 1
run timeout 120 sbatch --wait --nodes=1 --ntasks-per-node=4 --cpus-per-task=1 --gpus-per-node=0 --time=5 \
    "$source_dir/experiments/cluster/train.sbatch" "$work/tiny.ini" "$world" "${settings[@]}" --set train.epochs=10
expect_code 0
cp -r runs/* "$work/from-batch"
expect same_tensors "$(newest launched)" "$(newest from-batch)" # the settings in its metadata tell where each came from
world_done
