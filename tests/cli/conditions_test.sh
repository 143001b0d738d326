#!/usr/bin/env bash
# Scores under other conditions: fewer or averaged frames, shifted queries, re-ranking; the rows in table and JSON, the MATLAB files of a direction; and that the
# plain rows stay what they were.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
cd "$work" || exit 1
tiny run
expect_code 0
run "$program" eval run --json --quiet
plain=$out
keys=(--set eval.multi_query=2 --set eval.single_frame=1 --set eval.height_groups=2 --set eval.frames=2 --set eval.query_shift=8 --set eval.rerank_k1=4 --set eval.rerank_k2=2)
run "$program" eval run --json --quiet --rerank "${keys[@]}" --save-mat mat --save-features features
expect_code 0; expect_quiet
all=$out
objects() { sed 's/}, {/}\n{/g; s/^\[//; s/\]$//' <<<"$1"; }
expect [ "$(objects "$all" | grep -F '"condition": "plain"')" = "$(objects "$plain")" ]
count() { objects "$all" | grep -F "\"direction\": \"$1\"" | grep -cF "\"condition\": \"$2\""; }
for row in drone2satellite:rerank:4 drone2satellite:multi_query:4 drone2satellite:single_frame:4 drone2satellite:height:8 drone2satellite:query_shift:4 \
    satellite2drone:rerank:4 satellite2drone:multi_query:0 satellite2drone:single_frame:0 satellite2drone:height:8 satellite2drone:query_shift:4; do
    IFS=: read -r direction condition rows <<<"$row"
    expect [ "$(count "$direction" "$condition")" -eq "$rows" ]
done
expect grep -qF '"queries": 6, "gallery": 8, "distractors": 2, "junk": 0' <<<"$(objects "$all" | grep -F multi_query)"
expect grep -qF '"detail": "frames 2-2, 122 to 122 m"' <<<"$all"
expect grep -qF '"detail": "8 px, black"' <<<"$all"

# Means of more frames than there are: of those there are, and said.
run "$program" eval run --quiet --set eval.multi_query=54
expect_code 0
expect [ "$(grep -cE 'multi_query = 54: ([0-9]+) of \1 places have fewer drone images \(2 at the least\)' "$work/.err")" -eq 1 ]

# Two frames a place: their mean, and each by itself, are what the whole set gives, split.
ap() { objects "$all" | grep -F '"flip": true, "direction": "drone2satellite", "protocol": "full"' | grep -F "$1" | sed 's/.*"ap": \([^,]*\),.*/\1/'; }
expect awk -v a="$(ap 'frames 1-1')" -v b="$(ap 'frames 2-2')" -v all="$(ap plain)" 'BEGIN { exit !((a + b) / 2 - all < 1e-9 && all - (a + b) / 2 < 1e-9) }'
expect [ "$(ap 'frames 1-1')" = "$(ap single_frame)" ]

# The same digits from the saved features, re-ranked by the other command.
run "$program" score --query features/query_drone.npy --query-labels features/query_drone.labels.npy --gallery features/gallery_satellite.npy \
    --gallery-labels features/gallery_satellite.labels.npy --rerank --k1 4 --k2 2 --json
expect_code 0
expect grep -qF "\"ap\": $(ap rerank), \"condition\": \"rerank\"" <<<"$(objects "$out" | sed -n 3p)"
run "$program" score --query features/query_drone.npy --query-labels features/query_drone.labels.npy --gallery features/gallery_satellite.npy \
    --gallery-labels features/gallery_satellite.labels.npy --rerank --k1 4 --k2 2 --protocol full --threads 3
expect_code 0
expect [ "$(grep -c full <<<"$out")" -eq 2 ]
expect_out 'condition'
fails_with 2 '--k2' "$program" score --query features/query_drone.npy --query-labels features/query_drone.labels.npy --gallery features/gallery_satellite.npy \
    --gallery-labels features/gallery_satellite.labels.npy --rerank --k1 4 --k2 6

# Weather: over the drone's images in both directions, one row a weather and their mean; the same whatever the threads; a key does what the option does.
run "$program" eval run --json --quiet --weather rain --weather dark --set eval.flip=no --set eval.protocol=full
expect_code 0
stormy=$out
expect [ "$(objects "$stormy" | wc -l)" -eq 8 ]
expect [ "$(objects "$stormy" | grep -cF '"condition": "weather", "detail": "mean of 3 with plain"')" -eq 2 ]
run "$program" eval run --json --quiet --set eval.weather=rain,dark --set eval.flip=no --set eval.protocol=full --set data.workers=5
expect [ "$out" = "$stormy" ]
run "$program" launch -n 3 --quiet eval run --json --quiet --weather rain --weather dark --set eval.flip=no --set eval.protocol=full # each rank embeds a share
expect_code 0
expect [ "$out" = "$stormy" ]
run "$program" eval run --json --quiet --weather all --set eval.flip=no --set eval.protocol=full
expect [ "$(objects "$out" | grep -cF '"condition": "weather"')" -eq 20 ]
expect [ "$(objects "$out" | grep -F '"detail": "rain"')" = "$(objects "$stormy" | grep -F '"detail": "rain"')" ]
awk_mean() { objects "$1" | grep -F '"direction": "drone2satellite"' | sed 's/.*"ap": \([^,]*\),.*/\1/'; }
expect awk '{ v[NR] = $1 } END { d = (v[1] + v[2] + v[3]) / 3 - v[4]; exit !(NR == 4 && d < 1e-9 && d > -1e-9) }' <(awk_mean "$stormy")
fails_with 2 'did you mean rain?' "$program" eval run --weather raim

# The table has the conditions' column only when there are some.
run "$program" eval run --quiet "${keys[@]}"
expect_code 0; expect_out 'height frames 1-1, 256 to 256 m'
run "$program" eval run --quiet
expect [ "${out/condition/}" = "$out" ]

# What cannot be: said before anything is embedded.
fails_with 3 'no image has a frame number from 36 to 36' "$program" eval run --set eval.single_frame=36
expect [ "${err/img\/s/}" = "$err" ]
fails_with 2 'eval.query_shift' "$program" eval run --set eval.query_shift=64

# The MATLAB files, by another reader.
for direction in drone2satellite satellite2drone; do expect [ -s "mat/$direction/pytorch_result.mat" ]; done
python=$(for p in python3 /usr/bin/python3; do "$p" -c 'import scipy.io, numpy' 2>/dev/null && echo "$p" && break; done)
if [ -z "$python" ]; then
    skip 'pytorch_result.mat by another reader' 'no python3 here imports scipy (Debian: python3-scipy)'
else
    cat >read_mat.py <<'P'
import numpy, scipy.io
m = scipy.io.loadmat("mat/drone2satellite/pytorch_result.mat")
for side, name in (("query", "query_drone"), ("gallery", "gallery_satellite")):
    assert m[side + "_f"].dtype == numpy.float32 and (m[side + "_f"] == numpy.load("features/%s.npy" % name)).all()
    assert m[side + "_label"].dtype == numpy.int64 and (m[side + "_label"][0] == numpy.load("features/%s.labels.npy" % name)).all()
    assert [p.rstrip() for p in m[side + "_path"]] == open("features/%s.paths.txt" % name).read().split("\n")[:-1]
P
    run "$python" read_mat.py
    expect_code 0
fi
world_done
