#!/usr/bin/env bash
# cmake --install: what it gives, that it may be moved, and that other projects can build on it by find_package and by pkg-config. Public headers
# compile alone as C11 and as C++.
source "$(dirname "$0")/../check.sh"

run cmake --install "$build" --prefix "$work/first"
expect_code 0
mv "$work/first" "$work/moved" && prefix=$work/moved
expect [ -x "$prefix/bin/skygem" ]
expect [ -f "$prefix/share/doc/skygem/LICENSE" ]
expect [ -s "$prefix/share/man/man1/skygem.1" ]
expect [ -s "$prefix/share/bash-completion/completions/skygem" ]
expect [ -s "$prefix/share/zsh/site-functions/_skygem" ]
run "$prefix/bin/skygem" --version
expect_code 0

cc=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
sanitize=$(sed -n 's/^SKY_SANITIZE:[A-Z]*=//p' "$build/CMakeCache.txt")
flags=${sanitize:+-fsanitize=$sanitize}
for header in "$prefix"/include/skygem/*.h; do
    printf '#include <skygem/%s>\n' "$(basename "$header")" >"$work/one.c"
    run "$cc" -std=c11 -pedantic -Wall -Wextra -Werror -I"$prefix/include" -fsyntax-only "$work/one.c"
    expect_code 0
    if command -v g++ >/dev/null; then
        run g++ -std=c++11 -pedantic -Wall -Wextra -Werror -I"$prefix/include" -fsyntax-only -x c++ "$work/one.c"
        expect_code 0
    else
        skip "C++ $(basename "$header")" 'there is no g++'
    fi
done

mkdir "$work/consumer"
cat >"$work/consumer/main.c" <<'C'
#include <skygem/skygem.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    struct sky_config config = {0};
    struct sky_trainer *trainer = NULL; /* never opened, but everything behind it is linked */
    if (sky_config_read(&config, NULL, NULL, 0) != SKY_OK) return 1;
    if (argc > 2 && sky_trainer_open(&trainer, &config, argv[1], false) == SKY_OK) sky_trainer_close(trainer);
    printf("%s %lld\n", config.model.backbone, (long long)config.data.image_size);
    sky_config_free(&config);
    return 0;
}
C
cat >"$work/consumer/CMakeLists.txt" <<'C'
cmake_minimum_required(VERSION 3.25)
project(consumer C)
find_package(skygem REQUIRED)
add_executable(consumer main.c)
target_link_libraries(consumer PRIVATE skygem::skygem)
C
run cmake -S "$work/consumer" -B "$work/consumer/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc"
expect_code 0
run cmake --build "$work/consumer/build"
expect_code 0
run "$work/consumer/build/consumer"
expect_code 0; expect_out 'se_resnet50 256'

pc=$(dirname "$(find "$prefix" -name skygem.pc)") lib=$(dirname "$(find "$prefix" -name "libskygem.*" | head -n 1)")
# shellcheck disable=SC2046 # the flags are words
run "$cc" "$work/consumer/main.c" -o "$work/by_pc" $flags $(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs skygem)
expect_code 0
LD_LIBRARY_PATH=$lib run "$work/by_pc"
expect_code 0; expect_out 'se_resnet50 256'
check_done
