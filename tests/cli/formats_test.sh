#!/usr/bin/env bash
# SUES-200 and DenseUAV through the program, on tiny trees: training, scores by height and by metres, data check, what is said of trees that are not like that.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
cd "$work" || exit 1
objects() { sed 's/}, {/}\n{/g; s/^\[//; s/\]$//' <<<"$1"; }

# ---- SUES-200: one world at 150 m, another at 300 m ----
"$program" data synth high --places-train 12 --places-test 6 --distractors 2 --views 2 --size 64 --seed 3 --quiet >/dev/null 2>&1
mkdir -p sues/Training sues/Testing
cp -r world/train sues/Training/150; cp -r world/test sues/Testing/150
cp -r high/train sues/Training/300; cp -r high/test sues/Testing/300
as_sues=(--set "data.root=$work/sues" --set data.format=sues200)
fails_with 2 'SUES-200 is trained on one flight height' "$program" train tiny.ini --dry-run "${as_sues[@]}"
expect_err 'hint: set data.height'
fails_with 3 'there is no flight height 200' "$program" train tiny.ini --dry-run "${as_sues[@]}" --set data.height=200
expect_err '150, 300'
fails_with 2 'is used only with data.format = sues200' "$program" train tiny.ini --dry-run --set data.height=150
run "$program" data pack world -o world.pack --size 64 --quiet
fails_with 3 'Training/150' "$program" train tiny.ini --dry-run "${as_sues[@]}" --set data.height=150 --set data.pack=world.pack # packs hold train/ and test/
tiny run "${as_sues[@]}" --set data.height=300
expect_code 0
tiny plain --set "data.root=$work/high"
expect_code 0
expect same_tensors "$(newest run)" "$(newest plain)" # the same images in another tree
run "$program" eval run --json --quiet --save-features one
expect_code 0
at300=$out
expect [ "$(objects "$at300" | grep -cF '"height": 300')" -eq 8 ]
expect [ -s one/300/query_drone.npy ]
run "$program" eval plain --json --quiet
expect [ "$(sed 's/, "height": 300//g' <<<"$at300")" = "$out" ]
run "$program" eval run --json --quiet --set data.height=0 --weather rain
expect_code 0
expect [ "$(objects "$out" | grep -F '"condition": "plain"' | grep -F '"height": 300')" = "$(objects "$at300")" ]
expect [ "$(objects "$out" | grep -cF '"height": 150')" -eq 24 ] # plain, rain, their mean
run "$program" eval run --quiet --set data.height=0
expect_code 0; expect_out ' 150 m drone2satellite'; expect_out ' 300 m satellite2drone'
run "$program" data check sues --format sues200
expect_code 0; expect_out 'Training/150/satellite'; expect_out 'Testing/300/gallery_drone'; expect_out 'sound'
rm sues/Testing/300/gallery_satellite/*/*.jpg
run "$program" data check sues --format sues200
expect_code 3; expect_out 'problem Testing/300/gallery_satellite'
mkdir lower && mv sues/Training lower/train && mv sues/Testing lower/test # the other spelling
run "$program" train tiny.ini --dry-run --set "data.root=$work/lower" --set data.format=sues200 --set data.height=150
expect_code 0; expect_out '12 classes, 12 satellite and 24 drone images'
fails_with 3 'no flight height of SUES-200' "$program" data check world --format sues200

# ---- DenseUAV: geo-tags 1e-4 degrees apart ----
cp -r world dense
as_dense=(--set "data.root=$work/dense" --set data.format=denseuav)
tiny metres "${as_dense[@]}"
expect_code 0
fails_with 3 'there are no geo-tags' "$program" eval metres
expect [ "${err/img\/s/}" = "$err" ]
run "$program" data check dense --format denseuav
expect_code 3; expect_out 'there are no geo-tags'
for place in $(ls dense/test/gallery_satellite dense/train/satellite | grep -E '^[0-9]+$'); do
    printf 'any/%s/H80.JPG E8.%04d N50 80.0\n' "$place" "$((10#$place))"
done >dense/Dense_GPS_ALL.txt
run "$program" data check dense --format denseuav
expect_code 0; expect_out 'sound'
run "$program" eval metres --json --quiet
expect_code 0
number='-?[0-9]+(\.[0-9]+)?(e-?[0-9]+)?'
fields=''
for field in sdm1 sdm3 sdm5 sdm10 ma3 ma5 ma10 ma20 ma50 ma100; do fields+=", \"$field\": $number"; done
expect [ "$(objects "$out" | grep -cE "$fields\}")" -eq 4 ]
expect [ "$(objects "$out" | grep -F no-distractors | grep -c sdm1)" -eq 0 ]
# Places 7.2 m apart: within 3 m is the right place alone, within 100 m is every one.
expect [ "$(objects "$out" | grep -F '"flip": true, "direction": "drone2satellite", "protocol": "full"' | sed -E 's/.*"r1": ([^,]*),.*/\1/')" = \
    "$(objects "$out" | grep -F '"flip": true, "direction": "drone2satellite", "protocol": "full"' | sed -E 's/.*"ma3": ([^,]*),.*/\1/')" ]
expect [ "$(objects "$out" | grep -c '"ma100": 100}')" -eq 4 ]
run "$program" eval metres --quiet
expect_code 0; expect_out 'SDM@10'; expect_out 'MA@100m'
sed -i 1d dense/Dense_GPS_ALL.txt
fails_with 3 'has no geo-tag' "$program" eval metres
echo 'any/place E1 N2' >>dense/Dense_GPS_ALL.txt
fails_with 3 'Dense_GPS_ALL.txt:' "$program" eval metres
for tile in dense/train/satellite/*/*.jpg; do mv "$tile" "${tile%.jpg}.tif"; done
if "$program" doctor | grep -q 'libtiff.*loaded'; then
    for tile in dense/train/satellite/*/*.tif; do cp "$source_dir/tests/golden/image/rgb8_tiff_lzw.tif" "$tile"; done
    run "$program" train tiny.ini --dry-run --no-eval "${as_dense[@]}" # the geo-tags are still wrong
    expect_code 0
else
    fails_with 3 'built without libtiff' "$program" train tiny.ini --dry-run "${as_dense[@]}"
fi
world_done
