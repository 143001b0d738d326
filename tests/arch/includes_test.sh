#!/usr/bin/env bash
# The layers (who may include whom), the libraries that only one folder may see, and what code below src/cli never does.
source "$(dirname "$0")/../check.sh"
cd "$source_dir/src" || exit 1

# Folder | the folders of ours it may include (its own is always allowed).
layers='
base|
config|base
image|base
io|base
data|base image
graph|base ops
ops|base graph
backend|base config graph ops
comm|base
model|base config graph ops io data
report|base config io image
train|base config data image io graph ops backend comm model report eval
eval|base config data image io graph ops backend comm model report
retrieve|base config data image io graph ops backend comm model report train eval
cli|base config data image io graph ops backend comm model report train eval retrieve
'
for folder in */; do
    folder=${folder%/}
    row=$(printf '%s\n' "$layers" | grep "^$folder|") || { fail "src/$folder is not in the table of layers"; continue; }
    allowed=" ${row#*|} $folder "
    while IFS=: read -r file line target; do
        top=${target%%/*}
        if [ ! -d "$top" ] || [ "$top" = skygem ]; then continue; fi
        if [[ $allowed == *" $top "* ]]; then pass; else fail "src/$file:$line: $folder may not include $target"; fi
    done < <(grep -rnoE '^ *# *include "[a-z_]+/[^"]+"' "$folder" --include='*.[ch]' --include='*.def' | sed -E 's/# *include "([^"]+)"/\1/; s/: */:/g')
done

# only WHERE PATTERN WHAT: the pattern may stand only in files that WHERE (a regular expression over paths) names.
only() {
    local found
    found=$(grep -rnE "$2" . --include='*.[ch]' | sed 's|^\./||' | grep -vE "^($1)") || true
    if [ -z "$found" ]; then pass; else fail "$3: $found"; fi
}
only 'image/' '^ *# *include <(jpeglib|png|jerror|turbojpeg|setjmp|tiff)' 'image libraries outside src/image'
only 'io/' '^ *# *include <zlib\.h>' 'zlib outside src/io'
only 'config/ini_read\.c' '^ *# *include <ini\.h>' 'libinih outside src/config/ini_read.c'
only 'backend/cpu/' '^ *# *include [<"](oneapi/|dnnl|cblas|openblas)[^_]' 'oneDNN or OpenBLAS outside src/backend/cpu'
only 'backend/cuda/|comm/nccl\.c' '^ *# *include [<"](cuda|cudnn|cublas|nccl|nvml)' 'CUDA outside src/backend/cuda and src/comm/nccl.c'
only 'comm/mpi\.c' '^ *# *include [<"]mpi\.h' 'MPI outside src/comm/mpi.c'
only 'config/' '"config/' 'the schema outside src/config (others include skygem/config.h)'
only 'cli/' '\b(getenv|setenv|putenv|secure_getenv)\b *\(' 'the environment is read below src/cli'
only 'cli/|base/signals\.c' '\b(exit|_exit|_Exit|abort|quick_exit)\b *\(' 'the process is ended below src/cli'
only 'cli/' '\b(printf|vprintf|puts|putchar|perror)\b *\(|\bf(printf|puts|putc) *\((stdout|stderr)' 'something is printed below src/cli'
only 'cli/' '\b(stdout|stderr)\b' 'a standard stream is used below src/cli'
only 'nowhere' '\bassert *\(|\bsetlocale *\(|\bstrtod *\(NULL|\b(atoi|atof|atol|gets|strtok|sprintf|system|popen) *\(' 'a function this project does not use'
only 'nowhere' 'TO''DO|FIX''ME|X''XX' 'a left-over mark'

# Every file opens with a comment that says what it is.
for file in $(find . -name '*.[ch]' -o -name '*.def'); do
    if head -c 2 "$file" | grep -q '/\*'; then pass; else fail "src/$file does not open with a comment"; fi
done
check_done
