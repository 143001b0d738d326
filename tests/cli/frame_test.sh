#!/usr/bin/env bash
# The program without any work: help, version, unknown commands and options, streams and exit codes, and the experiment keys' help.
source "$(dirname "$0")/../check.sh"

version=$(sed -n 's/.*define SKYGEM_VERSION "\(.*\)"/\1/p' "$source_dir/include/skygem/skygem.h")
for word in --version -V version; do
    run "$program" $word
    expect_code 0; expect_quiet; expect [ "$out" = "skygem $version" ]
done
for word in --help -h help; do
    run "$program" $word
    expect_code 0; expect_quiet; expect_out 'Commands:'; expect_out 'Exit codes:'
done
run "$program"
expect_code 2; expect_err 'Usage: skygem COMMAND'; expect [ -z "$out" ]

fails_with 2 "there is no 'docter'" "$program" docter
expect_err 'did you mean doctor?'
fails_with 2 "there is no 'zzzzzzz'" "$program" zzzzzzz
expect_err "hint: 'skygem help'"
fails_with 2 "there is no 'nonsense'" "$program" help nonsense
fails_with 2 "takes a command's name" "$program" help a b c
fails_with 2 "prints every key" "$program" help config train.epochs
fails_with 2 "argument 1 is empty" "$program" eval ''
fails_with 2 "--output needs a value (DIR) and is given an empty one" "$program" train experiment.ini -o ''

# Every command in the overview answers --help and 'help COMMAND' alike, with its options, and refuses what it does not know.
commands=$("$program" help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' | grep -vE '^(help|version)$')
expect [ -n "$commands" ]
for command in $commands; do
    run "$program" "$command" --help
    expect_code 0; expect_quiet; expect_out "Usage: skygem $command"
    first=$out
    run "$program" help "$command"
    expect_code 0; expect [ "$out" = "$first" ]
    inner=$(printf '%s\n' "$first" | sed -n '/^Commands:/,$s/^  \([a-z]*\) .*/\1/p')
    for word in ${inner:-.}; do
        [ "$word" = . ] && word=
        run "$program" "$command" $word --help
        expect_code 0; expect_out '--help'; expect_out 'Options:'
        fails_with 2 'unknown option --no-such-option' "$program" "$command" $word --no-such-option
        fails_with 2 'did you mean --quiet?' "$program" "$command" $word --quit
    done
done

# Results that cannot be written are a failure.
if [ -w /dev/full ]; then
    "$program" help >/dev/full 2>"$work/err"; code=$? err=$(cat "$work/err")
    expect_code 1; expect_err 'stdout: cannot write'
fi

run "$program" help config
expect_code 0; expect_quiet
for section in include experiment data augment model loss optimizer schedule train eval device log debug; do expect_out "[$section]"; done
expect_out 'learning rate of the heads'
check_done
