"""The look of the report: one style sheet, light and dark, without a file or font from elsewhere."""

CSS = """
:root { color-scheme: light dark; --paper: #fbfaf8; --card: #ffffff; --ink: #1d1d22; --soft: #6d6d78; --hair: #e6e4df; --accent: #d9541e;
  --accent-soft: #f6d3c2; --blue: #2f80ed; --good: #1f8a5b; --bad: #c2364b; --good-soft: #e2f3ea; --bad-soft: #fae3e6; }
@media (prefers-color-scheme: dark) { :root { --paper: #131316; --card: #1c1c21; --ink: #ececf0; --soft: #9a9aa6; --hair: #2e2e36;
  --accent: #ff8552; --accent-soft: #5a3122; --blue: #6aa9ff; --good: #58c795; --bad: #ff7d8f; --good-soft: #1d3329; --bad-soft: #3b2026; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 ui-sans-serif, system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  font-feature-settings: "tnum"; -webkit-font-smoothing: antialiased; }
main { max-width: 1080px; margin: 0 auto; padding: 72px 28px 96px; }
.over { color: var(--accent); font-size: 13px; font-weight: 600; letter-spacing: .09em; text-transform: uppercase; margin: 0 0 10px; }
h1 { font-size: 44px; line-height: 1.1; letter-spacing: -.025em; font-weight: 680; margin: 0 0 14px; }
.lead { font-size: 18px; color: var(--soft); max-width: 46em; margin: 0; }
h2 { font-size: 24px; letter-spacing: -.015em; margin: 72px 0 4px; font-weight: 650; }
h2 + p { color: var(--soft); margin: 0 0 18px; max-width: 46em; }
code { font: 13.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.heads { display: grid; grid-template-columns: repeat(auto-fit, minmax(220px, 1fr)); gap: 16px; margin: 44px 0 0; }
.head { background: var(--card); border: 1px solid var(--hair); border-radius: 16px; padding: 20px 22px 18px; }
.head .name { font-size: 13.5px; color: var(--soft); min-height: 2.9em; line-height: 1.4; }
.head .big { font-size: 40px; line-height: 1.1; font-weight: 660; letter-spacing: -.03em; margin: 6px 0 2px; }
.head .big small { font-size: 17px; font-weight: 500; color: var(--soft); letter-spacing: 0; margin-left: 3px; }
.head .range { font-size: 13px; color: var(--soft); }
.wide { overflow-x: auto; }
table.rows { width: 100%; min-width: 980px; table-layout: fixed; border-collapse: collapse; font-size: 14.5px; }
.rows th { text-align: right; font-weight: 500; color: var(--soft); font-size: 12.5px; padding: 8px 8px; border-bottom: 1px solid var(--hair); white-space: nowrap; }
.rows th:first-child, .rows td:first-child { text-align: left; padding-left: 0; }
.rows td { text-align: right; padding: 7px 8px; border-bottom: 1px solid var(--hair); white-space: nowrap; }
.rows td.plot { padding: 3px 6px; }
.rows td small { font-size: 11px; } .rows td:has(small) { line-height: 1.15; }
.rows td:first-child { white-space: normal; line-height: 1.3; }
.rows td.value { font-weight: 650; font-size: 15.5px; }
.rows td.quiet { color: var(--soft); }
.met { color: var(--good); } .unmet { color: var(--bad); }
svg.line { display: block; width: 100%; height: 26px; overflow: visible; }
.rail { stroke: var(--hair); stroke-width: 2; } .grid { stroke: var(--hair); } .whisker { stroke: var(--accent); stroke-width: 3.5; stroke-linecap: round; opacity: .45; }
circle.value { fill: var(--accent); } circle.prior { fill: var(--card); stroke: var(--soft); stroke-width: 1.6; }
circle.ceiling { fill: none; stroke: var(--blue); stroke-width: 1.8; } .majority { stroke: var(--soft); stroke-width: 1.8; } .aim { fill: var(--soft); }
.legend { display: flex; flex-wrap: wrap; gap: 6px 22px; color: var(--soft); font-size: 13px; margin: 30px 0 0; align-items: center; }
.legend span { display: inline-flex; align-items: center; gap: 7px; } .legend svg { width: 22px; height: 14px; overflow: visible; }
.cards { display: grid; gap: 18px; margin-top: 22px; }
.card { background: var(--card); border: 1px solid var(--hair); border-radius: 16px; padding: 18px 20px; }
.card .prompt { font-size: 15px; margin: 0 0 12px; } .card .prompt b { color: var(--accent); font-weight: 600; }
.tiles { display: flex; flex-wrap: wrap; gap: 14px; }
figure { margin: 0; width: 144px; } figure img { width: 144px; height: 144px; border-radius: 10px; display: block; image-rendering: auto; background: var(--hair); }
figure.small, figure.small img { width: 104px; height: auto; }
figcaption { font-size: 12px; line-height: 1.35; color: var(--soft); margin-top: 6px; }
.chips { display: flex; flex-wrap: wrap; gap: 3px; margin-top: 5px; }
.chip { font-size: 10.5px; line-height: 1; padding: 3.5px 6px; border-radius: 99px; white-space: nowrap; }
.chip.yes { color: var(--good); background: var(--good-soft); } .chip.no { color: var(--bad); background: var(--bad-soft); }
table.matrix { border-collapse: separate; border-spacing: 4px; font-size: 14px; margin-top: 18px; }
.matrix th { font-weight: 500; color: var(--soft); padding: 4px 12px; text-align: center; } .matrix tbody th { text-align: right; }
.matrix td { width: 104px; height: 58px; text-align: center; border-radius: 10px; font-size: 17px; font-weight: 600;
  background: color-mix(in srgb, var(--accent) calc(var(--share) * 100%), var(--card)); } .matrix td.dark { color: #fff; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 24px; font-size: 14px; } dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
footer { margin-top: 72px; padding-top: 20px; border-top: 1px solid var(--hair); color: var(--soft); font-size: 13.5px; }
@media (max-width: 640px) { main { padding: 40px 18px; } h1 { font-size: 33px; } table.rows { min-width: 860px; } }
@media print { .card, .head { break-inside: avoid; } body { background: #fff; } }
"""
