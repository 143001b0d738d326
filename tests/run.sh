#!/usr/bin/env bash
# The test command: installs what is missing, builds, runs every test this machine can run, the unit tests once more under the address and undefined
# behaviour sanitizers, and ends with one line: N passed, M failed. Exit code 0 when nothing failed. Logs: build/tests.log, build-asan-ubsan/tests.log.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
[ $# -eq 0 ] || { printf 'usage: bash tests/run.sh, without arguments; a part of the tests: tests/README.md\n' >&2; exit 2; }
passed=0 failed=0 skipped=0
started=$SECONDS

say() { printf '\n== %s (%d s)\n' "$1" "$((SECONDS - started))"; }
stop() { printf '%s\n%d passed, %d failed\n' "$1" "$passed" "$((failed + 1))"; exit 1; }

# A locale with a decimal comma, for the tests of numbers; made here because few machines have one.
make_locale() {
    locale -a 2>/dev/null | grep -qi '^de_DE\.utf' && return
    command -v localedef >/dev/null && [ -e /usr/share/i18n/locales/de_DE ] || return
    mkdir -p build/locale && localedef -i de_DE -f UTF-8 build/locale/de_DE.UTF-8 2>/dev/null && export LOCPATH=$PWD/build/locale
}

# build PRESET TARGET: quiet unless it fails.
build() {
    cmake --preset "$1" >"$work/log" 2>&1 || { cat "$work/log"; stop "the $1 build cannot be configured"; }
    sed -n '/skygem [0-9.]*:/,/Configuring done/p' "$work/log" | grep -v 'Configuring done' | sed 's/^-- //'
    cmake --build --preset "$1" --target "$2" >"$work/log" 2>&1 || { tail -n 60 "$work/log"; stop "the $1 build fails"; }
}

# run_tests FOLDER CTEST_ARGUMENTS...: adds up every test's closing line; a test that ends badly without saying so counts as one failure.
run_tests() {
    local folder=$1 log=$1/tests.log p f s number name
    shift
    rm -f "$folder/Testing/Temporary/LastTestsFailed.log"
    ctest --test-dir "$folder" -V -j "$(nproc)" "$@" >"$log" 2>&1
    grep -E '^[0-9]+: (FAILED|SKIPPED) ' "$log" | sed -E 's/^[0-9]+: //' | sort -u
    while read -r p f s; do
        passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    done < <(sed -nE 's/^[0-9]+: ([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$/\1 \2 \3/p' "$log")
    while IFS=: read -r number name; do
        if grep -qE "^$number: [0-9]+ passed, [1-9][0-9]* failed" "$log"; then
            printf '%s failed:\n' "$name"
            grep -E "^$number: " "$log" | grep -A 4 'FAILED ' | head -n 60 # what a failed check says of itself stands below it
            continue
        fi
        failed=$((failed + 1))
        printf 'FAILED %s did not come to its end, or its exit code was wrong; its last lines:\n' "$name"
        grep -E "^$number: " "$log" | tail -n 25
    done < <(cat "$folder/Testing/Temporary/LastTestsFailed.log" 2>/dev/null)
    grep -E '^ *[0-9]+/[0-9]+ Test +#[0-9]+:' "$log" | sed -E 's/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: /  /' | sort
}

work=$(mktemp -d /tmp/skygem-run-XXXXXX)
trap 'rm -rf "$work"' EXIT
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE # slow kernels some environments pin

say 'installing what is missing'
bash third_party/install.sh --tests || stop 'third_party/install.sh fails'
make_locale

say 'building'
build release all
say 'testing'
run_tests build

say 'building with the address and undefined behaviour sanitizers'
build asan-ubsan unit_tests
say 'testing with the sanitizers'
run_tests build-asan-ubsan -L '^(unit|fuzz|host_cuda|host_nccl)$' -E train_ranks_host_test # minutes there, of kernels that the other host tests run too

say "done; $skipped skipped, each with its reason above"
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
