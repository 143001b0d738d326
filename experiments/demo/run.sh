#!/usr/bin/env bash
# The whole way on a machine without GPU or data: installs what is missing, builds, makes a synthetic world, trains, evaluates on places never seen.
#   bash experiments/demo/run.sh [OUTPUT_DIR]        (default: runs/demo; running it again starts over)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
out=${1:-$root/runs/demo}
started=$(date +%s)

bash "$root/third_party/install.sh"
cmake -S "$root" -B "$root/build" -DCMAKE_BUILD_TYPE=Release >"$root/build.log" 2>&1 || { cat "$root/build.log"; exit 1; }
cmake --build "$root/build" -j"$(nproc)" >>"$root/build.log" 2>&1 || { tail -50 "$root/build.log"; exit 1; }
rm -f "$root/build.log"
skygem=$root/build/skygem

rm -rf "$out"
mkdir -p "$out"
"$skygem" data synth "$out/world" --seed 1 --size 128 --places-train 360 --places-test 80 --distractors 40 --views 6
echo
echo "== untrained, for comparison"
"$skygem" train "$root/experiments/demo/demo.ini" -o "$out/untrained" --set data.root="$out/world" --set train.epochs=1 --set schedule.warmup_epochs=0 --set optimizer.lr=1e-9 --quiet
echo
echo "== training"
"$skygem" train "$root/experiments/demo/demo.ini" -o "$out/run" --set data.root="$out/world"
echo
echo "took $(($(date +%s) - started)) s; run folder: $out/run"
cat <<EOF
try next:
  $skygem eval $out/run --json                     the same scores as JSON
  $skygem info experiments/paper/se_resnet50_gem_256.ini    the paper's model
  $skygem train experiments/real/drone_places.ini --set data.root=DIR    real photographs
EOF
