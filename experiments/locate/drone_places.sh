#!/usr/bin/env bash
# Photos of real flights that the model never saw, located among tiles that it never saw: index the test tiles in each way of storing them, fit the confidence on one half of the places and
# measure it on the other. usage: experiments/locate/drone_places.sh DATA WEIGHTS [OUT]; DATA is the data set of experiments/real, WEIGHTS a checkpoint of a run on it.
set -euo pipefail
data=$(realpath "${1:?usage: $0 DATA WEIGHTS [OUT]}") weights=${2:?usage: $0 DATA WEIGHTS [OUT]} out=${3:-runs/locate}
skygem=${SKYGEM:-build/skygem}
mkdir -p "$out"

# Places: the sites whose frame is metric with a known origin (one has no GPS: its tiles stay without).
awk -F'\t' -v OFS=, '
    FNR == NR { if (match($0, /"site": "[^"]*"/)) site = substr($0, RSTART + 9, RLENGTH - 10)
                if ($0 ~ /"lat0"/) { gsub(/[^0-9.-]/, "", $0); lat = substr($0, 2) }     # "lat0": 41.4 leaves 041.4
                if ($0 ~ /"lon0"/) { gsub(/[^0-9.-]/, "", $0); lon = substr($0, 2) }
                if ($0 ~ /^ }/) { if (lat != "") { lat0[site] = lat; lon0[site] = lon }; lat = lon = "" }
                next }
    $4 ~ /^test\/gallery_satellite\// && $3 in lat0 {
        metres = 6378137 * atan2(0, -1) / 180
        path = $4; sub(/^test\/gallery_satellite\//, "", path)
        printf "%s,%.7f,%.7f,%.4f\n", path, lat0[$3] + $13 / metres, lon0[$3] + $12 / (metres * cos(lat0[$3] * atan2(0, -1) / 180)), $14 / 256 }
' "$data/sites.json" "$data/places.tsv" >"$out/tiles.csv"

# The photos and their tiles, by place: odd numbers to fit, even ones to measure.
for half in fit measure; do echo path,tile >"$out/$half.csv"; done
(cd "$data/test/query_drone" && find . -name '*.jp*' | sort) | while IFS=/ read -r _ id name; do
    half=measure; [ $((10#$id % 2)) -eq 0 ] || half=fit
    echo "$data/test/query_drone/$id/$name,$id/$id.jpg" >>"$out/$half.csv"
done

for store in float32 fp16 int8; do
    "$skygem" index --weights "$weights" -o "$out/$store.index" --geo "$out/tiles.csv" --store $store --quiet "$data/test/gallery_satellite" 2>/dev/null
    printf '\n%s, %s bytes\n' $store "$(stat -c %s "$out/$store.index")"
    for half in fit measure; do "$skygem" locate "$out/$store.index" --truth "$out/$half.csv" --quiet; done
done
printf '\nfitted to one half of the places:\n'
"$skygem" locate "$out/float32.index" --calibrate "$out/fit.csv" --quiet
printf '\nmeasured on the other half:\n'
"$skygem" locate "$out/float32.index" --truth "$out/measure.csv" --quiet
