/*
 * The page's style sheet. Colours are variables, chosen again for dark screens; the series' colours can be told apart by colour-blind readers on both grounds.
 */
#ifndef SKY_REPORT_PAGE_STYLE_H
#define SKY_REPORT_PAGE_STYLE_H

static const char page_style[] =
    ":root{color-scheme:light dark;--paper:#fff;--card:#f6f7f9;--ink:#1b1f24;--soft:#5c6570;--grid:#e1e4e8;--good:#1a7f37;--bad:#cf222e;"
    "--s0:#0b62c4;--s1:#c2410c;--s2:#0f7b6c;--s3:#8b2fc9;--s4:#946200;--s5:#b81d66;--s6:#4a5568;--s7:#3f7d20}\n"
    "@media(prefers-color-scheme:dark){:root{--paper:#0f1318;--card:#181d24;--ink:#e6e9ed;--soft:#9aa4af;--grid:#2b323b;--good:#4ac26b;--bad:#ff7b72;"
    "--s0:#6cb0ff;--s1:#ff9f5c;--s2:#4fd1bd;--s3:#cf9bff;--s4:#e3b341;--s5:#ff8ac0;--s6:#a9b4c2;--s7:#8fd16a}}\n"
    "*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}"
    "main{max-width:1180px;margin:0 auto;padding:20px 16px 60px}h1{font-size:24px;margin:0 0 2px;overflow-wrap:anywhere}h2{font-size:17px;margin:34px 0 10px}"
    ".sub{color:var(--soft);margin:0 0 18px;overflow-wrap:anywhere}.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px}"
    ".tile{background:var(--card);border-radius:10px;padding:12px 14px}.tile b{display:block;font-size:25px;font-weight:650;font-variant-numeric:tabular-nums}"
    ".tile span{color:var(--soft);font-size:13px}.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:14px}"
    "figure{margin:0;background:var(--card);border-radius:10px;padding:12px 12px 8px;min-width:0}figcaption{font-weight:600;font-size:14px;margin:0 0 4px 4px}"
    "svg{display:block;width:100%;height:auto}.grid{stroke:var(--grid)}.axis{stroke:var(--soft)}"
    ".tick{fill:var(--soft);font-size:12px;font-variant-numeric:tabular-nums}"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round}.bar{fill:var(--s0)}.none{color:var(--soft);margin:30px 4px}"
    ".legend{margin:4px;font-size:13px;color:var(--soft)}.legend span{margin-right:14px;white-space:nowrap}"
    ".legend i{display:inline-block;width:12px;height:3px;margin-right:6px;vertical-align:middle}"
    ".wide{overflow-x:auto}table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums}"
    "th,td{padding:5px 12px 5px 0;text-align:right;border-bottom:1px solid var(--grid);white-space:nowrap}"
    "th{color:var(--soft);font-weight:600}th.t,td.t{text-align:left}.settings td{white-space:normal;overflow-wrap:anywhere;vertical-align:top}"
    "details{background:var(--card);border-radius:10px;padding:10px 14px;margin:10px 0}"
    "summary{cursor:pointer;font-weight:600}pre{overflow-x:auto;font-size:12.5px;line-height:1.45}"
    ".sheet{display:grid;grid-template-columns:repeat(6,minmax(0,1fr));gap:8px;margin:0 0 14px;max-width:900px}.sheet figure{padding:0;background:none}"
    ".sheet img{display:block;width:100%;border-radius:6px;border:4px solid transparent}"
    ".sheet .query img{border-color:var(--soft)}.sheet .right img{border-color:var(--good)}"
    ".sheet .wrong img{border-color:var(--bad);border-style:dashed}"
    ".sheet figcaption{font-weight:400;font-size:12px;color:var(--soft);margin:2px 0 0;overflow-wrap:anywhere}";

#endif
