#!/usr/bin/env bash
# report.html: written at the end of a training and by skygem report, complete in itself, with what the run's files say; looked at in headless Chromium, where it is installed, for
# overflow, broken images and messages of the console, on a phone and on a screen, light and dark.
source "$(dirname "$0")/../check.sh"
source "$(dirname "$0")/../world.sh"

run "$program" train "$work/tiny.ini" -o "$work/<b>&run" --quiet
expect_code 0
page="$work/<b>&run/report.html"
expect test -s "$page"
expect grep -q '<h1>&lt;b&gt;&amp;run</h1>' "$page" # a folder's name is no markup
expect grep -q 'R@1 drone' "$page"
expect grep -q 'GeM exponents p after step 6' "$page"
expect grep -q 'backbone = se_resnet18' "$page"
expect grep -q '&quot;skygem&quot;' "$page"
expect grep -q 'Retrievals, some queries, drone' "$page"
expect grep -q "<figure class='query'><img alt='test/query_drone/" "$page"
loss=$(tail -n 1 "$work/<b>&run/metrics.jsonl" | sed -E 's/.*"loss": ([^,]*),.*/\1/')
expect grep -q "<b>$(printf '%.4g' "$loss")</b>" "$page"
if grep -qE '(src|href)=["'"'"']?(https?:|//|file:)' "$page"; then fail 'the page asks for other files'; else pass; fi

# ---- sheets: a PNG, and pictures that are not there any more ----
run "$program" eval "$work/<b>&run" --sheet "$work/sheet.png" --quiet
expect_code 0
expect_out drone2satellite
expect test "$(od -An -tx1 -N8 "$work/sheet.png" | tr -d ' ')" = 89504e470d0a1a0a
mv "$world/test/query_drone" "$world/test/gone"
run "$program" report "$work/<b>&run" -o "$work/gone.html"
expect_code 0
expect_err 'pictures of the sheets cannot be read'
expect grep -q 'picture not there: test/query_drone/' "$work/gone.html"
mv "$world/test/gone" "$world/test/query_drone"
cp "$work/<b>&run/eval/retrievals-000000006.json" "$work/.kept"
echo '[{"direction": 3}]' >"$work/<b>&run/eval/retrievals-000000006.json"
fails_with 1 'retrieval lists' "$program" report "$work/<b>&run"
cp "$work/.kept" "$work/<b>&run/eval/retrievals-000000006.json"

tiny other --set optimizer.lr=0.02
run "$program" report "$work/<b>&run" "$work/other" -o "$work/both.html"
expect_code 0
expect_err "$work/both.html"
expect grep -q 'optimizer.lr = 0.02 (0.01)' "$work/both.html"
printf '{"step": 9, "epo' >>"$work/other/metrics.jsonl" # killed while writing
run "$program" report "$work/other"
expect_code 0
expect grep -q '1 lines of metrics.jsonl could not be read' "$work/other/report.html"
expect grep -q 'not evaluated yet' "$work/other/report.html"
mkdir "$work/empty"
cp "$work/other/run.ini" "$work/empty" # a run that has not made a step yet
run "$program" report "$work/empty"
expect_code 0
expect grep -q 'nothing yet' "$work/empty/report.html"

cp "$page" "$work/page.html"
fails_with 2 'is not a run folder' "$program" report "$world"
fails_with 1 'nowhere' "$program" report "$work/nowhere"
fails_with 2 'where should it go' "$program" report "$work/other" "$work/empty"
fails_with 1 'step-000000006.json' bash -c 'echo "[" >"$2/eval/step-000000006.json"; "$1" report "$2"' - "$program" "$work/<b>&run"

chromium=$(for c in chromium chromium-browser google-chrome; do command -v "$c" && break; done)
if [ -z "$chromium" ]; then
    skip "$0" 'Chromium is not installed: the page was not looked at'
    world_done
    exit
fi
# looked FILE WIDTH OPTIONS...: what a script at the page's end finds, as "overflow broken-images errors".
looked() {
    local file=$1 width=$2
    shift 2
    local count='var errors=0;addEventListener("error",function(){errors++},true)'
    local broken='[].filter.call(document.images,function(i){return !i.naturalWidth}).length'
    local say='addEventListener("load",function(){var d=document.documentElement;document.title="found "+Math.max(0,d.scrollWidth-innerWidth)+" "+'$broken'+" "+errors})'
    sed "s|<head>|<head><script>$count</script>|; s|</main>|</main><script>$say</script>|" "$file" >"$work/looked.html"
    HOME=$work timeout 90 "$chromium" --headless --no-sandbox --disable-gpu --window-size="$width,1000" "$@" --dump-dom "file://$work/looked.html" 2>/dev/null |
        grep -o '<title>found [^<]*'
}
for file in "$work/both.html" "$work/other/report.html" "$work/page.html"; do
    for width in 500 1400; do # Chromium's window is not narrower than 500
        if [ "$(looked "$file" $width)" = '<title>found 0 0 0' ]; then pass
        else fail "$file at $width: '$(looked "$file" $width)', should be 'found 0 0 0' (overflow, broken images, errors)"; fi
    done
done
world_done
