#!/usr/bin/env bash
# Fuzzes the readers of everything that comes from outside, under the address and undefined behaviour sanitizers, guided by coverage (clang's libFuzzer:
# Debian's clang and libclang-rt-14-dev).
#   bash tests/fuzz/run.sh [SECONDS_A_TARGET] [TARGET...]
# What is found lies in build-fuzz/found; the corpus in build-fuzz/corpus is used again the next time.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
seconds=${1:-60}
[ $# -eq 0 ] || shift
build=build-fuzz passed=0 failed=0
# Warnings: of loops that this much instrumentation keeps from being vectorised.
CC=clang cmake -S . -B $build -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG='-O1 -g -fsanitize=fuzzer-no-link' \
    -DSKY_SANITIZE=address,undefined -DSKY_CUDA=OFF -DSKY_MPI=OFF -DSKY_FUZZ=ON -DSKY_WERROR=OFF >/dev/null || exit 1
targets=("$@")
[ $# -gt 0 ] || for source in tests/fuzz/*_fuzz.c; do targets+=("$(basename "$source" _fuzz.c)"); done
cmake --build $build --target fuzz_seeds "${targets[@]/%/_fuzz}" | tail -n 1 || exit 1
mkdir -p $build/found
for target in "${targets[@]}"; do
    program=$build/${target}_fuzz corpus=$build/corpus/$target
    [ -x "$program" ] || { echo "there is no target $target" >&2 && exit 2; }
    mkdir -p "$corpus"
    bash tests/fuzz/seeds.sh $build/fuzz_seeds "$program" "$corpus/seeds" || exit 1
    if "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -artifact_prefix=$build/found/"$target"- \
        -print_final_stats=1 "$corpus" "$corpus/seeds" >$build/found/"$target".log 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        grep -E 'ERROR|SUMMARY|Test unit written' $build/found/"$target".log
    fi
    printf '%-10s %s\n' "$target" "$(grep -E 'number_of_executed_units|new_units_added' $build/found/"$target".log | tr '\n' ' ')"
done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
