#!/usr/bin/env bash
# skygem data through the program: a world made, checked, summed up, packed; what each says about a broken tree, and the exit codes.
source "$(dirname "$0")/../check.sh"
cd "$work" || exit 1

run "$program" data synth world --places-train 4 --places-test 3 --distractors 2 --views 3 --size 48 --seed 5
expect_code 0
expect_out '4 training places, 3 test places, 2 distractors'
expect [ "$(find world -name '*.jpg' | wc -l)" -eq 12 ]
expect [ "$(find world -name '*.jpeg' | wc -l)" -eq 36 ]
expect [ -f world/readme.txt ]
query=$(ls world/test/query_drone | head -1)
expect cmp "world/test/query_drone/$query/image-01.jpeg" "world/test/gallery_drone/$query/image-01.jpeg"
run "$program" data synth again -j 3 --places-train 4 --places-test 3 --distractors 2 --views 3 --size 48 --seed 5 --quiet
expect_code 0
expect_quiet
expect diff -r world again
fails_with 2 'already holds a folder train' "$program" data synth world
fails_with 2 'views' "$program" data synth other --views 0
fails_with 2 'needs OUT' "$program" data synth
expect [ ! -e other ]

run "$program" data check world
expect_code 0
expect_out 'train/drone'
expect_out '48x48 (12)'
expect_out 'query images: 12 are the gallery'
expect_out 'sound'
run "$program" data check world --json
expect_code 0
expect_out '"sound": true'
expect_out '"part": "test/gallery_satellite", "images": 5, "classes": 5'

run "$program" data stats world --json
expect_code 0
expect_out '"part": "train/satellite", "images": 4'
expect_out '"images_per_class_max": 3'
run "$program" data stats world
expect_code 0
expect_out 'mean R G B'

run "$program" data pack world -o world.pack --size 32
expect_code 0
expect_out '48 images of 32 x 32'
expect [ -f world.pack ]
fails_with 2 '--output is missing' "$program" data pack world
fails_with 2 'apply' "$program" data pack world -o x.pack --exif maybe

# Broken: each file is named, the exit code is 3, no pack is left.
place=$(ls world/train/drone | head -1)
head -c 300 "world/train/drone/$place/image-01.jpeg" >cut && mv cut "world/train/drone/$place/image-01.jpeg"
: >"world/train/drone/$place/image-02.jpeg"
run "$program" data check world
expect_code 3
expect_out "problem train/drone/$place/image-01.jpeg"
expect_out "problem train/drone/$place/image-02.jpeg"
expect_err 'world: 2 problems'
run "$program" data check world --json
expect_code 3
expect_out '"sound": false'
expect_out '"problem": true'
fails_with 3 "train/drone/$place/image-02.jpeg" "$program" data pack world -o broken.pack --size 32
expect [ -z "$(ls | grep broken.pack)" ]
fails_with 3 'this data folder is not there' "$program" data check nowhere
fails_with 3 'this data folder is not there' "$program" data stats nowhere
fails_with 3 'the folder above it' "$program" data check world/train
check_done
