#!/usr/bin/env bash
# skygem score: the worked examples of the field reference on .npy files of single bytes, the JSON, and every wrong input with its message and exit code.
source "$(dirname "$0")/../check.sh"
cd "$work" || exit 1

# npy FILE TYPE SHAPE DATA: DATA in printf's escapes.
npy() {
    local header="{'descr': '$2', 'fortran_order': False, 'shape': ($3), }"
    printf -v header '%-117s\n' "$header"
    printf '\x93NUMPY\x01\x00\x76\x00%s' "$header" >"$1"
    printf "$4" >>"$1"
}

# Gallery row j is the unit vector j times 100, so query values are scores: 70 90 20 50 30 and 40 35 80 60 10.
unit='\x64\x00\x00\x00\x00\x00\x64\x00\x00\x00\x00\x00\x64\x00\x00\x00\x00\x00\x64\x00\x00\x00\x00\x00\x64'
npy q.npy '|i1' '2, 5' '\x46\x5a\x14\x32\x1e\x28\x23\x50\x3c\x0a'
npy ql.npy '|i1' '2,' '\x01\x02'
npy g.npy '|i1' '5, 5' "$unit"
npy gl.npy '|i1' '5,' '\x01\x02\x01\x03\x02'
npy junk.npy '|i1' '5,' '\x01\x02\x01\xff\x02'
npy other.npy '|i1' '2,' '\x01\x09'

# with OPTION FILE ...: the four files with some of them replaced, in $files.
with() {
    local -A file=([query]=q.npy [query-labels]=ql.npy [gallery]=g.npy [gallery-labels]=gl.npy)
    while [ $# -gt 0 ]; do file[$1]=$2; shift 2; done
    files=(--query "${file[query]}" --query-labels "${file[query-labels]}" --gallery "${file[gallery]}" --gallery-labels "${file[gallery-labels]}")
}
with

run "$program" score "${files[@]}" --protocol full --json
expect_code 0
expect_out '{"direction": "query2gallery", "protocol": "full", "queries": 2, "gallery": 5, "distractors": 1, "junk": 0, "queries_without_match": 0, "tied_queries": 0, '\
'"r1": 0, "r5": 100, "r10": 100, "r1pct": 0, "ap": 25.62'
run "$program" score "${files[@]}" --json
expect_code 0
expect_out '[{"direction": "query2gallery", "protocol": "full"'
expect_out '{"direction": "query2gallery", "protocol": "no-distractors", "queries": 2, "gallery": 4, "distractors": 1, "junk": 0, '
expect_out '"ap": 31.25'
with gallery-labels junk.npy
run "$program" score "${files[@]}" --protocol=full --threads 2 --json
expect_code 0
expect_out '"gallery": 4, "distractors": 0, "junk": 1, '
expect_out '"ap": 31.25'
with query-labels other.npy
run "$program" score "${files[@]}"
expect_code 0
expect_out 'full                   2        5    0.00   50.00   50.00    0.00   14.37'
expect_err '1 queries have no right row'
with
run "$program" score "${files[@]}" --quiet
expect_code 0
expect_quiet
expect_out 'no-distractors         2        4    0.00  100.00  100.00    0.00   31.25'

fails_with 2 '--query is missing' "$program" score
fails_with 2 '--gallery-labels is missing' "$program" score "${files[@]:0:6}"
fails_with 2 'no-distractors' "$program" score "${files[@]}" --protocol s4g
fails_with 2 '--threads' "$program" score "${files[@]}" --threads -1
with gallery absent.npy
fails_with 3 'there is no such file' "$program" score "${files[@]}"
with gallery .
fails_with 3 'is a folder' "$program" score "${files[@]}"
with query-labels gl.npy
fails_with 3 'gl.npy: has 5 labels for the 2 rows of q.npy' "$program" score "${files[@]}"
npy narrow.npy '|i1' '5, 4' "${unit:0:80}"
with gallery narrow.npy
fails_with 3 'gallery features have 4 dimensions, query features 5' "$program" score "${files[@]}"
npy nan.npy '<f4' '2, 5' "$(printf '\\x00%.0s' {1..28})"'\x00\x00\xc0\x7f\x00\x00\x00\x00\x00\x00\x00\x00'
with query nan.npy
fails_with 3 'nan.npy: query features: row 1, column 2 is NaN' "$program" score "${files[@]}"
npy inf.npy '<f2' '2, 5' '\x00\x00\x00\xfc'"$(printf '\\x00%.0s' {1..16})"
with query inf.npy
fails_with 3 'inf.npy: query features: row 0, column 1 is Inf' "$program" score "${files[@]}"
head -c 150 g.npy >short.npy
with gallery short.npy
fails_with 3 'short.npy: has 22 bytes of data, its shape and type need 25' "$program" score "${files[@]}"
printf '<html>' >page.npy
with gallery page.npy
fails_with 3 'not a .npy file' "$program" score "${files[@]}"
npy none.npy '|i1' '0, 5' ''
npy nonel.npy '|i1' '0,' ''
with gallery none.npy gallery-labels nonel.npy
fails_with 3 'no gallery features' "$program" score "${files[@]}"
check_done
