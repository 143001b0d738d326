#!/usr/bin/env bash
# Good files for one target, and the target on them.
#   seeds.sh FUZZ_SEEDS TARGET RUNS     damaged at random, RUNS times (mutate.c)
#   seeds.sh FUZZ_SEEDS TARGET FOLDER   the seeds alone, copied to FOLDER
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
maker=$1 target=$2 last=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$maker" "$work"
case $(basename "$target" _fuzz) in
image) seeds=("$root"/tests/golden/image/*.jpg "$root"/tests/golden/image/*.png "$root"/tests/golden/image/*.tif "$root"/tests/golden/geotiff/*.tif) ;;
ini) seeds=("$work"/*.ini "$root"/configs/*/*.ini) ;;
json) seeds=("$root"/tests/plans/*.json "$root"/CMakePresets.json) ;;
tensors) seeds=("$root"/tests/golden/weights/*.pth "$root"/tests/golden/weights/*.safetensors) ;;
npy) seeds=("$work"/*.npy) ;;
index) seeds=("$work"/*.index) ;;
table) printf 'path,lat,lon,metres_per_pixel\na.jpg,35.5,139.25,0.5\n"b,c.jpg",-1e1,4,\n' >"$work/geo.csv" && seeds=("$work/geo.csv" "$root"/experiments/table2/paper.csv) ;;
*) echo "seeds.sh: no seeds for $target" >&2 && exit 1 ;;
esac
if [[ $last =~ ^[0-9]+$ ]]; then "$target" "$last" "${seeds[@]}"; else mkdir -p "$last" && cp "${seeds[@]}" "$last"; fi
