#!/usr/bin/env bash
# Installs with apt what skygem needs to build (and, with --tests, what its tests use besides). Asks nothing, installs only what is missing, and does
# nothing at all when everything is there, so it may be called as often as one likes.
set -euo pipefail

usage() { printf 'usage: %s [--tests]\n' "$0"; }
fail() { printf 'error: %s\nhint: %s\n' "$1" "$2" >&2; exit 1; }

# Command or file that shows that it is there | Debian's package. libjpeg-dev is libjpeg-turbo on Debian and Ubuntu alike.
needed=(
    'command:gcc|gcc' 'header:stdio.h|libc6-dev' 'command:cmake|cmake' 'command:ninja|ninja-build' 'command:pkg-config|pkg-config'
    'header:jpeglib.h|libjpeg-dev' 'header:png.h|libpng-dev' 'header:zlib.h|zlib1g-dev' 'header:ini.h|libinih-dev' 'header:oneapi/dnnl/dnnl.h|libdnnl-dev'
    'command:mpicc|libopenmpi-dev' 'command:mpirun|openmpi-bin'
)
wanted=('header:tiffio.h|libtiff-dev') # skygem is built without them where they cannot be had
for_tests=(
    'command:g++|g++' 'command:clang|clang' 'file:/usr/lib/llvm-*/lib/libomp.so|libomp-dev' 'file:/usr/share/i18n/locales/de_DE|locales'
)

case "${1-}" in
    '') ;;
    --tests) needed+=("${for_tests[@]}") ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
esac

is_there() {
    local kind=${1%%:*} what=${1#*:}
    case $kind in
        command) command -v "$what" >/dev/null ;;
        header) compgen -G "/usr/include/$what" || compgen -G "/usr/include/*-linux-gnu/$what" || compgen -G "/usr/local/include/$what" ;;
        file) compgen -G "$what" ;;
    esac
}

missing=() missing_wanted=() as_root=()
for row in "${needed[@]}"; do
    is_there "${row%|*}" >/dev/null || missing+=("${row#*|}")
done
for row in "${wanted[@]}"; do
    is_there "${row%|*}" >/dev/null || missing_wanted+=("${row#*|}")
done
[ "$(id -u)" -eq 0 ] || as_root=(sudo)

update() { "${as_root[@]}" apt-get update -qq || printf 'warning: apt-get update failed; going on with the lists that are here\n' >&2; }
install() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; }

if [ ${#missing[@]} -gt 0 ]; then
    printf 'installing: %s\n' "${missing[*]}"
    command -v apt-get >/dev/null ||
        fail "there is no apt-get here, and these are missing: ${missing[*]}" 'install them by other means; third_party/README.md tells what each is'
    [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null || fail "these are missing: ${missing[*]}" "run as root: apt-get install ${missing[*]}"
    update
    install "${missing[@]}" || fail "apt-get could not install: ${missing[*]}" 'read its message above; without a network, install them beforehand'
fi
if [ ${#missing_wanted[@]} -gt 0 ]; then
    printf 'installing, if they can be had: %s\n' "${missing_wanted[*]}"
    { command -v apt-get >/dev/null && { [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null; } && { [ ${#missing[@]} -gt 0 ] || update; } && install "${missing_wanted[@]}"; } ||
        printf 'warning: going on without %s; third_party/README.md tells what it is for\n' "${missing_wanted[*]}" >&2
fi

cmake_version=$(cmake --version | sed -n 's/^cmake version \([0-9.]*\).*/\1/p')
[ "$(printf '%s\n' 3.25 "$cmake_version" | sort -V | head -n 1)" = 3.25 ] ||
    fail "cmake $cmake_version is older than 3.25" 'Debian 12 and Ubuntu 24.04 have newer ones'
