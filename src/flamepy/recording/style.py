"""The style sheet of a report: for a screen, light or dark, narrow or wide, and for paper."""

STYLE = """
:root{--bg:#fbfbfc;--fg:#1c2330;--dim:#667085;--line:#e2e5ea;--box:#fff;--ok:#2f9e6e;--bad:#d64545;
--off:#c98a1b;--run:#3b7dd8;--wait:#c3c9d4}
@media(prefers-color-scheme:dark){:root{--bg:#12151b;--fg:#e6e9ef;--dim:#98a2b3;--line:#2a303b;
--box:#191d25;--ok:#4cc38a;--bad:#ff6b6b;--off:#f2b84b;--run:#6aa5ff;--wait:#475063}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}
main{max-width:1060px;margin:0 auto;padding:32px 24px 64px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:18px;margin:0 0 12px}
h3{font-size:15px;margin:16px 0 4px}
header p,p.legend,.card span,dt{color:var(--dim)}header p{margin:0 0 12px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;margin:0 0 20px;font-size:14px}
dd{margin:0;overflow-wrap:anywhere}
.cards{display:flex;flex-wrap:wrap;gap:12px;margin:0 0 12px}
.card{background:var(--box);border:1px solid var(--line);border-radius:10px;padding:12px 18px;
min-width:128px}
.card b{display:block;font-size:24px;font-variant-numeric:tabular-nums}.card span{font-size:13px}
.card.ok b{color:var(--ok)}.card.bad b{color:var(--bad)}
section{background:var(--box);border:1px solid var(--line);border-radius:10px;padding:18px 20px;
margin:16px 0;overflow-x:auto}
svg{display:block;width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:var(--dim)}
rect.ok{fill:var(--ok)}rect.bad{fill:var(--bad)}rect.off{fill:var(--off)}rect.run{fill:var(--run)}
rect.wait{fill:var(--wait)}rect.away{fill:var(--bad);opacity:.12}
.line{fill:none;stroke:var(--fg);stroke-width:1.4;opacity:.75}i.line{background:var(--fg)}
.axis{stroke:var(--line)}
i{display:inline-block;width:10px;height:10px;border-radius:2px;margin:0 5px 0 12px}
i:first-child{margin-left:0}i.ok{background:var(--ok)}i.bad{background:var(--bad)}
i.off{background:var(--off)}i.run{background:var(--run)}p.legend{font-size:13px;margin:0 0 8px}
table{border-collapse:collapse;width:100%;font-size:14px}
th{text-align:left;color:var(--dim);font-weight:500;white-space:nowrap}
th,td{padding:5px 12px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}
th.n{text-align:right}
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.t{overflow-wrap:anywhere;white-space:pre-wrap;unicode-bidi:isolate}
td.ok{color:var(--ok)}td.bad{color:var(--bad)}td.off{color:var(--off)}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(270px,1fr));gap:8px 28px}
table.histogram td{border:0;padding:1px 12px 1px 0}
td.bar{width:55%}td.bar svg{height:12px}p.fine{color:var(--ok)}
@media(max-width:560px){main{padding:16px 12px}.card{min-width:104px;padding:10px 12px}}
@media print{:root{--bg:#fff;--fg:#000;--dim:#444;--line:#bbb;--box:#fff;--ok:#2f9e6e;--bad:#c02b2b;
--off:#a86f0f;--run:#2b62b3;--wait:#aaa}
body{font-size:11px}main{max-width:none;padding:0}
section{break-inside:auto;border-radius:0;padding:8px 0;
border-width:1px 0 0}svg,tr,.card{break-inside:avoid}*{print-color-adjust:exact;
-webkit-print-color-adjust:exact}}
"""
