#!/usr/bin/env bash
# The examples of experiments/locate against an installed library: C through pkg-config, Python through ctypes on a shared library linked from the installed
# one; both say what skygem locate says.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"
tiny run
expect_code 0
tiles=$world/test/gallery_satellite examples=$source_dir/experiments/locate
(cd "$tiles" && i=0 && for tile in */*; do echo "$tile,47.$i,8.5"; i=$((i + 1)); done) >"$work/tiles.csv"
run "$program" index --weights "$(newest run)" -o "$work/index" "$tiles" --geo "$work/tiles.csv" --quiet
expect_code 0
photo=$(find "$world/test/query_drone" -name '*.jp*' | sort | head -n 1)
# The three lines "similarity lat lon path" of the program's own answer.
run "$program" locate "$work/index" "$photo" -k 3 --quiet
expect_code 0
want=$(sed -n 's/^ *[0-9]  \([0-9.-]*\)  \([0-9.]*\), \([0-9.]*\)  /\1 \2 \3 /p' <<<"$out")
expect [ "$(wc -l <<<"$want")" -eq 3 ]
margin=$(sed -n 's/.*: margin \([0-9.]*\) to the next place.*/\1/p' <<<"$out")

run cmake --install "$build" --prefix "$work/prefix"
expect_code 0
cc=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
sanitize=$(sed -n 's/^SKY_SANITIZE:[A-Z]*=//p' "$build/CMakeCache.txt")
pc=$(dirname "$(find "$work/prefix" -name skygem.pc)") lib=$(dirname "$(find "$work/prefix" -name "libskygem.*" | head -n 1)")
flags=$(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs skygem)
# shellcheck disable=SC2086 # the flags are words
run "$cc" -std=c11 -Wall -Wextra -Werror "$examples/locate.c" -o "$work/locate" $flags ${sanitize:+-fsanitize=$sanitize}
expect_code 0
LD_LIBRARY_PATH=$lib run "$work/locate" "$work/index" "$photo"
expect_code 0; expect [ "$(head -n 3 <<<"$out")" = "$want" ]; expect_out "margin $margin, confidence nan"
LD_LIBRARY_PATH=$lib run "$work/locate" "$work/none" "$photo"
expect_code 2; expect_err 'there is no such index'
expect [ "$(wc -l <"$examples/locate.c")" -le 48 ]

if ! command -v python3 >/dev/null; then
    skip 'the Python example' 'there is no python3'
elif [ -n "$sanitize" ]; then
    skip 'the Python example' 'python3 does not load a sanitized library'
else
    shared=$(find "$lib" -name 'libskygem.so' | head -n 1)
    if [ -z "$shared" ]; then
        shared=$work/libskygem.so
        # shellcheck disable=SC2086
        run "$cc" -shared -o "$shared" -Wl,--whole-archive "$lib/libskygem.a" -Wl,--no-whole-archive $flags
        expect_code 0
    fi
    # a camera's buffer
    if python3 -c 'import PIL' 2>/dev/null; then
        run python3 -c 'import sys; from PIL import Image; Image.open(sys.argv[1]).convert("RGB").save(sys.argv[2])' "$photo" "$work/photo.ppm"
        expect_code 0
        run python3 "$examples/locate.py" "$shared" "$work/index" "$work/photo.ppm"
        expect_code 0; expect [ "$(head -n 3 <<<"$out")" = "$want" ]; expect_out "margin $margin, confidence nan"
    else
        skip 'the same answer from Python' 'there is no Pillow to make a PPM of the photo'
    fi
    { printf 'P6\n8 6\n255\n'; head -c 144 "$photo"; } >"$work/some.ppm"
    run python3 "$examples/locate.py" "$shared" "$work/index" "$work/some.ppm"
    expect_code 0; expect [ "$(wc -l <<<"$out")" -eq 4 ]
    run python3 "$examples/locate.py" "$shared" "$work/none" "$work/some.ppm"
    expect_code 1; expect_err 'there is no such index'
fi
world_done
