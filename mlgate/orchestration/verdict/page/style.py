"""The style of `report.html`: one sheet, light and dark, wide, narrow and on paper."""

STYLE = r"""
:root {
  color-scheme: light dark;
  --page: #f6f6f4; --card: #ffffff; --ink: #1d2125; --muted: #5c6670; --line: #e2e4e6;
  --code: #f4f5f6; --link: #0b5cad;
  --succeeded: #1a7a4c; --failed: #bf2330; --canceled: #8a5a00; --skipped: #5c6670;
  --succeeded-bar: #3aa873; --failed-bar: #d9434f; --canceled-bar: #d39b2a; --skipped-bar: #b3bac1;
  --wash-succeeded: #eef7f2; --wash-failed: #fdf1f1; --wash-canceled: #fbf5e8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #131618; --card: #1a1e21; --ink: #e4e7ea; --muted: #9ba5ae; --line: #2d3338;
    --code: #131618; --link: #7fb8f5;
    --succeeded: #5fc795; --failed: #ff8d8d; --canceled: #e3b65c; --skipped: #9ba5ae;
    --succeeded-bar: #3d9a6d; --failed-bar: #d2575c; --canceled-bar: #b98a2f;
    --skipped-bar: #59636c;
    --wash-succeeded: #17251e; --wash-failed: #2a1a1c; --wash-canceled: #28211a;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink); overflow-wrap: anywhere;
  font: .9375rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
header, main, footer { max-width: 74rem; margin: 0 auto; padding: 0 1.5rem; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 3px; }
h1, h2, h3, h4, p, ul, dl, figure, pre { margin: 0; }
h2 { font-size: 1.05rem; font-weight: 650; margin: 2.25rem 0 .75rem; }
h2 small { font-weight: 400; font-size: .9rem; color: var(--muted); margin-left: .5rem; }
h4 { font-size: .8rem; font-weight: 650; color: var(--muted); margin: 1.25rem 0 .4rem; }
code, pre { font: .82rem/1.55 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.muted { color: var(--muted); }
.succeeded { --tone: var(--succeeded); } .failed { --tone: var(--failed); }
.canceled { --tone: var(--canceled); }
.skipped, .not-run, .queued, .running, .undecided { --tone: var(--skipped); }
.icon { width: 1.05em; height: 1.05em; flex: none; vertical-align: -.16em; }
.status { color: var(--tone); font-weight: 550; white-space: nowrap; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }

.verdict { margin-top: 1.5rem; padding: 0 1.5rem; }
.verdict > div {
  background: var(--card); border: 1px solid var(--line); border-top: 4px solid var(--tone);
  border-radius: 10px; padding: 1.4rem 1.75rem 1.25rem;
}
.verdict .eyebrow { color: var(--muted); font-size: .87rem; }
.verdict h1 {
  display: flex; align-items: center; gap: .6rem; color: var(--tone);
  font-size: 2rem; line-height: 1.25; font-weight: 680; letter-spacing: -.015em;
}
.reason { font-size: 1.08rem; margin-top: .35rem; white-space: pre-line; max-width: 62rem; }
.reason:empty { display: none; }
.bar { display: block; width: 100%; height: 8px; border-radius: 4px; margin-top: 1.15rem; }
.bar .succeeded { fill: var(--succeeded-bar); } .bar .failed { fill: var(--failed-bar); }
.bar .canceled { fill: var(--canceled-bar); } .bar rect { fill: var(--skipped-bar); }
.counts { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; padding: 0; margin-top: .55rem;
  list-style: none; font-size: .93rem; }
.facts { display: flex; flex-wrap: wrap; gap: .6rem 2.25rem; margin-top: 1.1rem; padding-top: 1rem;
  border-top: 1px solid var(--line); }
.facts dt { font-size: .78rem; color: var(--muted); }
.facts dd { margin: 0; font-size: .93rem; }
.notes { padding: .7rem 1rem .7rem 2.1rem; margin-top: 1rem; border-radius: 8px; font-size: .93rem;
  background: var(--wash-canceled); }

.model { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 0 1.25rem 1rem; margin-bottom: .75rem; }
.model .facts { margin-top: 1rem; padding-top: 0; border-top: 0; }
.model p { margin-top: .8rem; }
.trend { display: block; width: 100%; height: auto; padding: .5rem; color: var(--link); }
.trend circle { fill: currentColor; }
.trended { margin-top: .75rem; max-width: 44rem; background: var(--card); }
.trended figcaption, .trended p { padding: .5rem .75rem; }

table { width: 100%; border-collapse: separate; border-spacing: 0; font-size: .93rem;
  background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
th, td { padding: .5rem .75rem; text-align: left; vertical-align: top;
  border-top: 1px solid var(--line); }
thead th { font-size: .8rem; font-weight: 550; color: var(--muted); border-top: 0;
  position: sticky; top: 0; background: var(--card); border-bottom: 1px solid var(--line); }
thead th:first-child { border-top-left-radius: 10px; }
thead th:last-child { border-top-right-radius: 10px; }
tbody tr:first-child > * { border-top: 0; }
tbody th { font-weight: 550; }
th .muted { font-weight: 400; font-size: .87rem; }
tbody th { width: 25%; } .of { width: 20%; }
th:first-child, td:first-child { padding-left: 1.1rem; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.result { width: 36%; }
.kind { color: var(--failed); font-weight: 550; }
.metric { display: inline-block; margin-right: 1rem; font-variant-numeric: tabular-nums; }
.metric span { color: var(--muted); }

.run { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  margin-bottom: .6rem; }
.run > summary { display: flex; align-items: baseline; gap: .25rem .75rem; padding: .7rem 1.1rem;
  cursor: pointer; list-style: none; border-radius: 10px; flex-wrap: wrap; }
summary::-webkit-details-marker { display: none; }
.run > summary::before { content: "\203a"; color: var(--muted);
  width: .5rem; font-weight: 600; transition: rotate .15s; }
[open] > summary::before { rotate: 90deg; }
.run > summary:hover { background: color-mix(in srgb, var(--ink) 3%, transparent); }
.run h3 { font-size: .98rem; font-weight: 620; }
.run .short { flex: 1 1 16rem; min-width: 0; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; font-size: .93rem; }
.run[open] > summary .short { visibility: hidden; }
.run > summary .number { color: var(--muted); font-size: .87rem; margin-left: auto; }
.body { padding: .1rem 1.1rem 1.2rem 2.35rem; scroll-margin-top: 4rem; }
.body > :first-child { margin-top: 0; }
.links { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; font-size: .93rem;
  margin-bottom: .75rem; }
.links a[target]::after, th .muted a[target]::after { content: " \2197"; font-size: .8em; }
h4 + .notes { margin-top: 0; }
.failure { background: var(--wash-failed); border-radius: 8px; padding: .7rem 1rem; }
.failure.canceled { background: var(--wash-canceled); }
.failure p { white-space: pre-line; }
pre { background: var(--code); border: 1px solid var(--line); border-radius: 8px; overflow: auto;
  padding: .75rem 1rem; max-height: 30rem; overflow-wrap: normal; }
.cells { display: flex; flex-wrap: wrap; gap: 3px; padding: 0; list-style: none; }
.cells li { min-width: 1.75rem; padding: 0 .3rem; border-radius: 4px; text-align: center;
  font: .75rem/1.5rem ui-monospace, Menlo, Consolas, monospace; color: var(--tone);
  background: color-mix(in srgb, var(--tone) 12%, transparent); }
.cells .failed { background: var(--tone); color: var(--card); font-weight: 700; }
.cells .failed::before { content: "\d7 "; }
.cells .skipped, .cells .not-run { background: none; outline: 1px dashed var(--line);
  outline-offset: -1px; }
.metrics { display: flex; flex-wrap: wrap; gap: .5rem 2rem; }
.metrics dt { font-size: .8rem; color: var(--muted); }
.metrics dd { margin: 0; font-size: 1.05rem; font-variant-numeric: tabular-nums; }
.plots { display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 25rem), 1fr)); }
.plots img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figure { border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
figure div { background: #fff; padding: .5rem; }
figcaption { padding: .25rem .75rem; font-size: .8rem; color: var(--muted);
  border-top: 1px solid var(--line); }
.files { columns: 20rem; padding: 0; list-style: none; font-size: .9rem; }
footer { margin: 2.5rem auto; color: var(--muted); font-size: .85rem; }

@media (max-width: 760px) {
  header, main, footer { padding: 0 .9rem; }
  .verdict { margin-top: .9rem; padding: 0 .9rem; }
  .verdict > div { padding: 1.1rem 1.1rem 1rem; }
  .verdict h1 { font-size: 1.6rem; }
  .facts { gap: .5rem 1.5rem; }
  table, tbody, tr, th, td { display: block; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tbody tr { display: flex; flex-wrap: wrap; gap: .1rem 1rem; padding: .65rem 1rem;
    border-top: 1px solid var(--line); }
  tbody tr:first-child { border-top: 0; }
  tbody th, tbody td { border: 0; padding: 0 !important; }
  tbody th { flex: 1 1 55%; } tbody th, .of { width: auto; }
  .number { text-align: left; }
  .number[data-label]::before { content: attr(data-label) " "; color: var(--muted); }
  .number { font-size: .87rem; }
  .result { width: auto; flex: 1 1 100%; }
  td:empty { display: none; }
  .body { padding: 0 1rem 1rem; }
  .run > summary { display: grid; grid-template-columns: auto auto 1fr auto; }
  .run .short { grid-area: 2 / 3 / auto / -1; }
  .run[open] > summary .short, .short:empty { display: none; }
}
@media (prefers-reduced-motion: reduce) {
  html { scroll-behavior: auto; }
  .run > summary::before { transition: none; }
}
@media print {
  html { font-size: 11px; }
  body { background: none; }
  header, main, footer { max-width: none; padding: 0; }
  figure, tr, .failure { break-inside: avoid; }
  thead th { position: static; }
  pre { max-height: none; white-space: pre-wrap; overflow-wrap: anywhere; }
  .run::details-content { content-visibility: visible; block-size: auto; }
}
"""
