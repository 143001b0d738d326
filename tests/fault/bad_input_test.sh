#!/usr/bin/env bash
# What a run may be given that is wrong: its message names file or key and says what to do, its exit code is the documented one, and nothing that was there is lost.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"

# trained CODE TEXT FOLDER OPTIONS...: a run that fails so.
trained() {
    local want=$1 text=$2 folder=$3
    shift 3
    tiny "$folder" "$@"
    if [ "$code" -eq "$want" ] && [[ $err == *"error: "* ]] && [[ $err == *"$text"* ]] && [[ $err == *"hint: "* ]] && [ -z "$out" ]; then pass
    else fail "tiny $folder $* gave code $code (should be $want), stderr '${err:0:600}' (should have '$text' and a hint)"; fi
}
# broken: a fresh copy of the world, to break.
broken() { rm -rf "$work/broken"; cp -r "$world" "$work/broken"; }

# ---- settings: nothing is made ----
trained 2 '--set: train.epoch: there is no such key in [train]' none --set train.epoch=3
expect_err 'did you mean train.epochs?'
trained 2 "--set: train.epochs: 'three' is not allowed; allowed: a whole number from 1" none --set train.epochs=three
trained 2 "--set: train.batch_size: '1' is not allowed; allowed: a whole number from 2" none --set train.batch_size=1
trained 2 'model.backbone' none --set model.backbone=resnet19
cp "$work/tiny.ini" "$work/good.ini"
echo 'every = 2' >>"$work/tiny.ini"
trained 2 "tiny.ini:$(wc -l <"$work/tiny.ini"): log.every: comes a second time in this file" none
{ printf '[include]\nfiles = parts.ini\n'; cat "$work/good.ini"; } >"$work/tiny.ini"
trained 2 "tiny.ini:2: include.files: $work/parts.ini: cannot open: No such file" none
cp "$work/good.ini" "$work/tiny.ini"
expect [ ! -e "$work/none" ]
run "$program" train "$work/nothing.ini"
expect_code 2; expect_err 'nothing.ini: cannot open'
run "$program" train "$world"
expect_code 2; expect_err 'this folder has no run.ini'

# ---- data ----
trained 3 "error: $work/nowhere: this data folder is not there" data --set "data.root=$work/nowhere"
trained 3 "is a file, not a data folder" data --set "data.root=$work/good.ini"
trained 3 "error: $work/broken/train/drone: this folder is missing" data --set "data.root=$(broken; rm -r "$work/broken/train/drone"; echo "$work/broken")"
trained 3 'train and test' data --set "data.root=$world/train"
expect [ ! -e "$work/data/run.ini" ] # such a run has not begun
expect [ ! -e "$work/data/checkpoints" ]

broken
mkdir "$work/broken/train/satellite/9999" "$work/broken/train/drone/9999"
tiny empty-place --set "data.root=$work/broken"
expect_code 0; expect_err 'warning: '; expect_err '9999'; expect [ "$(lines_of empty-place)" -eq 6 ]

# Every frame of a place is broken: the run ends when it draws one, after a checkpoint of what it has reached. Mended, it goes on from there.
break_frames() { # HOW FOLDER
    local frame
    for frame in "$work/broken/train/drone/$2"/*; do
        case $1 in
        cut) head -c 700 "$frame" >"$work/cut" && mv "$work/cut" "$frame" ;;
        empty) : >"$frame" ;;
        html) printf '<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n' >"$frame" ;;
        esac
    done
}
place=$(basename "$(find "$world/train/drone" -mindepth 1 -maxdepth 1 | sort | tail -n 1)")
tiny whole --set train.epochs=3 --set train.checkpoint_every=100 --set "data.root=$world"
expect_code 0
for how in cut empty html; do
    broken
    break_frames $how "$place"
    trained 3 "error: $work/broken/train/drone/$place/image-0" "$how" --set train.epochs=3 --set train.checkpoint_every=100 --set "data.root=$work/broken"
    expect_err 'on_bad_image = skip'
    done_steps=$(lines_of "$how")
    if [ "$done_steps" -gt 0 ]; then expect [ "$(steps_of "$(newest "$how")")" -eq "$done_steps" ]; else expect [ -z "$(newest "$how")" ]; fi
    case $how in
    cut) expect_err 'damaged or cut JPEG' ;;
    empty) expect_err 'is an empty file (0 bytes)' ;;
    html) expect_err 'is a web page' ;;
    esac
    broken # whole again
    tiny "$how" $([ "$done_steps" -gt 0 ] && echo --resume) --set train.epochs=3 --set train.checkpoint_every=100 --set "data.root=$work/broken"
    expect_code 0
    expect same_tensors "$(newest whole)" "$(newest "$how")"
    expect same_losses whole "$how"
done

# One of a place's two frames is broken: the other one is taken, which is said once and counted, also over a resume.
broken
rm "$work/broken/train/drone/$place/image-02.jpeg"
printf 'GIF89a' >"$work/broken/train/drone/$place/image-02.jpeg"
skip=(--set data.on_bad_image=skip --set data.samples_per_class=4 --set "data.root=$work/broken")
tiny skip "${skip[@]}"
expect_code 0
expect [ "$(grep -c "warning: image left out: $work/broken/train/drone/$place/image-02.jpeg" "$work/.err")" -eq 1 ]
count=$(tail -n 1 "$work/skip/metrics.jsonl" | sed -E 's/.*"skipped_images": ([0-9]+).*/\1/')
expect [ "$count" -gt 1 ]
tiny skip-workers "${skip[@]}" --set data.workers=5
expect_code 0
expect same_losses skip skip-workers # the counts too
start skip-resumed "${skip[@]}"
wait_for_steps skip-resumed "$(between 2 14)"
stop TERM
expect_code 75
tiny skip-resumed --resume "${skip[@]}"
expect_code 0
expect same_losses skip skip-resumed
: >"$work/broken/train/drone/$place/image-01.jpeg"
trained 3 "$work/broken/train/drone/$place/image-0" none-left "${skip[@]}"
expect_err 'no image of this place in this view can be read'

# ---- weights and checkpoints ----
tiny run
expect_code 0
last=$(newest run) first=$work/run/checkpoints/step-000000003.safetensors
trained 2 "error: $work/none.safetensors: there is no such weights file" weights --set "model.weights=$work/none.safetensors"
trained 1 "error: $last: 6 of the trunk's 132 tensors fit; the first that does not: backbone.conv1.weight, in the file [8, 3, 7, 7], in the model [16, 3, 7, 7]" weights \
    --set "model.weights=$last" --set model.width=0.25
trained 1 'is no whole safetensors file' weights --set "model.weights=$work/tiny.ini"
fails_with 1 "error: $last: tensor 'classifier0.add_block.0.weight' should be [8, 64], is [16, 64]" "$program" eval "$work/run" --set model.embedding=8 --quiet
expect [ ! -e "$work/weights/run.ini" ]

# flip FILE OFFSET: changes one bit.
flip() {
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "\\x$(printf %02x $((byte ^ 16)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
size=$(stat -c %s "$last")
damage() { # HOW FILE
    case $1 in
    cut) truncate -s $((size / 2)) "$2" ;;
    short) truncate -s 5 "$2" ;;
    empty) : >"$2" ;;
    data) flip "$2" $((size - $(between 1 100000))) ;;
    header) flip "$2" $(between 20 5000) ;;
    other) cp "$first" "$2" ;; # a whole file, but of another step
    esac
}
for how in cut short empty data header other; do
    rm -rf "$work/damaged"
    cp -r "$work/run" "$work/damaged"
    damage $how "$work/damaged/checkpoints/$(basename "$last")"
    run "$program" train "$work/damaged" --resume --no-eval
    expect_code 0
    expect_err "warning: checkpoint left aside: $work/damaged/checkpoints/$(basename "$last"): "
    expect_err "resumed from $work/damaged/checkpoints/$(basename "$first")"
    expect same_tensors "$last" "$(newest damaged)"
    expect cmp "$work/run/run.ini" "$work/damaged/run.ini"
    expect same_losses run damaged
    damage $how "$work/damaged/checkpoints/$(basename "$last")"
    case $how in
    other) ;;
    *)
        fails_with 1 "$(newest damaged)" "$program" eval "$work/run" --weights "$(newest damaged)" --quiet
        run "$program" eval "$work/damaged" --quiet
        expect_code 0; expect_err 'warning: checkpoint left aside' ;;
    esac
done
damage cut "$work/damaged/checkpoints/$(basename "$last")"
damage data "$work/damaged/checkpoints/$(basename "$first")"
trained 1 'none of its 2 checkpoints is whole' damaged --resume
trained 2 'already holds a run' damaged

# ---- run folders ----
before=$(cd "$work/run" && find . -type f ! -name log.txt ! -name run.lock -exec cksum {} + | sort)
trained 2 "error: $work/run: this folder already holds a run with checkpoints" run
expect_err '--resume'
trained 2 'the checkpoint was made with other settings' run --resume --set optimizer.lr=0.02
expect_err "hint: resume with the run's own run.ini: skygem train $work/run --resume"
broken
rm -r "$work/broken/train/drone/$place" "$work/broken/train/satellite/$place"
trained 3 'has 11 training places, the run had 12' run --resume --set "data.root=$work/broken"
expect [ "$(cd "$work/run" && find . -type f ! -name log.txt ! -name run.lock -exec cksum {} + | sort)" = "$before" ] # all three left everything as it was
broken
rm "$work/broken/train/drone/$place/image-02.jpeg"
tiny run --resume --set "data.root=$work/broken"
expect_code 0; expect_err 'the training images are not those of the run so far'
trained 2 'there is nothing to resume: no such folder' absent --resume
expect [ ! -e "$work/absent" ]
mkdir "$work/bare"
trained 2 'there is no checkpoint to resume from' bare --resume
trained 1 "$work/good.ini" good.ini/run

# Root writes everywhere unless it gives that right away.
mkdir "$work/closed"
chmod 555 "$work/closed"
give_up=()
[ -w "$work/closed" ] && give_up=(setpriv --inh-caps=-all --bounding-set=-all --ambient-caps=-all)
if ! "${give_up[@]}" test -w "$work/closed" 2>/dev/null && "${give_up[@]}" true 2>/dev/null; then
    run "${give_up[@]}" "$program" train "$work/tiny.ini" -o "$work/closed" --quiet
    expect_code 1; expect_err "error: $work/closed/run.lock: cannot open: Permission denied"; expect_err 'hint: a run writes into its folder'
    run "${give_up[@]}" "$program" train "$work/tiny.ini" -o "$work/closed/below" --quiet
    expect_code 1; expect_err "error: $work/closed/below: cannot make the folder: Permission denied"; expect_err 'hint: '
else
    skip 'read-only folder' 'this user cannot give up the right to write everywhere'
fi

# ---- numbers ----
tiny wild --set optimizer.lr=100 --set optimizer.weight_decay=1 --set train.epochs=20
expect_code 6; expect_err 'error: training: step '; expect_err ' is not finite (element '; expect_err 'train/drone/'; expect_err 'hint: the parameters are as before this step'
expect [ "$(grep -cE 'step [0-9]+: (parameter|the output of|the gradient of) [a-z]' "$work/.err")" -eq 1 ]
tiny wild-skip --set optimizer.lr=100 --set optimizer.weight_decay=1 --set train.epochs=20 --set train.on_nonfinite=skip
expect_code 0; expect_err 'gradients were not finite, update left out'
expect [ "$(lines_of wild-skip)" -eq 60 ]
expect grep -q '"grad_norm": null.*"skipped": [1-9]' "$work/wild-skip/metrics.jsonl" # JSON has no NaN
tiny wild --resume --set optimizer.lr=100 --set optimizer.weight_decay=1 --set train.epochs=20 --set train.on_nonfinite=skip # what the hint says
expect_code 0
expect same_tensors "$(newest wild-skip)" "$(newest wild)"
world_done
