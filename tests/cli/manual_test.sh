#!/usr/bin/env bash
# The manual page, the shells' completions and the experiment of skygem init: made from the tables, so every command, option and key must be in them, and they must work.
source "$(dirname "$0")/../check.sh"
cd "$work" || exit 1

# ---- skygem init ----
run "$program" init mine
expect_code 0
expect_err 'set data.root in it'
fails_with 3 'path/to/dataset' "$program" train mine.ini --dry-run # the one thing that must be filled in
"$program" data synth world --places-train 10 --places-test 4 --distractors 1 --views 1 --size 64 --quiet 2>/dev/null
run "$program" train mine.ini --dry-run --set data.root=world --set data.image_size=64 --set model.width=0.125
expect_code 0
sed -E 's/^;([a-z_]+ = )/\1/' mine.ini >all.ini # every key uncommented: the defaults themselves must be allowed
run "$program" info all.ini --totals --set data.root=world
expect_code 0
run "$program" info mine.ini --totals --set data.root=world
plain=$out
run "$program" info all.ini --totals --set data.root=world
if [ "$plain" = "$out" ]; then pass; else fail "uncommenting the defaults changes the model"; fi
fails_with 2 'mine.ini: is there already' "$program" init mine.ini
run "$program" init mine --force
expect_code 0
for name in a/b ../x .hidden -x 'a b'; do fails_with 2 'cannot be an experiment' "$program" init -- "$name"; done
fails_with 2 'argument 1 is empty' "$program" init -- ''

# ---- the manual page ----
run "$program" help man
expect_code 0
manual=$out
for word in 'SS skygem train' 'SS skygem data pack' 'fB\-\-dry\-run' 'backbone_lr_scale' 'EXIT STATUS'; do
    if [[ $manual == *"$word"* ]]; then pass; else fail "the manual page lacks '$word'"; fi
done
if command -v groff >/dev/null; then
    warnings=$(printf '%s\n' "$manual" | groff -man -Tutf8 -ww 2>&1 >/dev/null | grep -v 'adjust line\|break line')
    if [ -z "$warnings" ]; then pass; else fail "groff: ${warnings:0:400}"; fi
else
    skip "$0" 'groff is not installed: the manual page was not formatted'
fi

# ---- bash ----
"$program" help bash >completion.bash
expect bash -n completion.bash
# completed WORD...: what bash would offer for the last of these words.
completed() {
    bash -c 'compopt() { :; }; source ./completion.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _skygem; printf "%s " "${COMPREPLY[@]}"' - "$@"
}
is() { if [ "$2" = "$1" ]; then pass; else fail "bash offers '$2', should be '$1'"; fi; }
is 'train ' "$(completed skygem tr)"
is '--dry-run ' "$(completed skygem train --dr)"
is 'optimizer.momentum= ' "$(completed skygem train x.ini --set optimizer.mom)"
is 'pack ' "$(completed skygem data pa)"
is '--places-train --places-test ' "$(completed skygem data synth --places)"
is 'mine.ini ' "$(completed skygem train mi)"
for command in $("$program" help | sed -nE 's/^  ([a-z]+)  .*/\1/p'); do is "$command " "$(completed skygem "$command")"; done

# ---- zsh ----
"$program" help zsh >_skygem
if command -v zsh >/dev/null; then expect zsh -n _skygem
else skip "$0" 'zsh is not installed: its completion was not read'; fi
expect grep -q "'data synth') options='.*--places-train" _skygem
check_done
