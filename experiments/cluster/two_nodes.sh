#!/usr/bin/env bash
# Two machines without a scheduler: bash experiments/cluster/two_nodes.sh HOST_A HOST_B RANKS_A_MACHINE EXPERIMENT.ini [ARGUMENTS OF skygem train]
# Both need the same skygem and the same data under the same paths, and ssh without a password from the first to the second. The run folder is written by rank 0, on HOST_A.
set -euo pipefail
a=${1:?usage: two_nodes.sh HOST_A HOST_B RANKS_A_MACHINE EXPERIMENT.ini [ARGUMENTS]} b=${2:?the second machine} ranks=${3:?ranks a machine} experiment=${4:?an experiment}
shift 4

# The machines first, alone: what a sum over all ranks takes.
mpirun --host "$a:$ranks,$b:$ranks" -n $((2 * ranks)) --map-by slot --bind-to none skygem bench allreduce --max-bytes 67108864

# With several networks name the fast one: --mca btl_tcp_if_include eth1 (and NCCL_SOCKET_IFNAME=eth1 for GPUs: mpirun -x NCCL_SOCKET_IFNAME).
exec mpirun --host "$a:$ranks,$b:$ranks" -n $((2 * ranks)) --map-by slot --bind-to none skygem train "$experiment" "$@"
