# A world of 12 places and an experiment on it that takes milliseconds a step, for tests of whole runs. Source it after check.sh; end with world_done.
# Random moments are drawn from $SKY_TEST_SEED, or from a seed of its own, which is printed when something fails.
RANDOM=${SKY_TEST_SEED:=$((RANDOM + 1))}
world_done() {
    [ "$failed" -eq 0 ] || printf 'random moments of %s: SKY_TEST_SEED=%s\n' "$0" "$SKY_TEST_SEED"
    check_done
}

# between LOW HIGH: a whole number drawn from them, ends included.
between() { echo $(($1 + RANDOM % ($2 - $1 + 1))); }

world=$work/world
"$program" data synth "$world" --places-train 12 --places-test 6 --distractors 2 --views 2 --size 64 --quiet >"$work/.out" 2>"$work/.err" \
    || { cat "$work/.err"; fail 'the world cannot be made'; check_done; exit 1; }
cat >"$work/tiny.ini" <<INI
[experiment]
name = tiny
[data]
root = $world
image_size = 64
workers = 2
samples_per_class = 1
[augment]
pad = 4
[model]
backbone = se_resnet18
se_layout = timm
width = 0.125
embedding = 16
[optimizer]
lr = 0.01
backbone_lr_scale = 1
[train]
epochs = 2
batch_size = 4
checkpoint_every = 1
[eval]
batch_size = 8
[log]
every = 1
INI

# tiny FOLDER OPTIONS...: trains it (12 places in steps of 4: three steps an epoch, two epochs), without the evaluation.
tiny() {
    local folder=$1
    shift
    run "$program" train "$work/tiny.ini" -o "$work/$folder" --no-eval --quiet "$@"
}

newest() { find "$work/$1/checkpoints" -name 'step-*.safetensors' 2>/dev/null | sort | tail -n 1; }
steps_of() { local name; name=$(basename "$1"); name=${name#step-}; echo $((10#${name%.safetensors})); }

# What a file's tensors are, without its metadata: the bytes behind the header.
tensors() { tail -c +$(($(od -An -tu8 -N8 "$1") + 9)) "$1"; }
same_tensors() { [ -s "$1" ] && [ -s "$2" ] && cmp <(tensors "$1") <(tensors "$2"); }

# metrics.jsonl without what a clock has measured.
losses() { sed -E 's/"(img_per_s|step_ms|data_ms|comm_ms)": [^,}]*(, )?//g' "$work/$1/metrics.jsonl"; }
same_losses() { [ -s "$work/$1/metrics.jsonl" ] && cmp <(losses "$1") <(losses "$2"); }
lines_of() { if [ -f "$work/$1/metrics.jsonl" ]; then wc -l <"$work/$1/metrics.jsonl"; else echo 0; fi; }

# start FOLDER OPTIONS...: trains in the background as $pid; what it says goes to $work/.started.
start() {
    local folder=$1
    shift
    : >"$work/.started" # not the last one's lines until this one has begun
    "$program" train "$work/tiny.ini" -o "$work/$folder" --no-eval "$@" >/dev/null 2>"$work/.started" </dev/null &
    pid=$!
}

# wait_for_steps FOLDER COUNT: until the run in the background has made so many, or has ended.
wait_for_steps() {
    while [ "$(lines_of "$1")" -lt "$2" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
}

# stop SIGNAL: ends the run in the background; as run does, its exit code in $code.
stop() {
    kill -s "$1" "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    code=$? out='' err=$(cat "$work/.started")
}
