"""What the history's style adds to that of the report, which it shares."""

ADDED = r"""
:root { --accent: #2f6fb3; --promoted: #7a4bc2; --wash-flaky: #f3eefb; }
@media (prefers-color-scheme: dark) {
  :root { --accent: #6aa6e0; --promoted: #b797f0; --wash-flaky: #241e30; }
}
.verdict.all { --tone: var(--accent); }
.verdict.all h1 { color: var(--ink); }
.jump { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin-top: 1rem; padding-top: .9rem;
  border-top: 1px solid var(--line); font-size: .93rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 1.1rem;
  margin-top: 1.2rem; }
.tiles dt { font-size: .8rem; color: var(--muted); }
.tiles dd { margin: 0; font-size: 1.55rem; line-height: 1.3; font-weight: 640;
  letter-spacing: -.01em; font-variant-numeric: tabular-nums; }
.tiles small { display: block; font-size: .8rem; font-weight: 400; letter-spacing: 0;
  color: var(--muted); line-height: 1.4; }

.charts { display: grid; gap: .9rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 29rem), 1fr)); }
.charts .wide { grid-column: 1 / -1; }
.metrics-of { grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); }
.subject { font-size: .93rem; font-weight: 600; margin: 1.25rem 0 .6rem; }
.chart { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 1rem 1.2rem .7rem; min-width: 0; }
.chart div { background: none; padding: 0; }
.chart figcaption { padding: 0; border: 0; font-size: .85rem; }
.chart h3 { font-size: .98rem; font-weight: 620; color: var(--ink); }
.chart h3 b { float: right; margin-left: .75rem; font-weight: 640;
  font-variant-numeric: tabular-nums; }
.plot { display: grid; grid-template-columns: auto minmax(0, 1fr); column-gap: .6rem;
  margin-top: .8rem; font-size: .75rem; color: var(--muted); font-variant-numeric: tabular-nums; }
.plot svg { display: block; width: 100%; height: 8.5rem; overflow: visible; }
.wide .plot svg { height: 11rem; }
.metrics-of .plot svg { height: 6.5rem; }
.metrics-of .xs { margin-top: .75rem; }
.ys { display: flex; flex-direction: column; justify-content: space-between; text-align: right;
  margin: -.6rem 0; line-height: 1.2rem; min-width: 1.8rem; white-space: nowrap; }
.xs { grid-column: 2; display: flex; justify-content: space-between; margin-top: .35rem;
  white-space: nowrap; }
.grid { stroke: var(--line); stroke-width: 1; vector-effect: non-scaling-stroke; fill: none; }
.line { fill: none; stroke: var(--accent); stroke-width: 2; stroke-linejoin: round;
  stroke-linecap: round; vector-effect: non-scaling-stroke; }
.line.bound { stroke: var(--failed); stroke-width: 1.5; stroke-dasharray: 5 4;
  stroke-linecap: butt; }
.band { fill: var(--accent); opacity: .16; }
.dot { stroke: var(--accent); stroke-width: 5; stroke-linecap: round; fill: none;
  vector-effect: non-scaling-stroke; }
.dot.refused { stroke: var(--failed); stroke-width: 8; stroke-linecap: square; }
.dot.promoted { stroke: var(--promoted); stroke-width: 11; }
.dot.hole { stroke: var(--card); stroke-width: 5; pointer-events: none; }
.sensed { fill: transparent; }
.sensed:hover { fill: color-mix(in srgb, var(--ink) 6%, transparent); }
.bars .succeeded { fill: var(--succeeded-bar); } .bars .failed { fill: var(--failed-bar); }
.bars .canceled { fill: var(--canceled-bar); }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; padding: 0; margin: .1rem 0 0;
  list-style: none; }
.key { display: inline-block; width: .95em; height: .95em; margin-right: .4em;
  vertical-align: -.12em; overflow: visible; }
.values { margin-top: .45rem; font-size: .8rem; color: var(--muted); }
.values summary { cursor: pointer; width: max-content; }
.values[open] summary { margin-bottom: .5rem; }
.values div { max-height: 18rem; overflow: auto; border: 1px solid var(--line);
  border-radius: 8px; }
.values table { font-size: .82rem; color: var(--ink); border: 0; }
.values tbody th { width: auto; font-weight: 400; white-space: nowrap; }
.values thead th { position: static; }

.strip { display: block; margin-left: auto; }
.tick { fill: none; stroke: var(--promoted); stroke-width: 2; vector-effect: non-scaling-stroke; }
.strip .succeeded { fill: var(--succeeded-bar); } .strip .failed { fill: var(--failed-bar); }
.flaky td, .flaky th { background: var(--wash-flaky); }
.badge { display: inline-block; padding: 0 .5rem; border-radius: 1rem; font-size: .78rem;
  font-weight: 600; color: var(--card); background: var(--promoted); margin-left: .5rem; }
.story thead th:first-child { width: 26%; } .story .result { width: 34%; }
.story .strip-of { width: 13rem; vertical-align: middle; }
.recent tbody th { width: 27%; } .recent .result { width: 30%; }
.model-of, .recent td code { white-space: nowrap; }
.lead { margin-bottom: .75rem; max-width: 62rem; }
.model-of { color: var(--promoted); font-weight: 550; }

@media (max-width: 760px) {
  .tiles { grid-template-columns: 1fr 1fr; gap: .9rem; }
  .tiles dd { font-size: 1.3rem; }
  .chart { padding: .9rem .9rem .6rem; }
  .wide .plot svg { height: 9rem; }
  .values tbody tr { padding: .4rem .75rem; }
  .strip { margin: 0; }
  .story tbody th, .recent tbody th { width: auto; flex: 1 1 100%; }
  .flaky { background: var(--wash-flaky); }
  .flaky td, .flaky th { background: none; }
  .story .strip-of, .story .result { width: auto; }
  .story .strip-of { flex: 1 1 100%; }
}
@media print {
  .chart { break-inside: avoid; }
  .values { display: none; }
}
"""
