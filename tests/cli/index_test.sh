#!/usr/bin/env bash
# skygem index: tiles with places from names and tables, updates that end with the same file as making it anew, what is refused.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
tiny run
expect_code 0
weights=$(newest run)
index() { run "$program" index --weights "$weights" -o "$work/$1" "${@:2}"; }
# texts FILE: an index's metadata and shapes.
texts() { head -c $(($(od -An -tu8 -N8 "$1") + 8)) "$1" | tail -c +9; }

# ---- a folder of any shape, no places; the same bytes again ----
tiles=$work/world/test/gallery_satellite
index a "$tiles"
expect_code 0; expect [ -z "$out" ]
expect_err '8 tiles, 112 dimensions in float32: searching them takes'
expect_err "$work/a: 8 tiles (8 embedded, 0 kept, 0 removed), 0 of them with a place"
index b "$tiles" --quiet
expect_code 0; expect_quiet; expect cmp "$work/a" "$work/b"
for store in fp16 int8; do index $store "$tiles" --quiet --store $store; expect_code 0; expect grep -q "\"store\":* *\"$store\"" <<<"$(texts "$work/$store")"; done
expect [ "$(stat -c %s "$work/int8")" -lt "$(stat -c %s "$work/fp16")" ]
expect [ "$(stat -c %s "$work/fp16")" -lt "$(stat -c %s "$work/a")" ]

# ---- web map tiles ----
xyz=$work/xyz i=0
for tile in "$tiles"/*/*; do mkdir -p "$xyz/17/$((69600 + i / 4))" && cp "$tile" "$xyz/17/$((69600 + i / 4))/$((45400 + i % 4)).jpg"; i=$((i + 1)); done
index x "$xyz"
expect_code 0; expect_err '8 of them with a place'
run "$program" locate "$work/x" "$xyz/17/69600/45401.jpg" --json --quiet -k 1
expect_code 0; expect_out '"path": "17/69600/45401.jpg", "lat": 48.2'; expect_out '"lon": 11.16'
index t "$xyz" --quiet --geo tms
run "$program" locate "$work/t" "$xyz/17/69600/45401.jpg" --json --quiet -k 1
expect_out '"lat": -48.2'
index n "$xyz" --geo none
expect_err '0 of them with a place'
cp -r "$xyz" "$work/more" && cp "$tile" "$work/more/else.jpg"
index m "$work/more"
expect_code 0; expect_err '9 tiles'; expect_err '0 of them with a place'
expect_err "warning: 8 of 9 tiles have a web map tile's name (ZOOM/X/Y.jpg), but else.jpg has not"
fails_with 3 'else.jpg: this is no web map tile' "$program" index --weights "$weights" -o "$work/m2" "$work/more" --geo xyz --quiet
expect [ ! -e "$work/m2" ]

# ---- a table ----
(cd "$tiles" && i=0 && for tile in */*; do echo "$tile,47.$i,8.5,0.25"; i=$((i + 1)); done) >"$work/tiles.csv"
index c "$tiles" --geo "$work/tiles.csv"
expect_code 0; expect_err '8 of them with a place'
(sed 1d "$work/tiles.csv"; echo 'gone.jpg,1,2') >"$work/part.csv"
index c2 "$tiles" --geo "$work/part.csv"
expect_code 0; expect_err "warning: $work/part.csv: 1 tiles have no line in it, such as "; expect_err '1 of its 8 lines name no tile'; expect_err '7 of them with a place'
echo 'x,91,0' >"$work/wrong.csv"
fails_with 3 "$work/wrong.csv:1" "$program" index --weights "$weights" -o "$work/c3" "$tiles" --geo "$work/wrong.csv" --quiet
fails_with 2 "there is no file 'tiles.csb'" "$program" index --weights "$weights" -o "$work/c3" "$tiles" --geo tiles.csb
expect_err 'geotiff'

# ---- GeoTIFF: places from the tiles' own tags ----
if "$program" doctor | grep -q 'libtiff.*loaded'; then
    geotiff=$source_dir/tests/golden/geotiff geo=$work/geo
    mkdir -p "$geo/sub" && cp "$geotiff/utm32n.tif" "$geotiff/mercator.tif" "$geo" && cp "$geotiff/degrees.tif" "$geo/sub/d.TIFF"
    index g "$geo"
    expect_code 0; expect_err '3 of them with a place'
    if [[ $err == *warning* ]]; then fail "$err"; else pass; fi
    run "$program" locate "$work/g" "$geo/utm32n.tif" --json --quiet -k 3
    expect_out '"path": "utm32n.tif", "lat": 49.04025487'; expect_out '"lon": 8.40876435'; expect_out '"path": "sub/d.TIFF", "lat": 49.00999'
    cp "$geotiff/none.tif" "$geo" && cp "$tile" "$geo/a.jpg"
    index g2 "$geo"
    expect_code 0; expect_err 'warning: 2 tiles have no place, such as a.jpg: it has no geo tags; --geo tiles.csv gives them one'; expect_err '3 of them with a place'
    cp "$geotiff/swiss.tif" "$geo"
    index g3 "$geo"
    expect_code 0; expect_err 'warning: 3 tiles have no place, such as swiss.tif: its coordinate system is EPSG 2056'; expect_err '3 of them with a place'
    fails_with 3 "$geo/swiss.tif: its coordinate system is EPSG 2056" "$program" index --weights "$weights" -o "$work/g4" "$geo" --geo geotiff --quiet
    expect_err '--geo tiles.csv'; expect [ ! -e "$work/g4" ]
    rm "$geo/swiss.tif"
    run "$program" index -o "$work/g3" --update --geo geotiff
    expect_code 0; expect_err '5 tiles'; run "$program" index -o "$work/g3" --update; expect_err 'is up to date'
    (cd "$geo" && printf '%s,1,2\n' *.tif) >"$work/geo.csv"
    index g5 "$geo" --geo "$work/geo.csv" --quiet
    run "$program" locate "$work/g5" "$geo/utm32n.tif" --json --quiet -k 1
    expect_out '"lat": 1, "lon": 2' # a table goes before the tags
else
    mkdir "$work/geo" && cp "$source_dir/tests/golden/geotiff/utm32n.tif" "$work/geo"
    fails_with 3 'built without libtiff' "$program" index --weights "$weights" -o "$work/g" "$work/geo" --quiet
    skip 'index of GeoTIFF' 'this program is built without libtiff'
fi

# ---- updates ----
live=$work/live
mkdir -p "$live/sub" && i=0
for tile in "$tiles"/*/*; do cp "$tile" "$live/sub/$i.jpg"; i=$((i + 1)); done
index u "$live" --quiet
run "$program" index -o "$work/u" --update
expect_code 0; expect_err "$work/u is up to date: 8 tiles"
before=$(stat -c '%i %Y' "$work/u")
run "$program" index -o "$work/u" --update "$live"
expect [ "$(stat -c '%i %Y' "$work/u")" = "$before" ]
rm "$live/sub/0.jpg" && cp "$live/sub/3.jpg" "$live/new.jpg" && cp "$live/sub/5.jpg" "$live/sub/4.jpg" && touch -d '2001-02-03' "$live/sub/6.jpg"
run "$program" index -o "$work/u" --update
expect_code 0; expect_err '8 tiles (2 embedded, 6 kept, 1 removed)'
index fresh "$live" --quiet
expect cmp "$work/u" "$work/fresh"
run "$program" index -o "$work/u" --update --geo none --place-radius 50
expect_code 0; expect_err '(0 embedded, 8 kept, 0 removed)'; expect grep -q '"place_radius": *"50"' <<<"$(texts "$work/u")"
fails_with 2 'an update cannot change these' "$program" index -o "$work/u" --update --store int8
tiny other --set experiment.seed=9
expect_code 0
fails_with 2 'another model' "$program" index -o "$work/u" --update --weights "$(newest other)"
expect_err 'the parameters differ'
fails_with 2 'another model' "$program" index -o "$work/u" --update --set eval.flip=no
expect_err 'the settings'
fails_with 2 'there is no such index' "$program" index -o "$work/none" --update "$live"

# ---- sketches: kept right by updates, taken away, put in ----
index s "$live" --quiet --sketch 32
expect_code 0
cp "$live/sub/1.jpg" "$live/sub/8.jpg"
run "$program" index -o "$work/s" --update
expect_code 0; expect_err '(1 embedded, 8 kept, 0 removed)'
index s2 "$live" --quiet --sketch 32
expect cmp "$work/s" "$work/s2"
run "$program" index -o "$work/s" --update --sketch 0
index s3 "$live" --quiet
expect cmp "$work/s" "$work/s3"
run "$program" index -o "$work/s" --update --sketch 32
expect_code 0; expect cmp "$work/s" "$work/s2"
fails_with 2 '113 numbers a tile cannot be, of features of 112' "$program" index --weights "$weights" -o "$work/z" "$live" --sketch 113
run "$program" locate "$work/s" "$live/sub/3.jpg" --json --quiet -k 2
exact=$(sed 's/, "ms".*//' <<<"$out")
run "$program" locate "$work/s" "$live/sub/3.jpg" --json --quiet -k 2 --candidates 9
expect_code 0; expect [ "$(sed 's/, "ms".*//' <<<"$out")" = "$exact" ] # every tile is a candidate
run "$program" locate "$work/s" "$live/sub/3.jpg" --json --quiet -k 2 --candidates 3
expect_code 0; expect [ "$(grep -o '"path": "[^"]*"' <<<"$out" | head -n 1)" = "$(grep -o '"path": "[^"]*"' <<<"$exact" | head -n 1)" ]
run "$program" launch -n 2 "$program" locate "$work/s" "$live/sub/3.jpg" --json --quiet -k 2 --candidates 9
expect_code 0; expect [ "$(sed 's/, "ms".*//' <<<"$out")" = "$exact" ]
# ranks choose the candidates together: a poor sketch hides the same tiles from three as from one
index p "$live" --quiet --sketch 1
for few in 2 3 5; do
    run "$program" locate "$work/p" "$world/test/query_drone" "$world/test/gallery_satellite" --json --quiet -k 2 --candidates "$few"
    one=$(sed 's/, "ms".*//' <<<"$out")
    expect_code 0; expect [ "$(wc -l <<<"$one")" -gt 12 ]
    for ranks in 2 3 11; do
        run "$program" launch -n "$ranks" "$program" locate "$work/p" "$world/test/query_drone" "$world/test/gallery_satellite" --json --quiet -k 2 --candidates "$few"
        expect_code 0; expect [ "$(sed 's/, "ms".*//' <<<"$out")" = "$one" ]
    done
done
fails_with 2 'skygem index -o INDEX --update --sketch' "$program" locate "$work/s3" "$live/sub/3.jpg" --candidates 5 --quiet
rm "$live/sub/8.jpg"

# ---- bad tiles ----
head -c 300 "$live/new.jpg" >"$live/sub/2.jpg"
fails_with 3 "$live/sub/2.jpg" "$program" index --weights "$weights" -o "$work/v" "$live" --quiet
expect [ ! -e "$work/v" ]
run "$program" index --weights "$weights" -o "$work/v" "$live" --quiet --on-bad-image skip
expect_code 3; expect_err '1 of 8 were left out'
run "$program" locate "$work/v" "$live/new.jpg" --json --quiet -k 99
expect_code 0; expect [ "$(grep -o '"path"' <<<"$out" | wc -l)" -eq 7 ]

# ---- what is refused ----
fails_with 2 '--weights is missing' "$program" index -o "$work/z" "$live"
fails_with 2 '--output is missing' "$program" index --weights "$weights" "$live"
fails_with 2 'needs the folder' "$program" index --weights "$weights" -o "$work/z"
mkfifo "$work/pipe"
for bad in "$work/pipe: is no regular file" "$work: is a folder" "$work/nowhere/z: cannot create"; do
    fails_with 1 "$bad" "$program" index --weights "$weights" -o "${bad%%: *}" "$live"
    if [[ $err == *embedding* ]]; then fail "said after the work: $err"; else pass; fi
done
expect [ -p "$work/pipe" ]
fails_with 3 'no such folder' "$program" index --weights "$weights" -o "$work/z" "$work/nowhere"
mkdir "$work/empty"
fails_with 3 'no image' "$program" index --weights "$weights" -o "$work/z" "$work/empty"
run "$program" locate "$weights" "$live/new.jpg"
expect_code 1; expect_err 'this is no index but a skygem checkpoint 1'
cp "$work/a" "$work/bad" && printf x | dd of="$work/bad" bs=1 seek=$(($(od -An -tu8 -N8 "$work/bad") + 1500)) conv=notrunc 2>/dev/null
run "$program" locate "$work/bad" "$live/new.jpg"
expect_code 1; expect_err 'its data are damaged'
world_done
