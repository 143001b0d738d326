#!/usr/bin/env bash
# Every row of the tables and baselines: two training steps of its own .ini at small size (record_row.sh) from several seeds, compared with what PyTorch made of
# the same records (rows.txt), and where PyTorch is installed replayed in it (replay_rows.py). At one of three seeds rounding may switch a ReLU: then what
# follows is not compared closely. A wrong formula is wrong at every seed.
source "$(dirname "$0")/../check.sh"
golden=$source_dir/tests/golden
experiments=$source_dir/experiments

python=
for candidate in python3 /usr/bin/python3; do
    [ -z "$python" ] && "$candidate" -c 'import numpy, torch' 2>/dev/null && python=$candidate
done
export PYTHONDONTWRITEBYTECODE=1

run bash "$golden/record_row.sh" "$build" "$work/world"
expect_code 0
rows=() records=() wanted=
for file in "$experiments"/{paper,table2,table3,baselines}/*.ini; do
    row=${file#"$experiments"/} row=${row%.ini}
    rows+=("$row")
    mkdir -p "$work/$(dirname "$row")"
    for seed in $(awk -v row="$row" '$1 == row {print $2}' "$golden/rows.txt" | sort -nu); do
        records+=("$work/$row@$seed")
        wanted+="$file $seed $work/$row@$seed"$'\n'
    done
done
xargs -P 2 -n 3 bash "$golden/record_row.sh" "$build" "$work/world" <<<"$wanted" >"$work/.out" 2>"$work/.err"
code=$? err=$(<"$work/.err")
expect_code 0
expect_quiet # every tensor of a start has its place

for row in "${rows[@]}"; do
    seeds=0 switched=
    for record in "$work/$row"@*; do
        [ -d "$record" ] || continue
        seeds=$((seeds + 1))
        run "$build/compare_row" "$record" "$golden/rows.txt" "$row" "${record##*@}"
        if [ "$code" -eq 3 ]; then switched+=" ${record##*@}"; elif [ "$code" -eq 0 ]; then pass; else fail "$row, seed ${record##*@}: $out$err"; fi
    done
    [ "$seeds" -ge 3 ] && pass || fail "$row: $seeds seeds recorded, not three; rows.txt lacks it (make_rows_golden.py) or training failed"
    [ $((3 * $(wc -w <<<"$switched"))) -le "$seeds" ] && pass || fail "$row: too far at seeds$switched of $seeds; the last: $out"
done

# Another seed's numbers do not pass.
run "$build/compare_row" "${records[0]}" "$golden/rows.txt" "${rows[0]}" "${records[1]##*@}"
expect_code 1
expect_out 'start'
expect_out 'FAILED'

# replay FIRST COUNT: so many of the records, into replayed-FIRST; its exit code is 0 when all hold.
replay() { "$python" "$golden/replay_rows.py" "${records[@]:$1:$2}" >"$work/replayed-$1" 2>&1; }

if [ -z "$python" ]; then
    skip 'replay in PyTorch' 'no python3 here imports torch and numpy (Debian: python3-torch)'
else
    half=$((${#records[@]} / 6 * 3)) # three a row
    replay 0 $half &
    replay $half ${#records[@]} && pass || fail 'the second half of the rows is off'
    wait $! && pass || fail 'the first half of the rows is off'
    cat "$work/replayed-0" "$work/replayed-$half"
    [ "$(grep -c ' 0 failed' "$work/replayed-0" "$work/replayed-$half" | grep -c ':1')" -eq 2 ] && pass || fail 'not all rows were replayed'
fi
check_done
