#!/usr/bin/env bash
# skygem doctor: says what it found, warns of what slows, gives JSON; and changes nothing.
source "$(dirname "$0")/../check.sh"
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE ONEDNN_MAX_CPU_ISA DNNL_MAX_CPU_ISA

run "$program" doctor
expect_code 0; expect_quiet
for text in 'version' 'processor' 'cores' 'memory' 'libjpeg-turbo' 'libpng' 'libinih' 'oneDNN' 'OpenMP' 'cpu                works' 'ref                works' 'GPU driver'; do
    expect_out "$text"
done

# Each library's file that is named exists.
while read -r file; do expect [ -e "$file" ]; done < <(printf '%s\n' "$out" | sed -n 's|.*loaded .*from \(/.*\)|\1|p')

expect [ "${out/OPENBLAS/}" = "$out" ]

OPENBLAS_CORETYPE=Haswell run "$program" doctor
expect_code 0; expect_out 'OPENBLAS_CORETYPE=Haswell pins'
ONEDNN_MAX_CPU_ISA=SSE41 run "$program" doctor
expect_out 'keeps oneDNN from'

# As many cores as this process may use, not as the machine has.
if command -v taskset >/dev/null; then
    run taskset -c 0 "$program" doctor
    expect_out '1 usable of'
else
    skip 'affinity' 'there is no taskset'
fi

OPENBLAS_CORETYPE=Haswell run "$program" doctor --json
expect_code 0
if command -v python3 >/dev/null; then
    printf '%s' "$out" >"$work/doctor.json"
    run python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); print(r["program"]["version"], r["warnings"][0], r["back ends"]["ref"])' "$work/doctor.json"
    expect_code 0; expect_out 'OPENBLAS_CORETYPE'
else
    skip 'doctor --json' 'there is no python3 to read it'
fi
check_done
