#!/usr/bin/env bash
# skygem eval: its JSON, its table, the features it saves (unit rows, labels and paths that belong together), and that skygem score finds the same digits in them.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
tiny run
expect_code 0

# ---- JSON: one object a direction, flip and protocol, all keys in this order, numbers in percent ----
run "$program" eval "$work/run" --json --quiet --save-features "$work/features"
expect_code 0; expect_quiet
scores=$out
number='-?[0-9]+(\.[0-9]+)?(e-?[0-9]+)?'
object='\{"flip": (true|false), "direction": "(drone2satellite|satellite2drone)", "protocol": "(full|no-distractors)", "queries": [0-9]+, "gallery": [0-9]+, "distractors": [0-9]+'
object+=", \"junk\": [0-9]+, \"queries_without_match\": [0-9]+, \"tied_queries\": [0-9]+, "
object+="\"r1\": $number, \"r5\": $number, \"r10\": $number, \"r1pct\": $number, \"ap\": $number, \"condition\": \"plain\", \"detail\": \"\"\}"
expect grep -qxE "\[$object(, $object){7}\]" <<<"$scores"
objects() { sed 's/}, {/}\n{/g; s/^\[//; s/\]$//' <<<"$1"; }
expect [ "$(objects "$scores" | sort -u | wc -l)" -eq 8 ]
for row in 'true, "direction": "drone2satellite", "protocol": "full", "queries": 12, "gallery": 8, "distractors": 2' \
    'false, "direction": "drone2satellite", "protocol": "no-distractors", "queries": 12, "gallery": 6, "distractors": 2' \
    'true, "direction": "satellite2drone", "protocol": "full", "queries": 6, "gallery": 16, "distractors": 4' \
    'false, "direction": "satellite2drone", "protocol": "no-distractors", "queries": 6, "gallery": 12, "distractors": 4'; do
    expect grep -qF "{\"flip\": $row, \"junk\": 0, \"queries_without_match\": 0" <<<"$scores"
done
if command -v python3 >/dev/null; then
    run python3 -c 'import json, sys
for s in json.loads(sys.argv[1]):
    assert 0 <= s["r1"] <= s["r5"] <= s["r10"] <= 100 and 0 < s["ap"] <= 100 and s["r1"] <= s["r1pct"], s' "$scores"
    expect_code 0
else
    skip 'JSON by another reader' 'there is no python3'
fi

# ---- features ----
# floats FILE COLUMNS: the rows of a float32 .npy as text.
floats() { tail -c +$((11 + $(od -An -tu2 -j 8 -N 2 "$1"))) "$1" | od -An -v -tf4 -w$((4 * $2)); }
for set in query_drone:12 gallery_satellite:8 query_satellite:6 gallery_drone:16; do
    name=${set%:*} count=${set#*:}
    for file in "$name.npy" "$name.labels.npy" "$name.paths.txt"; do expect [ -s "$work/features/$file" ]; done
    expect grep -qa "'descr': '<f4', 'fortran_order': False, 'shape': ($count, 112)" "$work/features/$name.npy"
    floats "$work/features/$name.npy" 112 >"$work/rows"
    expect [ "$(wc -l <"$work/rows")" -eq "$count" ]
    expect awk '{ s = 0; for (i = 1; i <= NF; i++) s += $i * $i; if (NF != 112 || !(s > 0.99999 && s < 1.00001)) exit 1 }' "$work/rows"
    expect [ "$(sort -u "$work/rows" | wc -l)" -eq "$count" ]
    # The label is the number of the folder that the path names.
    tail -c +$((11 + $(od -An -tu2 -j 8 -N 2 "$work/features/$name.labels.npy"))) "$work/features/$name.labels.npy" | od -An -v -td8 -w8 | tr -d ' ' >"$work/labels"
    expect cmp "$work/labels" <(sed -E "s|^test/$name/0*([0-9]+)/[^/]+$|\1|" "$work/features/$name.paths.txt")
    expect [ -f "$world/$(head -n 1 "$work/features/$name.paths.txt")" ]
done
if python3 -c 'import numpy' 2>/dev/null; then
    run python3 -c 'import numpy, sys
for name in "query_drone", "gallery_satellite", "query_satellite", "gallery_drone":
    x, y = numpy.load(f"{sys.argv[1]}/{name}.npy"), numpy.load(f"{sys.argv[1]}/{name}.labels.npy")
    assert x.dtype == numpy.float32 and y.dtype == numpy.int64 and x.shape == (len(y), 112)
    assert numpy.abs(numpy.linalg.norm(x.astype(float), axis=1) - 1).max() < 1e-6' "$work/features"
    expect_code 0
else
    skip 'features read by numpy' 'there is no python3 with numpy'
fi
for direction in drone2satellite:query_drone:gallery_satellite satellite2drone:query_satellite:gallery_drone; do
    IFS=: read -r way query gallery <<<"$direction"
    files=()
    for role in query gallery; do files+=(--$role "$work/features/${!role}.npy" --$role-labels "$work/features/${!role}.labels.npy"); done
    run "$program" score "${files[@]}" --json --quiet
    expect_code 0
    expect [ "$(objects "$out" | sed 's/query2gallery/'"$way"'/')" = "$(objects "$scores" | sed -n 's/"flip": true, \("direction": "'"$way"'"\)/\1/p')" ]
done

# ---- options ----
run "$program" eval "$work/run" --quiet
expect_code 0; expect_quiet; expect_out 'direction'; expect_out 'chance'
expect [ "$(wc -l <<<"$out")" -eq 9 ]
run "$program" eval "$work/run" --quiet --json --direction satellite2drone --save-features "$work/one" --set eval.flip=no --set eval.protocol=full
expect_code 0
expect [ "$(objects "$out")" = "$(objects "$scores" | grep '"flip": false, "direction": "satellite2drone", "protocol": "full"')" ]
expect [ "$(cd "$work/one" && echo *.npy)" = 'gallery_drone.labels.npy gallery_drone.npy query_satellite.labels.npy query_satellite.npy' ]
run "$program" eval "$work/tiny.ini" --weights "$(newest run)" --quiet --json
expect_code 0; expect [ "$out" = "$scores" ]
fails_with 2 "there is no 'drone2sattelite'" "$program" eval "$work/run" --direction drone2sattelite
expect_err 'did you mean drone2satellite?'
fails_with 2 'no weights to evaluate' "$program" eval "$work/tiny.ini"
expect_err 'hint: train it first'
fails_with 2 'none.safetensors: there is no such weights file' "$program" eval "$work/run" --weights "$work/none.safetensors"
fails_with 3 "$work/nowhere" "$program" eval "$work/run" --set "data.root=$work/nowhere" --quiet
fails_with 1 "error: $work/tiny.ini: cannot make the folder: Not a directory" "$program" eval "$work/run" --save-features "$work/tiny.ini/below" --quiet
cp -r "$world" "$work/broken"
image=$(find "$work/broken/test/gallery_drone" -type f | sort | head -n 1)
: >"$image"
fails_with 3 "error: $image: is an empty file" "$program" eval "$work/run" --set "data.root=$work/broken" --quiet
world_done
