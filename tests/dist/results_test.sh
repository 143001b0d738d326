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

# The benchmark: one table, from rank 0; sizes 4 KiB, 16 KiB, 64 KiB.
for name in "${launchers[@]}"; do
    launcher "$name" 2
    run timeout 120 "${start[@]}" "$program" bench allreduce --max-bytes 100000 --runs 3 --json
    expect_code 0
    expect [ "$(grep -o '"bench": "allreduce"' "$work/.out" | wc -l)" -eq 3 ]
    expect_out '2 ranks, f32, 64 KiB'; expect_out '"GB_per_s"'
done
fails_with 2 '--max-bytes 4 is less than --min-bytes 8' "$program" bench allreduce --min-bytes 8 --max-bytes 4
check_done
