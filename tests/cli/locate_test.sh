#!/usr/bin/env bash
# skygem locate: its lines and JSON, every way in (files, folders, lists, streams of paths and of JPEG, a watched folder), bad pictures in each, tracking, calibration, and ranks.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
source "$(dirname "$0")/../dist/ranks.sh"
tiny run
expect_code 0
weights=$(newest run)
tiles=$world/test/gallery_drone
(cd "$tiles" && i=0 && for tile in */*; do printf '%s,47.%04d,8.5\n' "$tile" $((i * 9)); i=$((i + 1)); done) >"$work/tiles.csv" # a row, 100 m apart
run "$program" index --weights "$weights" -o "$work/index" "$tiles" --geo "$work/tiles.csv" --quiet
expect_code 0
first=$(cd "$tiles" && echo */* | cut -d' ' -f1) second=$(cd "$tiles" && echo */* | cut -d' ' -f2)
locate() { run "$program" locate "$work/index" "$@"; }
# without what a clock measured
plain() { sed -E 's/, "ms": \{[^}]*\}//; s/; [0-9.]+ ms decode.*//' <<<"$1"; }

# ---- a tile finds itself; lines for people ----
locate "$tiles/$first"
expect_code 0; expect_out "$tiles/$first: margin 0."; expect_out 'uncalibrated'; expect_out "   1  1.0000  47.000000, 8.500000  $first"
expect [ "$(wc -l <<<"$out")" -eq 6 ]
expect_err 'has no calibration'
locate "$tiles/$first" "$tiles/$second" -k 2 --quiet
expect_code 0; expect_quiet; expect [ "$(wc -l <<<"$out")" -eq 6 ]
expect [ "$(grep -c '^   1  1.0000' <<<"$out")" -eq 2 ]

# ---- JSON: one object a picture ----
locate "$tiles/$first" --json --quiet -k 3
expect_code 0
json=$out
number='-?[0-9]+(\.[0-9]+)?(e-?[0-9]+)?'
tile='\{"path": "[^"]*", "lat": '$number', "lon": '$number', "metres_per_pixel": null, "similarity": '$number', "distance": '$number'\}'
times="\{\"decode\": $number, \"network\": $number, \"search\": $number\}"
answer="\{\"image\": \"$tiles/$first\", \"tiles\": \[$tile(, $tile){2}\], \"margin\": $number, \"confidence\": null, \"calibrated\": false, \"ms\": $times\}"
expect grep -qxE "$answer" <<<"$json"

# ---- every way in gives the same answers ----
printf '%s\n' "$tiles/$first" "$tiles/$second" >"$work/list"
locate "$tiles/$first" "$tiles/$second" --json --quiet
two=$(plain "$out")
locate --list "$work/list" --json --quiet
expect_code 0; expect [ "$(plain "$out")" = "$two" ]
printf '\r\n%s\r\n\n%s' "$tiles/$first" "$tiles/$second" >"$work/crlf"
run bash -c "'$program' locate '$work/index' - --json --quiet <'$work/crlf'"
expect_code 0; expect [ "$(plain "$out")" = "$two" ]
printf '\xef\xbb\xbf%s\r\n%s\r\n' "$tiles/$first" "$tiles/$second" >"$work/bom"
locate --list "$work/bom" --json --quiet
expect_code 0; expect [ "$(plain "$out")" = "$two" ]
run bash -c "cat '$tiles/$first' '$tiles/$second' | '$program' locate '$work/index' - --json --quiet"
expect_code 0; expect [ "$(plain "$out" | sed 's|stdin#[12]|X|')" = "$(sed -E 's|"image": "[^"]*"|"image": "X"|' <<<"$two")" ]
locate "$(dirname "$tiles/$first")" --json --quiet
expect_code 0; expect [ "$(plain "$out" | head -n 1)" = "$(head -n 1 <<<"$two")" ]
run bash -c "cat '$work/list' '$work/list' | '$program' locate '$work/index' - --json --quiet --count 3"
expect_code 0; expect [ "$(wc -l <<<"$out")" -eq 3 ]
run bash -c "'$program' locate '$work/index' - --json --quiet </dev/null"
expect_code 0; expect [ -z "$out" ]
# a stream is answered while it goes on
mkfifo "$work/in" "$work/result"
"$program" locate "$work/index" - --json --quiet <"$work/in" >"$work/result" 2>/dev/null & pid=$!
exec 7>"$work/in" 8<"$work/result"
echo "$tiles/$first" >&7
read -r -t 60 -u 8 line; expect [ "$(plain "$line")" = "$(head -n 1 <<<"$two")" ]
echo "$tiles/$second" >&7
read -r -t 60 -u 8 line; expect [ "$(plain "$line")" = "$(tail -n 1 <<<"$two")" ]
exec 7>&- 8<&-
wait "$pid"; code=$?; expect_code 0

# ---- bad pictures: the end of files named by hand, left out of streams ----
head -c 400 "$tiles/$first" >"$work/cut.jpg"
run "$program" locate "$work/index" "$work/cut.jpg" "$tiles/$first" --quiet
expect_code 3; expect_err "error: $work/cut.jpg"; expect [ -z "$out" ]
locate "$work/cut.jpg" "$tiles/$first" "$work/none.jpg" "$tiles/$second" --json --on-bad-image skip --quiet
expect_code 3; expect_err "warning: left out: $work/cut.jpg"; expect_err "warning: left out: $work/none.jpg"; expect_err '2 of 4 were left out'
expect_out "{\"image\": \"$work/cut.jpg\", \"error\": "
expect [ "$(plain "$(grep -v '"error"' <<<"$out")")" = "$two" ]
head -c 1000 "$tiles/$first" >"$work/cut2.jpg" # within the coded data: the next picture is found again
run bash -c "(cat '$tiles/$first' '$work/cut2.jpg' '$tiles/$second') | '$program' locate '$work/index' - --json --quiet"
expect_code 3; expect_err 'warning: left out: stdin#2'; expect_err '1 of 3 were left out'
(echo "$work/cut.jpg"; cat "$work/list") >"$work/mixed"
locate --list "$work/mixed" --json --quiet --on-bad-image fail
expect_code 3; expect [ -z "$out" ]

# ---- a watched folder: what is written or moved there, nothing else, until it is told to stop ----
mkdir "$work/watched"
"$program" locate "$work/index" --watch "$work/watched" --json >"$work/seen" 2>"$work/watch.err" & pid=$!
for _ in $(seq 1200); do grep -q watching "$work/watch.err" && break; sleep 0.05; done
echo text >"$work/watched/notes.txt"
cp "$tiles/$first" "$work/watched/1.jpg"
cp "$work/cut.jpg" "$work/watched/2.jpg"
printf 'BM and no more' >"$work/watched/4.bmp"
cp "$tiles/$second" "$work/watched/.3.part" && mv "$work/watched/.3.part" "$work/watched/3.jpg"
for _ in $(seq 1200); do [ "$(wc -l <"$work/seen")" -ge 4 ] && break; sleep 0.05; done
kill -s INT "$pid"; wait "$pid"; code=$?
expect_code 3
expect [ "$(plain "$(grep -v error "$work/seen")" | sed -E 's|"image": "[^"]*"|"image": "X"|')" = "$(sed -E 's|"image": "[^"]*"|"image": "X"|' <<<"$two")" ]
expect grep -q "\"image\": \"$work/watched/2.jpg\", \"error\"" "$work/seen"
expect grep -q "\"image\": \"$work/watched/4.bmp\", \"error\"" "$work/seen" # in a format that is not read: said, not passed over
expect [ "$(wc -l <"$work/seen")" -eq 4 ]

# ---- a sheet: a picture of what was found ----
png_size() { printf '%d x %d' $((16#$(od -An -tx1 -j16 -N4 "$1" | tr -d ' '))) $((16#$(od -An -tx1 -j20 -N4 "$1" | tr -d ' '))); }
locate "$tiles/$first" "$tiles/$second" -k 3 --json --sheet "$work/sheet.png"
expect_code 0; expect_err "$work/sheet.png: 2 pictures, each with the 3 tiles it is most like"; expect [ "$(wc -l <<<"$out")" -eq 2 ]
expect [ "$(png_size "$work/sheet.png")" = '1094 x 744' ]
if [[ $err == *'cannot be read'* ]]; then fail "tiles that are there are said to be missing: $err"; else pass; fi
locate "$tiles/$first" "$tiles/$second" -k 99 --quiet --sheet "$work/wide.png"
expect_code 0; expect [ "$(png_size "$work/wide.png")" = '2998 x 744' ] # ten tiles at most
for i in $(seq 27); do echo "$tiles/$first"; done >"$work/long"
locate --list "$work/long" -k 1 --quiet --sheet "$work/long.png"
expect_code 0; expect_err "$work/long.png: 2 pictures more are left out of the sheet"; expect [ "$(png_size "$work/long.png")" = '550 x 9300' ]
cp "$work/sheet.png" "$work/before.png"
mv "$tiles" "$tiles-moved"
locate "$tiles-moved/$first" -k 3 --quiet --sheet "$work/sheet.png"
expect_code 0; expect_err "3 of 3 tiles cannot be read below $tiles; if they have moved: skygem index"
expect [ "$(stat -c %s "$work/sheet.png")" -lt "$(($(stat -c %s "$work/before.png") / 2))" ] # frames that say so
mv "$tiles-moved" "$tiles"
locate "$work/cut.jpg" --on-bad-image skip --sheet "$work/none.png"
expect_code 3; expect_err "$work/none.png is not written: no picture was located"; expect [ ! -e "$work/none.png" ]

# ---- names are bytes, JSON is UTF-8: what is none is escaped so that Python's os.fsencode finds the file ----
odd=$work/$'caf\xe9 "1"\n.jpg'
cp "$tiles/$first" "$odd"
locate "$odd" --json --quiet -k 1
expect_code 0; expect_out 'caf\udce9 \"1\"\n.jpg"'
if command -v python3 >/dev/null; then
    expect python3 -c 'import json, os, sys; os.stat(os.fsencode(json.loads(open(sys.argv[1], encoding="utf-8").read())["image"]))' "$work/.out"
fi

# ---- a signal: pictures that were named and are left are said, and are no success; of a stream it is the end ----
for i in $(seq 200); do cat "$work/long"; done >"$work/longer"
mapfile -t named <"$work/longer"
for way in alone:list alone:named ranks:list; do
    start=() pictures=(--list "$work/longer")
    [ "${way%:*}" = ranks ] && start=("$program" launch -n 2)
    [ "${way#*:}" = named ] && pictures=("${named[@]}")
    : >"$work/seen" # not the last one's
    "${start[@]}" "$program" locate "$work/index" "${pictures[@]}" -k 1 --quiet >"$work/seen" 2>"$work/stop.err" & pid=$!
    for _ in $(seq 1200); do [ -s "$work/seen" ] && break; sleep 0.05; done
    kill -s INT "$pid"; wait "$pid"; code=$?
    err=$(cat "$work/stop.err")
    expect_code 75; expect_err ': stopped after '
done
"$program" locate "$work/index" - --json --quiet <"$work/in" >"$work/result" 2>/dev/null & pid=$!
exec 7>"$work/in" 8<"$work/result"
echo "$tiles/$first" >&7
read -r -t 60 -u 8 line
kill -s INT "$pid"; wait "$pid"; code=$?
exec 7>&- 8<&-
expect_code 0
fails_with 3 'is neither paths, one a line, nor JPEG pictures' bash -c "head -c 300 /dev/zero | '$program' locate '$work/index' - --quiet"

# ---- what cannot be together is said before anything is loaded: the index here does not exist ----
before() { fails_with 2 "$1" "$program" locate "$work/none" "${@:2}"; }
before '--sheet: is drawn when the last picture' - --sheet s.png
before '--sheet: is drawn when the last picture' --watch "$work" --sheet s.png
before "there is no folder '$work/nowhere'" a.jpg --sheet "$work/nowhere/s.png"
before '--fps: is of use with --track only' a.jpg --fps 2
before '--within: is of use with --calibrate and --truth only' a.jpg --within 5
for more in '--track 5' '--count 1' '--sheet s.png'; do before "${more% *}: is of use without --calibrate" --truth "$work/list" $more; done
before 'takes its pictures from the table alone' a.jpg --truth "$work/list"
before 'takes its pictures from the table alone' --list "$work/list" --truth "$work/list"
before 'takes its pictures from the table alone' --calibrate "$work/list" --truth "$work/list"
before "there is no file '$work/nowhere'" --truth "$work/nowhere"
before 'from one place' a.jpg --list "$work/list"
before 'needs pictures'
before "there is no folder '$work/nowhere'" --watch "$work/nowhere"
before 'from 1 to 10000' a.jpg -k 0
before '--candidates: 3 of them cannot hold the best 5' a.jpg --candidates 3
before '--candidates: --track needs' a.jpg --candidates 30 --track 5
before '--exif' a.jpg --exif sideways
fails_with 3 'known.csv:1' bash -c "echo x,y >'$work/known.csv'; '$program' locate '$work/none' --truth '$work/known.csv'"

# ---- tracking ----
locate --list "$work/list" --track 20 --fps 1 --json --quiet
expect_code 0
expect [ "$(grep -cE '"track": \{"path": "[^"]*", "lat": 47[.0-9]*, "lon": 8.5, "probability": 0\.[0-9]+\}' <<<"$out")" -eq 2 ]
locate --list "$work/list" --track 20 --quiet
expect_code 0; expect [ "$(grep -c '^track ' <<<"$out")" -eq 2 ]
run bash -c "cat '$tiles/$first' | '$program' locate '$work/index' - --track 20 --quiet"
expect_code 2; expect_err 'nobody says when'
run "$program" index --weights "$weights" -o "$work/nowhere" "$tiles" --quiet
fails_with 3 'nothing can be followed' "$program" locate "$work/nowhere" "$tiles/$first" --track 20 --quiet

# ---- photos of known place ----
queries=$world/test/query_drone
(cd "$queries" && echo path,tile && for q in */*; do echo "$queries/$q,$q"; done) >"$work/known.csv"
run "$program" locate "$work/index" --truth "$work/known.csv" --quiet
expect_code 0; expect_out '12 photos: the first tile is right for 100.0 %' # the queries are the gallery's own pictures
expect_out 'median 0.0 m, 90 % within 0.0 m (of 12 photos'
fails_with 3 '12 photos are too few' "$program" locate "$work/index" --calibrate "$work/known.csv" --quiet
# 16 own pictures, and 14 satellite tiles said to be what they are mostly not found as
(echo path,lat,lon; sed "s|^|$tiles/|" "$work/tiles.csv"
 find "$world/test/gallery_satellite" "$world/test/query_satellite" -name '*.jp*' | sort | sed 's|$|,47.0675,8.5|') >"$work/fit.csv"
locate --calibrate "$work/fit.csv" --quiet
expect_code 0; expect_out 'confidence = 1 / (1 + exp(-('; expect_out 'photos: the first tile is right for'
run "$program" locate "$work/index" --truth "$work/fit.csv" --quiet --json
expect_code 0; expect grep -qE '"photos": 30, "right": [0-9.]+, "k": 5, "right_in_k": [0-9.]+, "measured": 30, "median_metres": [0-9.e+]+, .*"slope": [0-9.]+' <<<"$out"
if [[ $err == *'right way round'* ]]; then fail "near photos are called far: $err"; else pass; fi
sed '2,$s/^\(.*\),\([0-9.]*\),\([0-9.]*\)$/\1,\3,\2/' "$work/fit.csv" >"$work/swapped.csv"
run "$program" locate "$work/index" --truth "$work/swapped.csv" --quiet
expect_code 0; expect_err 'this and 29 other photos lie more than 100 km from every tile: are lat and lon the right way round?'
locate "$tiles/$first" --json --quiet
expect_code 0; expect_out '"calibrated": true'; expect grep -qE '"confidence": 0\.[0-9]+' <<<"$out"
expect [ "$(plain "$out" | sed -E 's/"confidence": [0-9.]+, "calibrated": true/"confidence": null, "calibrated": false/')" = "$(head -n 1 <<<"$two")" ]
locate "$tiles/$first"
expect_out 'confidence '
echo "path,tile
$tiles/$first,none.jpg" >"$work/wrong.csv"
fails_with 3 "wrong.csv:2: the index has no tile 'none.jpg'" "$program" locate "$work/index" --truth "$work/wrong.csv" --quiet
cp "$work/index" "$work/again" && rm -r "$work/copy" 2>/dev/null; cp -r "$tiles" "$work/copy" && rm "$work/copy/$first"
run "$program" index -o "$work/again" --update "$work/copy" --geo none
expect_code 0; expect_err 'the calibration was fitted to other tiles or places and is dropped'
# margins are others, too, where other tiles are one place, where tiles lie elsewhere, and where one cannot be read any more
calibrated() { grep -c '"calibration": "' "$1"; }
cp "$work/index" "$work/again"
run "$program" index -o "$work/again" --update
expect_code 0; expect_err 'is up to date'; expect [ "$(calibrated "$work/again")" -eq 1 ]
run "$program" index -o "$work/again" --update --place-radius 150
expect_code 0; expect_err 'other tiles or places'; expect [ "$(calibrated "$work/again")" -eq 0 ]
cp "$work/index" "$work/again" && sed 's/,47/,46/' "$work/tiles.csv" >"$work/moved.csv"
run "$program" index -o "$work/again" --update --geo "$work/moved.csv"
expect_code 0; expect_err 'other tiles or places'; expect [ "$(calibrated "$work/again")" -eq 0 ]
cp "$work/index" "$work/again" && cp "$work/cut.jpg" "$work/copy/$first"
run "$program" index -o "$work/again" --update "$work/copy" --on-bad-image skip
expect_code 3; expect_err 'other tiles or places'; expect [ "$(calibrated "$work/again")" -eq 0 ]

# ---- ranks share the tiles and say the same ----
locate --list "$work/list" --json --quiet
one=$(plain "$out")
for way in launch:2 launch:3 mpirun:3; do
    [ "${way%:*}" = launch ] || have_mpi 'locate under mpirun' || continue
    launcher "${way%:*}" "${way#*:}"
    run "${start[@]}" "$program" locate "$work/index" --list "$work/list" --json --quiet
    expect_code 0; expect [ "$(plain "$out")" = "$one" ]
done
run "$program" launch -n 2 "$program" locate "$work/index" "$work/cut.jpg" --quiet
expect_code 3
run "$program" launch -n 2 "$program" locate "$work/none" "$tiles/$first" --quiet
expect_code 2
run "$program" launch -n 2 "$program" locate "$work/index" "$tiles/$first" --track 5 --quiet
expect_code 2

# ---- its benchmark: three stores, what each loses ----
run "$program" bench search --tiles 600 --dimensions 96 --queries 5 --runs 1 --json
expect_code 0; expect [ "$(grep -o '"bench": "search"' <<<"$out" | wc -l)" -eq 3 ]; expect_out '600 tiles, 96-d, int8'
run "$program" bench search --tiles 600 --dimensions 96 --queries 5 --runs 1
expect_code 0; expect_out 'R@1 of 5 noisy copies'; expect_out "float32: 260 KiB"; expect_out "10.00 of float32's 10 nearest"
run "$program" bench search --tiles 600 --dimensions 96 --queries 5 --runs 1 --sketch 48 --candidates 600
expect_code 0; expect [ "$(grep -c 'sketches of 48, 600 candidates: .* 10.00 of' <<<"$out$err")" -ge 1 ]; expect [ "$(wc -l <<<"$out")" -ge 7 ]
run "$program" bench search --tiles 4000000000 --dimensions 1000000 --queries 1
expect [ "$code" -ne 0 ]

# ---- other models, lost weights, usage ----
mv "$weights" "$work/moved.safetensors"
fails_with 2 'are not there any more' "$program" locate "$work/index" "$tiles/$first" --quiet
locate "$tiles/$first" --json --quiet --weights "$work/moved.safetensors"
expect_code 0; expect [ "$(plain "$out")" = "$(head -n 1 <<<"$one")" ]
fails_with 2 'another model' "$program" locate "$work/index" "$tiles/$first" --quiet --weights "$work/moved.safetensors" --set data.image_size=48
fails_with 2 'there is no such index' "$program" locate "$work/none" a.jpg
world_done
