# The test scripts' few words, as tests/check.h has them for C. Source it; end with check_done. $work is an empty folder that goes away at the end.
# A script is called with the program and the build folder: tests/cli/x_test.sh build/skygem build
set -u
program=$(realpath "${1:?usage: $0 PROGRAM BUILD_FOLDER}")
build=$(realpath "${2:?usage: $0 PROGRAM BUILD_FOLDER}")
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d /tmp/skygem-test-XXXXXX)
trap 'chmod -R u+w "$work" 2>/dev/null; rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0

pass() { passed=$((passed + 1)); }
fail() { failed=$((failed + 1)); printf 'FAILED %s:%s: %s\n' "$0" "${BASH_LINENO[1]}" "$*"; }
skip() { skipped=$((skipped + 1)); printf 'SKIPPED %s: %s\n' "$1" "$2"; }

# run COMMAND...: keeps its exit code in $code, its streams in $out and $err.
run() {
    "$@" >"$work/.out" 2>"$work/.err" </dev/null
    code=$?
    out=$(tr -d '\0' <"$work/.out") err=$(tr -d '\0' <"$work/.err")
}

expect_code() { if [ "$code" -eq "$1" ]; then pass; else fail "exit code $code, should be $1; stderr: ${err:0:600}"; fi; }
expect_out() { if [[ $out == *"$1"* ]]; then pass; else fail "stdout lacks '$1': ${out:0:600}"; fi; }
expect_err() { if [[ $err == *"$1"* ]]; then pass; else fail "stderr lacks '$1': ${err:0:600}"; fi; }
expect_quiet() { if [ -z "$err" ]; then pass; else fail "stderr should be empty: ${err:0:600}"; fi; }
expect() { if "$@" >/dev/null 2>&1; then pass; else fail "should hold: $*"; fi; }

# fails_with CODE TEXT COMMAND...: the error every user may meet: its code, "error: ", the text, and nothing on stdout.
fails_with() {
    local want=$1 text=$2
    shift 2
    run "$@"
    if [ "$code" -eq "$want" ] && [[ $err == *"error: "* ]] && [[ $err == *"$text"* ]] && [ -z "$out" ]; then pass
    else fail "$* gave code $code (should be $want), stdout '${out:0:200}', stderr '${err:0:600}' (should have '$text')"; fi
}

check_done() {
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    [ "$failed" -eq 0 ]
}
