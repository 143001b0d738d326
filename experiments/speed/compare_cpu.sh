#!/usr/bin/env bash
# skygem beside PyTorch on this machine's CPU, the paper's model at 256 px, fp32: rounds of the two in turn, so that a machine whose speed drifts is fair to both. Prints one
# line a run, then the medians and ratios. PyTorch is run in its best setting (channels_last, freed memory kept by malloc). Needs python3-torch (Debian); takes about 8 minutes.
#
#   bash experiments/speed/compare_cpu.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-3}
python=$(for p in /usr/bin/python3 python3; do "$p" -c 'import torch, numpy' 2>/dev/null && echo "$p" && break; done) || { echo "no python3 here imports torch: apt-get install python3-torch" >&2; exit 2; }
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# measure NAME COMMAND...: notes images a second and the peak memory of one run.
measure() {
    local name=$1
    shift
    "$@" >"$work/out" 2>/dev/null
    "$python" - "$name" "$work/out" "$work/rows" <<'PYTHON'
import json, sys
row = json.load(open(sys.argv[2]))
row = row[0] if isinstance(row, list) else row
rate, peak = row["img_per_s"], row["peak_bytes"] / 2**30
print("%-28s %7.2f img/s   %7.1f ms   %5.2f GiB" % (sys.argv[1], rate, row["median_ms"], peak), flush=True)
print(sys.argv[1], rate, peak, sep="\t", file=open(sys.argv[3], "a"))
PYTHON
}
torch() { MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=30000000000 MALLOC_TOP_PAD_=268435456 "$python" experiments/speed/pytorch_step.py "$@"; }

for ((round = 1; round <= rounds; round++)); do
    measure 'train pytorch' torch train --images 16
    measure 'train skygem' build/skygem bench step --json --runs 4
    measure 'train skygem winograd' build/skygem bench step --json --runs 4 --set device.winograd=yes
    measure 'embed pytorch' torch embed --images 16 --seconds 8
    measure 'embed skygem' build/skygem bench step --infer --json --runs 5 --set eval.batch_size=16
    measure 'embed skygem winograd' build/skygem bench step --infer --json --runs 5 --set eval.batch_size=16 --set device.winograd=yes
done
"$python" - "$work/rows" <<'PYTHON'
import statistics, sys
rows = [line.split("\t") for line in open(sys.argv[1])]
print("\n%-28s %13s %8s %17s" % ("median", "img/s", "GiB", "ratio to PyTorch"))
for name in dict.fromkeys(r[0] for r in rows):
    mine = [float(r[1]) for r in rows if r[0] == name]
    peer = [float(r[1]) for r in rows if r[0] == name.split()[0] + " pytorch"]
    ratios = [a / b for a, b in zip(mine, peer)]
    print("%-28s %13.2f %8.2f %8.2f (%.2f..%.2f)" % (name, statistics.median(mine), max(float(r[2]) for r in rows if r[0] == name), statistics.median(ratios), min(ratios), max(ratios)))
PYTHON
