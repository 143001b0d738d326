#!/usr/bin/env bash
# Trains and evaluates every row of a table, a run a seed, and prints the table: the paper's numbers, ours, the difference. Called by table2/run.sh and table3/run.sh.
# A finished run is left as it is, a broken-off one goes on from its newest checkpoint: start it again as often as you like.
#
#   bash experiments/table3/run.sh DATA_ROOT [--runs DIR] [--seeds "1 2 3"] [--rows "ROW ..."] [--ranks N] [--se-weights FILE] [--resnet-weights FILE] [-- TRAIN OPTIONS...]
#
# --ranks N         N devices of this machine, a process each (the batch is per device: see experiments/cluster for what that changes)
# --se-weights, --resnet-weights   ImageNet weights for the rows of either trunk ('skygem weights import' makes them); without any, rows start from random weights
set -euo pipefail
usage() { sed -nE '2,/^set/s/^# ?//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
refuse() { echo "error: $1" >&2; exit "${2:-2}"; }

table=${1:?} data=${2:-}
[ -n "$data" ] || usage
shift 2
[ -d "$data" ] || refuse "$data: is not a folder (the data set, with train/ and test/)" 3
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
runs=runs/$(basename "$(realpath "$table")") seeds=1 rows='' ranks=1 se_weights='' resnet_weights=''
while [ $# -gt 0 ]; do
    [ "$1" != -- ] || { shift; break; }
    [ -n "${2:-}" ] || refuse "$1: needs a value"
    case $1 in
    --runs) runs=$2 ;;
    --seeds) seeds=$2 ;;
    --rows) rows=$2 ;;
    --ranks) ranks=$2 ;;
    --se-weights) se_weights=$(realpath "$2") ;;
    --resnet-weights) resnet_weights=$(realpath "$2") ;;
    *) echo "error: unknown option $1" >&2; usage ;;
    esac
    shift 2
done
[ -n "$rows" ] || rows=$(grep -v '^#' "$table/paper.csv" | tail -n +2 | cut -d, -f1)
skygem=$root/build/skygem
if [ ! -x "$skygem" ]; then
    bash "$root/third_party/install.sh"
    cmake -S "$root" -B "$root/build" -DCMAKE_BUILD_TYPE=Release >&2
    cmake --build "$root/build" -j"$(nproc)" >&2
fi
launch=()
[ "$ranks" = 1 ] || launch=("$skygem" launch -n "$ranks")

# row_options ROW: into `options`, what every seed of the row is trained with.
row_options() {
    local weights=$resnet_weights
    [[ $1 == *se_* || $1 == ours-* ]] && weights=$se_weights
    options=(--set data.root="$data")
    [ -z "$weights" ] || options+=(--set model.weights="$weights")
}

# What is wrong with a late row or seed is said now, not after days.
for seed in $seeds; do
    [[ $seed =~ ^[0-9]+$ ]] || refuse "--seeds: '$seed' is not a whole number"
done
for row in $rows; do
    [ -f "$table/$row.ini" ] || refuse "$table has no $row.ini"
done
for row in $rows; do
    row_options "$row"
    "$skygem" train "$table/$row.ini" "${options[@]}" "$@" --dry-run --quiet >/dev/null
done

for seed in $seeds; do
    for row in $rows; do
        run=$runs/$row/seed-$seed
        row_options "$row"
        options+=(-o "$run" --set experiment.seed="$seed")
        ! compgen -G "$run/checkpoints/step-*.safetensors" >/dev/null || options+=(--resume)
        printf '\n== %s, seed %s -> %s\n' "$row" "$seed" "$run" >&2
        "${launch[@]}" "$skygem" train "$table/$row.ini" "${options[@]}" "$@" >&2
    done
done
echo >&2
"$skygem" table "$table" --runs "$runs"
