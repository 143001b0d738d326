#!/usr/bin/env bash
# What someone who is new to the program runs into: each mistake is said before any work is done, with the way out.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
cd "$work" || exit 1
tiny run
expect_code 0

# ---- a pack that is not there, is of another size, or of another tree shows in the dry run ----
fails_with 1 'nowhere.pack' "$program" train tiny.ini --dry-run --set data.pack=nowhere.pack
run "$program" data pack world -o right.pack --size 64 --quiet
expect_code 0
run "$program" train tiny.ini --dry-run --set data.pack=right.pack
expect_code 0; expect_out 'everything fits together'
run "$program" data pack world -o small.pack --size 32 --quiet
fails_with 3 'small.pack' "$program" train tiny.ini --dry-run --set data.pack=small.pack
expect_err 'hint: make a pack with --size 64'
place=$(ls world/train/drone | head -1)
cp -r world other
printf '\xff\xd9' >>"other/train/drone/$place/image-01.jpeg"
fails_with 3 'right.pack' "$program" train tiny.ini --dry-run --set data.root=other --set data.pack=right.pack

# ---- what the evaluation at the end will want is asked for at the start ----
run "$program" train tiny.ini --dry-run
expect_out 'test               12 drone images ask 8 satellite images, 6 satellite images ask 16 drone images'
cp -r world half && rm -r half/test/query_satellite
for dry in --dry-run --quiet; do
    fails_with 3 'half/test/query_satellite: this folder is missing' "$program" train tiny.ini -o late $dry --set data.root=half
    fails_with 3 'no image has a frame number from 36 to 36' "$program" train tiny.ini -o late $dry --set eval.single_frame=36
    fails_with 3 'there are no geo-tags' "$program" train tiny.ini -o late $dry --set data.format=denseuav
    run "$program" train tiny.ini -o late-unscored $dry --no-eval --quiet --set data.root=half
    expect_code 0
done
expect [ ! -e late/metrics.jsonl ]
rm -r half/test
run "$program" train tiny.ini --dry-run --set data.root=half
expect_code 0; expect_out 'no test folder: nothing to evaluate'

# ---- eval without a checkpoint ----
fails_with 2 'no weights to evaluate' "$program" eval tiny.ini
expect_err 'hint: train it first (skygem train tiny.ini)'
mkdir begun && cp run/run.ini begun/
fails_with 2 'no checkpoint yet' "$program" eval begun
expect_err 'hint: train it first: skygem train begun'
mkdir begun/checkpoints
fails_with 2 'no checkpoint yet' "$program" eval begun
fails_with 2 'no trained model' "$program" eval tiny.ini --set model.embedding=24 --set "model.weights=$(newest run)"
expect_err 'hint: train it first'

# ---- a folder that cannot be written is found before the images are read ----
touch file
fails_with 1 'file' "$program" eval run --save-features file/features
expect [ "${err/img\/s/}" = "$err" ]
expect_err 'hint: --save-features'

# ---- rates: the clock starts before the first batch, also when there is only one ----
run "$program" eval run --set eval.batch_size=64
expect_code 0
expect_err 'query_drone 12/12'
expect awk '/ img\/s/ { for (i = 2; i <= NF; i++) if ($i == "img/s") { n++; if (!($(i - 1) < 200000)) bad = 1 } } END { exit bad || !n }' "$work/.err"

# ---- a bad image keeps the decoder's own advice ----
place=$(ls other/test/query_drone | head -1)
: >"other/test/query_drone/$place/image-01.jpeg"
fails_with 3 "other/test/query_drone/$place/image-01.jpeg: is an empty file" "$program" eval run --set "data.root=$work/other"
expect_err 'hint: copy or download it again'
printf '<html>404</html>' >"other/test/query_drone/$place/image-01.jpeg"
fails_with 3 "other/test/query_drone/$place/image-01.jpeg" "$program" eval run --set "data.root=$work/other"
expect_err "hint: a download has probably saved the server's error page"

# ---- bench ----
fails_with 3 'nowhere: there is no such file or folder' "$program" bench loader nowhere
expect_err 'hint: give an image, or a folder with images'
fails_with 3 'file/x: there is no such' "$program" bench loader file/x
run "$program" info tiny.ini --totals --set device.winograd=yes
lacks=$([[ $out == *'no Winograd code'* ]] && echo yes || echo no)
for what in step ops; do
    run "$program" bench "$what" tiny.ini -n 1 --set device.winograd=yes
    expect_code 0
    expect [ "$([[ $err == *'no Winograd code'* ]] && echo yes || echo no)" = "$lacks" ]
done

# ---- a name is a folder's ----
for name in ../q a/b .. . /; do fails_with 2 'experiment.name' "$program" train tiny.ini --dry-run --set "experiment.name=$name"; done
run "$program" train tiny.ini --dry-run --set experiment.name=a..b
expect_code 0

# ---- half a world ----
rm other/readme.txt
fails_with 2 'a world that was not finished' "$program" data synth other
fails_with 2 'already holds a folder train' "$program" data synth world
expect [ "${err/not finished/}" = "$err" ]
world_done
