#!/usr/bin/env bash
# The shipped experiments: each one's parameters and multiply-adds are those of the committed table, the other systems train, and skygem table puts runs beside a paper's numbers.
source "$(dirname "$0")/../check.sh"
experiments=$source_dir/experiments

# ---- parameters and multiply-adds of every experiment on University-1652's 701 places ----
# costs: one line a file: name, parameters, GMAC an image forward.
costs() {
    local file
    for file in "$experiments"/{paper,table2,table3,baselines}/*.ini; do
        [ -f "$file" ] || continue
        "$program" info "$file" --totals 2>/dev/null |
            awk -v name="${file#"$experiments"/}" '/^parameters/ {p = $2} /^multiply-adds/ {m = $2} END {printf "%-36s %10s %8s\n", name, p, m}'
    done
}
costs >"$work/costs"
if diff "$source_dir/experiments/costs.txt" "$work/costs" >"$work/difference"; then pass
else fail "experiments/costs.txt differs (to renew it, copy $work/costs there): $(cat "$work/difference")"; fi

# ---- a small tree for what follows (info_test.sh has the dry runs) ----
"$program" data synth "$work/world" --places-train 10 --places-test 4 --distractors 1 --views 1 --street 1 --size 64 --quiet
# ---- the other systems really train: two steps at reduced width, with the losses that their names promise ----
for file in "$experiments"/baselines/*.ini; do
    name=$(basename "$file" .ini)
    run "$program" train "$file" -o "$work/run-$name" --no-eval --quiet --set data.root="$work/world" --set data.image_size=64 --set model.width=0.125 --set model.embedding=16 \
        --set train.batch_size=4 --set train.epochs=1 --set schedule.warmup_epochs=0
    expect_code 0
    trained=$(wc -l <"$work/run-$name/metrics.jsonl")
    [ "$trained" = 2 ] && pass || fail "$name: $trained steps, not 2"
    case $name in
    contrastive | triplet | soft_margin | info_nce)
        [ "$(grep -cE "\"loss_$name\": [0-9.]*[1-9]" "$work/run-$name/metrics.jsonl")" = 2 ] && pass || fail "$name: its loss is not in metrics.jsonl"
        [ "$(grep -c '"loss_ce": 0, ' "$work/run-$name/metrics.jsonl")" = 2 ] && pass || fail "$name: something is classified"
        ;;
    *) ! grep -qE 'loss_(contrastive|triplet|soft_margin|info_nce)' "$work/run-$name/metrics.jsonl" && pass || fail "$name: has a loss on pairs" ;;
    esac
done

# Where a step has more places than the losses on pairs compare, train says so, once. Ranks compare all of theirs.
small=(-o "$work/run-pairs" --no-eval --quiet --set data.root="$work/world" --set data.image_size=64 --set model.width=0.125 --set model.embedding=16
    --set train.batch_size=4 --set train.epochs=1 --set schedule.warmup_epochs=0)
run "$program" launch -n 2 "$program" train "$experiments/baselines/info_nce.ini" "${small[@]}"
expect_code 0
expect [ "$(grep -c 'losses on pairs' "$work/.err")" = 0 ]
run "$program" launch -n 2 "$program" train "$experiments/baselines/info_nce.ini" "${small[@]/run-pairs/run-parts}" --set train.accumulate=2 --set train.batch_size=2
expect_code 0
expect [ "$(grep -c 'compare 4 places at a time, not the 8 of a step' "$work/.err")" = 1 ]
run "$program" train "$experiments/baselines/lpn.ini" "${small[@]/run-pairs/run-classes}" --set train.accumulate=2
expect_code 0
expect [ "$(grep -c 'losses on pairs' "$work/.err")" = 0 ]

# ---- run_table.sh: finished rows stay as they are, broken-off ones go on, and a mistake is said before anything is trained ----
kit=$work/kit
mkdir -p "$kit/build" "$kit/experiments/two"
ln -s "$program" "$kit/build/skygem"
cp "$experiments/run_table.sh" "$kit/experiments"
for row in first second; do
    printf '[model]\nbackbone = resnet18\nwidth = 0.125\nembedding = 16\n[data]\nimage_size = 64\n[train]\nepochs = 1\nbatch_size = 4\n' >"$kit/experiments/two/$row.ini"
done
printf 'row,method,drone2satellite_r1,drone2satellite_ap,satellite2drone_r1,satellite2drone_ap\nfirst,First,1,2,3,4\nsecond,Second,1,2,3,4\n' >"$kit/experiments/two/paper.csv"
rows() { run bash "$kit/experiments/run_table.sh" "$kit/experiments/two" "$work/world" --runs "$work/rows" "$@"; }
refused() { # TEXT OPTION...
    local text=$1
    shift
    rows "$@"
    [ "$code" = 2 ] && [[ $err == *"error: "*"$text"* ]] && [ ! -e "$work/rows" ] && pass || fail "$*: code $code, should be 2 with '$text' and no run: ${err:0:600}"
}
refused '--seeds: needs a value' --seeds
refused "'x' is not a whole number" --seeds '1 x'
refused 'has no third.ini' --rows 'first third'
refused 'there is no such weights file' --resnet-weights "$work/absent.pth"
echo 'epoch = 1' >>"$kit/experiments/two/second.ini"
refused 'second.ini:10: train.epoch' # though the first is sound
sed -i '$d' "$kit/experiments/two/second.ini"
mkdir -p "$work/rows/first/seed-1/checkpoints"
touch "$work/rows/first/seed-1/checkpoints/step-000000002.safetensors.tmp-1" # killed while its first checkpoint was written
rows
expect_code 0
expect [ "$(grep -c 'scores written to' <<<"$err")" = 2 ]
rm "$work/rows/second/seed-1/eval"/step-*.json # killed before its scores
rows
expect_code 0
expect_err "$work/rows/first/seed-1: trained and scored already"
expect_err "scores written to $work/rows/second/seed-1/"
expect [ "$(grep -c 'scores written to' <<<"$err")" = 1 ]

mkdir -p "$kit/experiments/table3" "$kit/runs/table3-small/world"
cp "$experiments"/table3/* "$kit/experiments/table3"
run bash "$kit/experiments/table3/small.sh" --seeds x # options alone: no folder of that name
expect_code 2
expect_err "--seeds: 'x' is not a whole number"

# ---- skygem table on runs made up from numbers ----
mkdir -p "$work/table"
cp "$experiments/table3/resnet50-avg.ini" "$work/table/a.ini"
cp "$experiments/table3/resnet50-gem.ini" "$work/table/b.ini"
sed -i "s|../../configs|$source_dir/configs|g" "$work/table"/*.ini
cat >"$work/table/paper.csv" <<'CSV'
# A remark.
row,method,drone2satellite_r1,drone2satellite_ap,satellite2drone_r1,satellite2drone_ap
a,First,50,60,70,80
b,Second,1,2,3,4
CSV
# made FOLDER ROW R1: a finished run of one step whose scores are R1, R1+1, R1+2, R1+3.
made() {
    mkdir -p "$1/eval"
    cat >"$1/run.ini" <<INI
[include]
files = $work/table/$2.ini
[train]
epochs = 1
INI
    echo '{"step": 6, "epoch": 0}' >"$1/metrics.jsonl"
    printf '[{"flip": false, "direction": "drone2satellite", "protocol": "full", "r1": 9, "ap": 9},
        {"flip": true, "direction": "drone2satellite", "protocol": "full", "r1": %s, "ap": %s},
        {"flip": true, "direction": "drone2satellite", "protocol": "no-distractors", "r1": 1, "ap": 1},
        {"flip": true, "direction": "satellite2drone", "protocol": "full", "r1": %s, "ap": %s}]\n' \
        "$3" "$(($3 + 1))" "$(($3 + 2))" "$(($3 + 3))" >"$1/eval/step-000000007.json"
}
made "$work/runs/a/seed-1" a 40
made "$work/runs/a/seed-2" a 44
run "$program" table "$work/table" --runs "$work/runs"
expect_code 0
expect_out 'A remark.'
expect_out 'First                             2 |  50.00  42.00 +-2.83   -8.00 |  60.00  43.00 +-2.83  -17.00 |  70.00  44.00 +-2.83  -26.00 |  80.00  45.00 +-2.83  -35.00'
expect_out 'Second                            0 |   1.00             -'
made "$work/runs/b" b 7 # a row may be one run
echo '{"step": 5, "epoch": 0}' >"$work/runs/a/seed-2/metrics.jsonl" # scores of a step that the run went on from
run "$program" table "$work/table" --runs "$work/runs"
expect_out 'First                             1 |  50.00         40.00  -10.00'
expect_out 'Second                            1 |   1.00          7.00   +6.00'
expect_out 'a: 1 run without final scores, not counted'
made "$work/runs/a/seed-2" b 44
run "$program" table "$work/table" --runs "$work/runs"
expect_out 'a: RUNS OF DIFFERENT SETTINGS ARE AVERAGED: model.pooling = gem (avg)'
run "$program" table "$work/table" --runs "$work/runs" --json
expect_code 0
expect_out '"mean": {"drone2satellite_r1": 42, '
made "$work/runs/b" a 7
run "$program" table "$work/table" --runs "$work/runs"
expect_out "b: not the table's experiment: model.pooling = avg (gem)"

fails_with 2 'is not a folder' "$program" table "$work/table" --runs "$work/nowhere"
fails_with 1 'paper.csv' "$program" table "$work"
echo '{"r1": 1' >"$work/runs/b/eval/step-000000007.json"
fails_with 1 'step-000000007.json' "$program" table "$work/table" --runs "$work/runs"
echo '[]' >"$work/runs/b/eval/step-000000007.json"
fails_with 1 'is not a list of scores' "$program" table "$work/table" --runs "$work/runs"
expect_err "hint: remove this file; 'skygem train $work/runs/b --resume'"
echo '[{"direction": "drone2satellite", "protocol": "full", "flip": true, "r1": 3}]' >"$work/runs/b/eval/step-000000007.json"
fails_with 3 'has no r1 and ap of drone2satellite' "$program" table "$work/table" --runs "$work/runs"
echo 'a,First,50,60,70' >>"$work/table/paper.csv"
fails_with 3 'paper.csv:5' "$program" table "$work/table" --runs "$work/runs"
sed -i '2s/row,/rows,/' "$work/table/paper.csv"
fails_with 3 'paper.csv:2' "$program" table "$work/table" --runs "$work/runs"
check_done
