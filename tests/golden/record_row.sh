#!/usr/bin/env bash
# record_row.sh BUILD WORLD: makes the places that all records are of, in folder WORLD, with the program of folder BUILD.
# record_row.sh BUILD WORLD EXPERIMENT SEED FOLDER: records two training steps of a shipped experiment in FOLDER, from a start of this seed (start_row.c).
# Everything is the experiment's own but the size: a quarter of its images' side, a thin trunk, short features, four places a step; and no dropout, whose
# random numbers PyTorch does not have. AdamW's epsilon is larger: it divides a gradient by its own size, and where that is rounding, the step's sign would be too.
set -eu
build=$1 world=$2
places=6 # more than a step takes: with every place in it, the classifiers' biases would have no gradient but rounding
if [ $# -eq 2 ]; then
    "$build/skygem" data synth "$world" --places-train $places --places-test 2 --distractors 1 --views 4 --street 3 --size 128 --seed 5 --quiet
    exit
fi
experiment=$3 seed=$4 folder=$5

side=$("$build/skygem" info "$experiment" --totals 2>/dev/null | sed -n 's/^model .*, \([0-9]*\) px,.*/\1/p')
keys=(data.root="$world" data.image_size=$((side / 4)) model.width=0.03125 model.embedding=8 model.dropout=0 train.batch_size=4 train.epochs=2
    schedule.warmup_epochs=0 device.threads=1 data.workers=1 optimizer.epsilon=1e-5 experiment.seed="$seed" log.tensorboard=no)
"$build/start_row" "$experiment" "$seed" $places "$folder.safetensors" "${keys[@]}"
keys+=(model.weights="$folder.safetensors" debug.record="$folder" debug.record_steps=2)
"$build/skygem" train "$experiment" -o "$folder.run" --no-eval --quiet "${keys[@]/#/--set=}"
rm -r "$folder.run" "$folder.safetensors"
