#!/usr/bin/env bash
# One command for a machine with a GPU: build, the case table on the device, sanitizers, parity with the CPU, whole runs, the demo, speed beside PyTorch; a table comes last.
# Under eight minutes on 16 cores. Exit code 0 when nothing failed. Usage: bash tests/gpu/run.sh [FOLDER_FOR_LOGS]
#
# Every step has its limit, and all together have SKY_GPU_SECONDS (470): what does not fit is said in the table, which comes in any case.
#
# The machine may have no package registry: Debian packages that are missing there are taken from tests/gpu/packages/ (bash tests/gpu/fetch_packages.sh fills it where apt works).
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
logs=$(realpath -m "${1:-build-gpu/logs}")
build=$PWD/build-gpu deps=$PWD/build-gpu/deps
started=$SECONDS passed=0 failed=0 rows=()
deadline=$((SECONDS + ${SKY_GPU_SECONDS:-470}))
mkdir -p "$logs" "$deps"
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE

say() { printf '\n== %s (%d s)\n' "$1" "$((SECONDS - started))"; }
row() { rows+=("$(printf '%-34s %s' "$1" "$2")"); }
finish() {
    say 'table'
    printf '%s\n' "${rows[@]}" | tee "$logs/table.txt"
    printf '%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ]
    exit
}
stop() { printf '%s\n' "$1"; tail -n 40 "$2"; failed=$((failed + 1)); row "$1" 'FAILED'; finish; }

# limited SECONDS COMMAND...: under its limit, or what is left of the whole; 124 when that is over.
limited() {
    local limit=$1 left=$((deadline - SECONDS))
    shift
    [ "$left" -gt 1 ] || return 124
    timeout "$((limit < left ? limit : left))" "$@"
}

# check NAME SECONDS COMMAND...: a test program or script; its closing line is added up, its failures are shown.
check() {
    local name=$1 limit=$2 log=$logs/${1// /-}.log p f s begin=$SECONDS
    shift 2
    limited "$limit" "$@" >"$log" 2>&1
    local code=$?
    read -r p f s < <(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$/\1 \2 \3/p' "$log" | tail -n 1)
    if [ -z "${p:-}" ]; then p=0 f=1 s=0; fi
    [ "$code" -eq 0 ] || [ "$f" -gt 0 ] || f=1
    passed=$((passed + p)) failed=$((failed + f))
    row "$name" "$p passed, $f failed, $s skipped in $((SECONDS - begin)) s$([ "$code" -eq 124 ] && echo ', stopped at its limit')"
    printf '%s\n' "${rows[-1]}"
    grep -E '^(FAILED|SKIPPED)' "$log" | head -n 12
    [ "$f" -eq 0 ] || tail -n 8 "$log"
}

say 'packages and build'
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || stop 'no GPU answers' /dev/null
for package in tests/gpu/packages/*.deb; do [ -e "$package" ] && dpkg -x "$package" "$deps"; done
library=$(echo "$deps"/usr/lib/*-linux-gnu)
[ -d "$library" ] && export LD_LIBRARY_PATH=$library${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} LIBRARY_PATH=$library \
    CMAKE_PREFIX_PATH=$deps/usr CPATH=$deps/usr/include:$(echo "$deps"/usr/include/*-linux-gnu)
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DSKY_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES="${SKY_GPU_ARCHITECTURES:-native}" >"$logs/configure.log" 2>&1 \
    || stop 'configuring fails' "$logs/configure.log"
sed -n '/skygem [0-9.]*:/,/Configuring done/p' "$logs/configure.log"
limited 300 cmake --build "$build" >"$logs/build.log" 2>&1 || stop 'the build fails' "$logs/build.log"
skygem=$build/skygem
limited 60 "$skygem" doctor | tee "$logs/doctor.txt"

say 'the case table on the device'
check 'cases' 120 "$build/ops_cuda_test"
check 'cases tf32' 60 "$build/ops_cuda_test" -p test --map f32 --tf32
check 'parity' 90 "$build/parity_test"
check 'sums over devices' 60 "$build/device_comm_test"

say 'sanitizers'
if command -v compute-sanitizer >/dev/null; then
    # sanitize TOOL NAME CASE_OPTIONS...: beside each other
    sanitize() {
        local tool=$1 name=$2
        shift 2
        limited 90 compute-sanitizer --tool "$tool" --error-exitcode 9 "$build/ops_cuda_test" -p test "$@" >"$logs/$tool-$name.log" 2>&1 &
        sanitizers+=("$!:$tool-$name")
    }
    sanitizers=()
    for tool in memcheck racecheck; do
        for map in f32 bf16; do sanitize $tool $map --map $map -o BLOCK; done
        sanitize $tool f16 --map f16 -o FEATURES
        sanitize $tool heads --map f32 -o HEADS
    done
    for sanitizer in "${sanitizers[@]}"; do
        name=${sanitizer#*:}
        wait "${sanitizer%%:*}"
        code=$?
        if [ $code -eq 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
        row "$name" "$(grep -E 'ERROR SUMMARY|RACECHECK SUMMARY' "$logs/$name.log" | tail -n 1 | sed 's/=* //')$([ $code -eq 124 ] && echo 'STOPPED at its limit')"
    done
else
    row 'sanitizers' 'compute-sanitizer is not installed'
fi

say 'whole runs on the device'
check 'resume' 120 bash tests/fault/resume_test.sh "$skygem" "$build"
check 'repeat' 120 bash tests/fault/repeat_test.sh "$skygem" "$build"
check 'one rank through NCCL' 90 bash tests/dist/alone_test.sh "$skygem" "$build"

say 'smoothed losses of 300 steps'
world=$build/world
rm -rf "$world"
limited 60 "$skygem" data synth "$world" --places-train 64 --places-test 20 --distractors 10 --views 16 --size 128 --quiet
trajectory() { # PRECISION SEED; timeout itself, not limited: a signal to it reaches the training
    local left=$((deadline - SECONDS))
    [ "$left" -gt 1 ] || return
    timeout "$((left < 45 ? left : 45))" "$skygem" train experiments/demo/demo.ini --set data.root="$world" --set train.epochs=1000 \
        --set train.precision="$1" --set experiment.seed="$2" --set log.every=100000 -o "$build/loss-$1-$2" \
        --no-eval --quiet >"$logs/loss-$1-$2.log" 2>&1 &
    local pid=$!
    while kill -0 $pid 2>/dev/null && { [ ! -f "$build/loss-$1-$2/metrics.jsonl" ] || [ "$(wc -l <"$build/loss-$1-$2/metrics.jsonl")" -lt 300 ]; }; do sleep 0.1; done
    kill -TERM $pid 2>/dev/null
    wait $pid
    [ -s "$build/loss-$1-$2/metrics.jsonl" ] && head -n 300 "$build/loss-$1-$2/metrics.jsonl" | tail -n 50 | sed -E 's/.*"loss": ([0-9.eE+-]+).*/\1/' |
        awk '{s += $1} END {printf "%.3f", s / NR}'
}
rm -rf "$build"/loss-*
seeds=$(for seed in 1 2 3; do trajectory fp32 $seed; echo; done)
low=$(sort -n <<<"$seeds" | head -n 1) high=$(sort -n <<<"$seeds" | tail -n 1)
for precision in tf32 bf16 fp16; do
    loss=$(trajectory $precision 1)
    if awk -v l="$loss" -v a="$low" -v b="$high" 'BEGIN {m = (b - a) + 0.02 * b; exit !(l >= a - m && l <= b + m)}'; then
        passed=$((passed + 1)); verdict='within the seeds'
    else failed=$((failed + 1)); verdict='OUTSIDE'; fi
    row "loss after 300 steps, $precision" "$loss ($verdict: fp32 $low .. $high)"
done

say 'demo'
begin=$SECONDS
rm -rf "$build/demo"
if limited 60 "$skygem" train experiments/demo/demo.ini --set data.root="$world" --set train.epochs=12 -o "$build/demo" >"$logs/demo.log" 2>&1
then passed=$((passed + 1)); else failed=$((failed + 1)); fi
row 'small demo (12 epochs)' "$(grep -E '^drone2satellite  full +yes' "$logs/demo.log" | awk '{print "R@1 " $6}') in $((SECONDS - begin)) s"

say 'speed'
bench() { # PIXELS PLACES PRECISION [KEY=VALUE]
    local line
    line=$(limited 40 "$skygem" bench step --runs 20 --json --set data.image_size="$1" --set train.batch_size="$2" --set train.precision="$3" ${4:+--set "$4"} 2>"$logs/bench.err" |
        python3 -c 'import json,sys; r = json.load(sys.stdin)[0]
print("%7.0f img/s %8.2f ms, conv %.2f other %.2f, floor %.2f" % (r["img_per_s"], r["median_ms"], r["conv_ms"], r["other_ms"], r["floor_ms"]))' 2>/dev/null) \
        || line="failed, or no time left: $(tail -n 1 "$logs/bench.err")"
    row "train $1 px, $2 places, $3${4:+ $4}" "$line"
    printf '%s\n' "${rows[-1]}"
}
for precision in fp32 tf32 bf16 fp16; do for places in 8 32 64; do bench 256 $places $precision; done; done
for places in 8 64; do bench 256 $places fp16 device.fusion=no; bench 256 $places bf16 device.cuda_graph=no; done
bench 256 8 bf16 debug.exchange=yes # what buckets through NCCL cost beside the backward pass
for pixels in 384 512; do for precision in bf16 fp16; do bench $pixels 8 $precision; bench $pixels 32 $precision; done; done
limited 60 "$skygem" bench ops --runs 5 --set train.batch_size=32 --set train.precision=bf16 >"$logs/ops-bf16.txt" 2>&1 && cat "$logs/ops-bf16.txt"
limited 60 "$skygem" bench score --cuda >"$logs/score.txt" 2>&1 && cat "$logs/score.txt"
if python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    for mode in eager compile graph; do
        for places in 8 32 64; do
            line=$(limited 60 python3 experiments/speed/pytorch_step.py train --device cuda --precision bf16 --mode $mode --images $((2 * places)) --seconds 3 2>"$logs/torch.err" |
                python3 -c 'import json,sys; r = json.loads(sys.stdin.readlines()[-1]); print("%7.0f img/s %8.2f ms" % (r["img_per_s"], r["median_ms"]))' 2>/dev/null) ||
                line="failed, or no time left: $(tail -n 1 "$logs/torch.err")"
            row "PyTorch bf16 $mode, $places places" "$line"
            printf '%s\n' "${rows[-1]}"
        done
    done
else
    row 'PyTorch' 'cannot be imported here'
fi
finish
