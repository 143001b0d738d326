#!/usr/bin/env bash
# Experiment files through the program: every error at once with file, line, key and what is allowed; includes, --set, run folders' run.ini; locales.
source "$(dirname "$0")/../check.sh"
cd "$work" || exit 1

cat >good.ini <<'I'
[include]
files = parts/small.ini
[experiment]
name = good ; a comment
[data]
image_size = 64
I
mkdir parts
printf '[model]\nbackbone = se_resnet18\nwidth = 0.25\nembedding = 32\n' >parts/small.ini
run "$program" info good.ini --totals
expect_code 0
expect_out 'se_resnet18'
plain=$out

# Decimal points, whatever the locale.
run env LANG=de_DE.UTF-8 LC_ALL=de_DE.UTF-8 LC_NUMERIC=de_DE.UTF-8 "$program" info good.ini --totals
expect_code 0
expect [ "$out" = "$plain" ]

# Line ends, byte order mark, an override that undoes one.
sed 's/$/\r/' good.ini | sed '1s/^/\xef\xbb\xbf/' >windows.ini
run "$program" info windows.ini --totals
expect_code 0
run "$program" info good.ini --totals --set model.width=0.5 --set model.width=0.25
expect_code 0
expect [ "$out" = "$plain" ]

# Everything wrong is said at once, each in its line.
cat >bad.ini <<'I'
[train]
epohs = 3
batch_size = 1
 accumulate = 2
[modle]
x = 1
[model]
pooling = gme
blocks = 3
blocks = 4
dropout =
[loss]
ce: 1
I
fails_with 2 'error: bad.ini:' "$program" info bad.ini --set optimizer.lr=0,1 --set nothing
for text in 'bad.ini:2: train.epohs: ' 'did you mean train.epochs?' 'bad.ini:3: train.batch_size: ' 'a whole number from 2' 'bad.ini:4: the line is indented' \
    'bad.ini:5: modle: ' 'did you mean [model]?' 'bad.ini:8: model.pooling: ' 'gem, avg or max; did you mean gem?' 'bad.ini:10: model.blocks: ' 'line 9' \
    'bad.ini:11: model.dropout: has no value' "bad.ini:13: write '='" '--set: optimizer.lr: ' '--set: ' "hint: 'skygem help config'"; do
    expect_err "$text"
done

# Includes: missing, in a circle, and where the chain came from.
printf '[include]\nfiles = nowhere.ini\n' >missing.ini
printf '[include]\nfiles = ../missing.ini\n' >parts/outer.ini
fails_with 2 'missing.ini:2: include.files: nowhere.ini: cannot open: No such file' "$program" info missing.ini
fails_with 2 '(itself included by parts/outer.ini:2)' "$program" info parts/outer.ini
printf '[include]\nfiles = b.ini\n' >a.ini
printf '[include]\nfiles = a.ini\n' >b.ini
fails_with 2 'includes itself' "$program" info a.ini

# Files that are not experiments.
fails_with 2 'No such file' "$program" info none.ini
printf '\xff\xfe[\0t\0' >utf16.ini
fails_with 2 'zero byte' "$program" info utf16.ini
head -c 3000 /dev/urandom >random.ini
fails_with 2 'random.ini' "$program" info random.ini
printf '\x89PNG\r\n\x1a\n' >image.ini
fails_with 2 'image.ini:1: ' "$program" info image.ini

# Rules between keys.
printf '[model]\nblocks = 3\n' >rule.ini
fails_with 2 'rule.ini:2: model.blocks: must be at least 4' "$program" info rule.ini
fails_with 2 'loss.kl: compares the two views' "$program" info good.ini --set data.sampler=unpaired
check_done
