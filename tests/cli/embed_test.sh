#!/usr/bin/env bash
# skygem embed: the features that eval saves for the same pictures, in the order of OUT.paths.txt; what it takes weights, pictures and options for; bad ones.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
tiny run
expect_code 0
weights=$(newest run)
run "$program" eval "$work/run" --quiet --json --save-features "$work/features" --direction drone2satellite
expect_code 0

# rows FILE: the values of a float32 .npy of 112 columns, as text.
rows() { tail -c +$((11 + $(od -An -tu2 -j 8 -N 2 "$1"))) "$1" | od -An -v -tx4 -w448; }

# ---- the same bits as eval's, with and without the mirrored pass ----
run "$program" embed --weights "$weights" -o "$work/a.npy" "$world/test/query_drone" --quiet
expect_code 0; expect_quiet; expect [ -z "$out" ]
expect cmp <(rows "$work/a.npy") <(rows "$work/features/query_drone.npy")
expect [ "$(wc -l <"$work/a.paths.txt")" -eq 12 ]
expect cmp "$work/a.paths.txt" <(sed "s|^|$world/|" "$work/features/query_drone.paths.txt")
run "$program" eval "$work/run" --quiet --json --save-features "$work/plain" --direction drone2satellite --set eval.flip=no
run "$program" embed --weights "$weights" -o "$work/b.npy" "$world/test/query_drone" --quiet --set eval.flip=no
expect_code 0
expect cmp <(rows "$work/b.npy") <(rows "$work/plain/query_drone.npy")
expect [ "$(cmp <(rows "$work/a.npy") <(rows "$work/b.npy") | wc -l)" -eq 1 ]

# ---- files and folders mix, in the order given; one picture alone gives the same bits; the weights of an experiment that is given ----
one=$(sed -n 7p "$work/a.paths.txt")
run "$program" embed --weights "$weights" -o "$work/c" "$one" "$world/test/query_drone" --experiment "$work/tiny.ini"
expect_code 0; expect_err "13 features of 112 dimensions in $work/c, their paths in $work/c.paths.txt"
expect cmp <(rows "$work/c") <(rows "$work/a.npy" | sed -n 7p; rows "$work/a.npy")
expect [ "$(head -n 1 "$work/c.paths.txt")" = "$one" ]

# ---- best.safetensors carries its experiment too ----
run "$program" train "$work/tiny.ini" -o "$work/scored" --quiet
expect_code 0; expect [ -s "$work/scored/best.safetensors" ]
run "$program" embed --weights "$work/scored/best.safetensors" -o "$work/best.npy" "$one" --quiet
expect_code 0
expect cmp <(rows "$work/best.npy") <(rows "$work/a.npy" | sed -n 7p) # evaluated once, at the end

# ---- EXIF: a picture held sideways is turned unless told not to ----
if python3 -c 'import PIL' 2>/dev/null; then
    run python3 -c 'import sys; from PIL import Image
im = Image.open(sys.argv[1]); im.save(sys.argv[2] + "/up.png"); side = im.transpose(Image.ROTATE_90)
exif = Image.Exif(); exif[0x0112] = 6; side.save(sys.argv[2] + "/side.png", exif=exif)' "$one" "$work"
    expect_code 0
    run "$program" embed --weights "$weights" -o "$work/d.npy" "$work/up.png" "$work/side.png" --quiet
    expect_code 0; expect [ "$(rows "$work/d.npy" | sort -u | wc -l)" -eq 1 ]
    run "$program" embed --weights "$weights" -o "$work/d.npy" "$work/up.png" "$work/side.png" --quiet --exif ignore
    expect_code 0; expect [ "$(rows "$work/d.npy" | sort -u | wc -l)" -eq 2 ]
else
    skip 'EXIF orientation of embedded pictures' 'there is no python3 with PIL'
fi

# ---- bad pictures ----
mkdir "$work/mixed" && cp "$one" "$work/mixed/good.jpg" && head -c 500 "$one" >"$work/mixed/cut.jpg"
fails_with 3 "$work/mixed/cut.jpg" "$program" embed --weights "$weights" -o "$work/e.npy" "$work/mixed" --quiet
expect [ ! -e "$work/e.npy" ]
run "$program" embed --weights "$weights" -o "$work/e.npy" "$work/mixed" --on-bad-image skip --quiet
expect_code 3; expect_err "warning: left out: $work/mixed/cut.jpg"; expect_err '1 of 2 were left out'
expect cmp <(rows "$work/e.npy") <(rows "$work/a.npy" | sed -n 7p)
expect [ "$(cat "$work/e.paths.txt")" = "$work/mixed/good.jpg" ]

# ---- what is refused ----
cp "$one" "$work/mixed/"$'two\nlines.jpg'
fails_with 3 'has a line break in its name' "$program" embed --weights "$weights" -o "$work/f.npy" "$work/mixed"
mkfifo "$work/pipe"
for bad in "$work/pipe: is no regular file" "$work/nowhere/f.npy: cannot create"; do
    fails_with 1 "$bad" "$program" embed --weights "$weights" -o "${bad%%: *}" "$one"
    if [[ $err == *embedding* ]]; then fail "said after the work: $err"; else pass; fi
done
expect [ -p "$work/pipe" ]
fails_with 2 '--weights is missing' "$program" embed -o "$work/f.npy" "$one"
fails_with 2 '--output is missing' "$program" embed --weights "$weights" "$one"
fails_with 2 'there is no such weights file' "$program" embed --weights "$work/none.safetensors" -o "$work/f.npy" "$one"
fails_with 1 "$work/none.jpg" "$program" embed --weights "$weights" -o "$work/f.npy" "$work/none.jpg" --quiet
expect [ ! -e "$work/f.npy" ]
world_done
