#!/usr/bin/env bash
# Collectives give the right results in 1 to 4 processes, and the same bits under skygem launch and mpirun, and in every run.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/ranks.sh"

launchers=(launch)
have_mpi 'collectives under mpirun' && launchers+=(mpirun)
for size in 1 2 3 4; do
    sums=()
    for name in "${launchers[@]}" launch; do
        launcher "$name" "$size"
        run timeout 120 "${start[@]}" "$build/comm_results"
        expect_code 0
        for ((rank = 0; rank < size; rank++)); do expect_out "rank $rank of $size: "; done
        while read -r sum; do sums+=("$sum"); done < <(sed -n 's/^rank .*: //p' <<<"$out")
    done
    expect [ "${#sums[@]}" -eq $((size * (${#launchers[@]} + 1))) ]
    expect [ "$(printf '%s\n' "${sums[@]}" | sort -u | wc -l)" -eq 1 ]
done
check_done
