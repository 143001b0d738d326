#!/usr/bin/env bash
# Experiments with street and google images: one to four views through the whole program, from the data's check to the scores, resumed to the same bits; and
# what each command says where views are missing.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
cd "$work" || exit 1

# ---- a world with street images ----
run "$program" data synth ground --places-train 12 --places-test 4 --distractors 2 --views 2 --street 2 --size 64 --seed 3 --quiet
expect_code 0
expect_out '2 drone frames and 2 street pictures each'
expect [ "$(ls ground/train/street | wc -l)" -eq 12 ]
expect [ "$(find ground/train/google ground/test/gallery_street -name '*.jpg' | wc -l)" -eq $((24 + 12)) ]
expect [ "$(ls ground/test/query_street | wc -l)" -eq 4 ]
run "$program" data check ground
expect_code 0
expect_out 'train/google'
expect_out 'test/query_street'
expect_out sound
cp -r ground/test/query_street/"$(ls ground/test/query_street | head -1)" ground/test/query_street/0099
run "$program" data check ground
expect_code 3
expect_out 'test/query_street: 1 places have no image in test/gallery_satellite, 0099 the first'
rm -r ground/test/query_street/0099

# ---- four views: what is said before anything is computed ----
four=(--set data.root=ground --set data.views=google,street,drone,satellite --set eval.direction=all)
run "$program" train tiny.ini --dry-run "${four[@]}"
expect_code 0
expect_out '12 classes, 12 satellite, 24 drone, 24 street and 24 google images'
run "$program" info tiny.ini "${four[@]}" --totals
expect_code 0
expect_out '16 images a run'
run "$program" info tiny.ini "${four[@]}" --totals --infer
expect_code 0
run "$program" bench step tiny.ini "${four[@]}" --set model.share_views=no --runs 1
expect_code 0

# ---- trained, stopped, resumed: the same bits; scored in all directions ----
run "$program" train tiny.ini -o whole "${four[@]}" --quiet
expect_code 0
tiny part "${four[@]}" --set train.epochs=1
expect_code 0
run "$program" train tiny.ini -o part --resume "${four[@]}" --quiet
expect_code 0
expect cmp whole/checkpoints/step-000000006.safetensors part/checkpoints/step-000000006.safetensors
expect same_losses whole part
expect cmp whole/eval/step-000000006.json part/eval/step-000000006.json
run "$program" weights show whole/best.safetensors
expect_out backbone.conv1.weight
expect_out backbone_ground.conv1.weight
for row in drone2satellite:8:6 satellite2drone:4:12 street2satellite:8:6 satellite2street:4:12; do
    IFS=: read -r direction queries gallery <<<"$row"
    expect grep -qF "\"flip\": true, \"direction\": \"$direction\", \"protocol\": \"full\", \"queries\": $queries, \"gallery\": $gallery" whole/eval/step-000000006.json
done
run "$program" eval whole --quiet --json --direction street2satellite --save-features features --set eval.multi_query=2 --set eval.weather=fog --set eval.query_shift=8
expect_code 0
expect [ "$(grep -o '"direction": "[a-z0-9]*"' <<<"$out" | sort -u)" = '"direction": "street2satellite"' ]
expect [ "$(grep -o '"condition": "[a-z_]*"' <<<"$out" | sort -u | tr '\n' ' ')" = '"condition": "plain" "condition": "query_shift" ' ] # what is the drone's does not apply
expect [ -s features/query_street.npy ]
run "$program" embed ground/test/query_street -o street.npy --weights whole/best.safetensors --view street --set eval.batch_size=8 --exif ignore --quiet
expect_code 0
expect cmp street.npy features/query_street.npy
run "$program" embed ground/test/query_street -o other.npy --weights whole/best.safetensors --exif ignore --quiet
expect_code 0
cmp -s street.npy other.npy && fail 'the drone trunk gives the street features' || pass
run "$program" index ground/test/gallery_satellite -o tiles.index --weights whole/best.safetensors --geo none --quiet
expect_code 0
run "$program" locate tiles.index "$(find ground/test/query_street -name '*.jpg' | head -1)" --view street --exif ignore --quiet --json
expect_code 0
street_distance=$(grep -o '"distance": [0-9.]*' <<<"$out" | head -1)
run "$program" locate tiles.index "$(find ground/test/query_street -name '*.jpg' | head -1)" --exif ignore --quiet --json
expect_code 0
expect [ -n "$street_distance" ]
expect [ "$(grep -o '"distance": [0-9.]*' <<<"$out" | head -1)" != "$street_distance" ] # another trunk
run "$program" explain "$(find ground/train/google -name '*.jpg' | head -1)" --weights whole/best.safetensors --view google -o heat --quiet
expect_code 0
run "$program" report whole -o whole.html
expect_code 0
expect grep -q 'R@1 street → satellite' whole.html
expect grep -q 'Retrievals, some queries, satellite → street' whole.html

# ---- a pack, other views and samplers ----
run "$program" data pack ground -o ground.pack --size 64 --quiet
expect_code 0
tiny packed "${four[@]}" --set data.pack=ground.pack
expect_code 0
expect same_tensors whole/checkpoints/step-000000006.safetensors packed/checkpoints/step-000000006.safetensors
run "$program" train tiny.ini -o three --quiet --set data.root=ground --set data.views=satellite,drone,street --set data.sampler=unpaired \
    --set loss.kl=0 --set model.share_views=no \
    --set eval.direction=all --set train.ema=0.5 --set train.accumulate=2 --set train.batch_size=2
expect_code 0
run "$program" weights show three/best.safetensors
expect_out backbone_drone.conv1.weight
expect_out backbone_ground.conv1.weight
run "$program" train tiny.ini -o two --quiet --set data.root=ground --set data.views=street,satellite --set loss.kl=0 --set eval.direction=street2satellite
expect_code 0
run "$program" train tiny.ini -o one --quiet --set data.root=ground --set data.views=drone --set loss.kl=0 # the trunk is the satellite's as well
expect_code 0
run "$program" weights export three/best.safetensors -o three.pth --quiet
expect_code 0
run "$program" weights import three.pth -o three.safetensors --experiment three
expect_code 0
expect_out 'a trunk for street images'
expect_out 'missing            none'
run "$program" eval three --quiet --json --weights three.safetensors
expect_code 0
expect [ "$out" = "$(cat three/eval/step-*.json)" ]
run "$program" weights export three/best.safetensors -o ground.onnx --view street --quiet
expect_code 0

run "$program" launch -n 2 --quiet train tiny.ini -o ranks "${four[@]}" --set train.batch_size=2 --no-eval --quiet
expect_code 0
expect [ "$(lines_of ranks)" -eq 6 ]

# ---- places without an image in a view ----
rm ground/train/google/"$(ls ground/train/google | head -1)"/*
tiny holes "${four[@]}"
expect_code 0
expect_err "train/google: 1 of 12 places"
expect_err '1 of 12 places lack an image in some view and are never drawn'
expect [ "$(lines_of holes)" -eq 4 ] # 11 places in steps of 4
tiny unpaired "${four[@]}" --set data.sampler=unpaired --set loss.kl=0 --set train.batch_size=11
expect_code 0
! grep -q 'never drawn' <<<"$err" && pass || fail 'unpaired epochs draw every place that a view has'

# ---- what is missing is said ----
fails_with 2 'data.views = satellite, drone, street (satellite, drone, street, google)' \
    "$program" train tiny.ini -o part --resume "${four[@]}" --set data.views=satellite,drone,street
fails_with 3 'train/street' "$program" train tiny.ini -o no --set data.views=satellite,drone,street # of the world without
tiny plain
expect_code 0
fails_with 2 'no trunk for street images' "$program" eval plain --direction street2satellite --set data.root="$work/ground"
fails_with 2 'no trunk for street images' "$program" embed ground/test/query_street -o no.npy --weights "$(newest plain)" --view street
fails_with 2 'possible: satellite, drone, street' "$program" embed ground/test/query_street -o no.npy --weights "$(newest plain)" --view roof
fails_with 2 "'streets' is none of them; did you mean street?" "$program" train tiny.ini --dry-run --set data.views=drone,streets
rm -r ground/test/query_street
fails_with 3 'test/query_street' "$program" eval whole --direction street2satellite
run "$program" eval whole --direction both --quiet
expect_code 0
world_done
