#!/usr/bin/env bash
# skygem explain: a PNG a picture, with the picture, all parts together and each part; wrong input with its message.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
tiny run
weights=$(newest run)
picture=$(find "$world/test/query_drone" -type f | sort | head -n 1)
place=$(basename "$(dirname "$picture")")
name=$place-$(basename "${picture%.*}")-explained.png
run "$program" explain "$picture" --weights "$weights" -o "$work/made/here"
expect_code 0
expect_err 'then 6 parts'
read -r width height < <(od -An -t u1 -j16 -N8 "$work/made/here/$name" | awk '{print (($1 * 256 + $2) * 256 + $3) * 256 + $4, (($5 * 256 + $6) * 256 + $7) * 256 + $8}')
if [ "$width" = $((8 * 70 + 6)) ] && [ "$height" = 76 ]; then pass; else fail "the PNG is $width x $height, should be 566 x 76: eight pictures of 64 pixels"; fi
cp "$work/made/here/$name" "$work/first.png"
run "$program" explain "$picture" --weights "$weights" -o "$work/made/here" --set device.threads=1
expect cmp "$work/first.png" "$work/made/here/$name"

# two pictures of one name: neither is drawn over the other
other=$work/other/$place/$(basename "$picture")
mkdir -p "$(dirname "$other")" && cp "$picture" "$other"
fails_with 2 "$work/both/$name: would be the heat maps of both $picture and $other" "$program" explain "$picture" "$other" --weights "$weights" -o "$work/both"
expect [ ! -e "$work/both" ]
run "$program" explain "$picture" "$picture" --weights "$weights" -o "$work/twice"
expect_code 0

fails_with 1 'nowhere.jpg' "$program" explain "$work/nowhere.jpg" --weights "$weights" -o "$work/made"
fails_with 2 'needs IMAGE' "$program" explain --weights "$weights"
fails_with 2 'weights' "$program" explain "$picture"
world_done
