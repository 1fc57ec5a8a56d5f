"""The page's only style sheet. The page loads nothing, so it works in an air-gapped cluster.

Shares are drawn as SVG with plain attributes: the page's policy forbids ``style`` attributes.
"""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root {
  color-scheme: light dark;
  --back: #f6f7f9; --card: #ffffff; --text: #1b2330; --soft: #5b6675; --line: #dfe3e9;
  --accent: #3b5bdb; --good: #2b8a3e; --warn: #b35c00; --bad: #c92a2a; --note: #1971c2;
  --good-back: #e6f6ea; --warn-back: #fff3e0; --bad-back: #fdeaea; --note-back: #e7f2fb;
  --track: #e9ecf1;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #12161d; --card: #1a2029; --text: #e4e8ee; --soft: #98a3b3; --line: #2c3440;
    --accent: #91a7ff; --good: #69db7c; --warn: #ffa94d; --bad: #ff8787; --note: #74c0fc;
    --good-back: #17301e; --warn-back: #35270f; --bad-back: #3a1d1d; --note-back: #15293b;
    --track: #2c3440;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem 1.25rem 3rem; max-width: 76rem;
  background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
h1 { margin: 0; font-size: 1.5rem; letter-spacing: -.01em; }
h2 { margin: 2rem 0 .75rem; font-size: 1.1rem; }
h2 small, .soft { color: var(--soft); font-weight: 400; font-size: .9rem; }
a { color: var(--accent); }
code, .mono {
  font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: .875em; overflow-wrap: anywhere;
}
.facts { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: .5rem 0 0; padding: 0; }
.facts div { display: flex; gap: .4rem; }
.facts dt { color: var(--soft); }
.facts dd { margin: 0; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; margin-top: .75rem; font-size: .9rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: .75rem;
  margin-top: 1.25rem; }
.tile, .card, details {
  background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.tile { padding: .75rem 1rem; }
.tile b { display: block; font-size: 1.6rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .9rem; }
.card { padding: .75rem 1rem; margin-bottom: .6rem; overflow-wrap: anywhere; }
.card p { margin: .25rem 0 0; }
.error { border-left: 4px solid var(--bad); }
.warning { border-left: 4px solid var(--warn); }
.info { border-left: 4px solid var(--note); }
.tag { display: inline-block; padding: .05rem .5rem; border-radius: 99px; font-size: .8rem;
  white-space: nowrap; border: 1px solid transparent; }
.tag.good { background: var(--good-back); color: var(--good); }
.tag.warn { background: var(--warn-back); color: var(--warn); }
.tag.bad { background: var(--bad-back); color: var(--bad); }
.tag.note { background: var(--note-back); color: var(--note); }
.tag.plain { border-color: var(--line); color: var(--soft); }
details { margin-bottom: .5rem; }
summary { display: grid; grid-template-columns: minmax(0, 1fr) auto auto auto; gap: .6rem;
  align-items: center; padding: .6rem 1rem; cursor: pointer; list-style: none; }
summary::-webkit-details-marker { display: none; }
summary::before { content: none; }
summary .host { overflow-wrap: anywhere; font-weight: 600; }
summary .host::before {
  content: "\\25B8"; color: var(--soft); display: inline-block; width: 1.1em; }
details[open] > summary .host::before { content: "\\25BE"; }
summary:focus-visible, a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.inside { border-top: 1px solid var(--line); padding: .75rem 1rem 1rem; }
.inside > p { margin: 0 0 .4rem; overflow-wrap: anywhere; }
.flow { display: grid; grid-template-columns: minmax(7rem, 11rem) minmax(0, 1fr);
  margin: .6rem 0 1rem; }
.clients { align-self: center; padding: .5rem .7rem; border: 1px solid var(--line);
  border-radius: 8px; background: var(--back); overflow-wrap: anywhere; font-size: .9rem; }
.routes { list-style: none; margin: 0; padding: 0 0 0 1.4rem; position: relative; }
.routes::before { content: ""; position: absolute; left: .7rem; top: 1.2rem; bottom: 1.2rem;
  border-left: 2px solid var(--line); }
.route { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1.2fr); gap: 1.5rem;
  padding: .35rem 0; position: relative; align-items: center; }
.route::before { content: ""; position: absolute; left: -.7rem; width: .7rem; top: 50%;
  border-top: 2px solid var(--line); }
.match {
  border: 1px solid var(--line); border-radius: 8px; padding: .4rem .7rem; position: relative;
  overflow-wrap: anywhere; background: var(--card); }
.match::after { content: "\\2192"; position: absolute; right: -1.3rem; top: 50%;
  transform: translateY(-50%); color: var(--soft); }
.match small, .to small, .clients small { display: block; color: var(--soft); font-size: .8rem; }
.to > div { padding: .15rem 0; overflow-wrap: anywhere; }
.to .name { display: flex; justify-content: space-between; gap: .75rem; }
.to .name span:last-child { color: var(--soft); white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.bar { display: block; width: 100%; height: 6px; border-radius: 3px; }
.bar .track { fill: var(--track); }
.bar .share { fill: var(--accent); }
.bar .copy { fill: var(--note); }
.unused .match { border-style: dashed; color: var(--soft); }
.to .problem { color: var(--warn); }
table { width: 100%; border-collapse: collapse; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px; overflow: hidden; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .45rem .75rem;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
tr:last-child td { border-bottom: 0; }
th { color: var(--soft); font-weight: 500; }
td.fixed { white-space: nowrap; }
footer { margin-top: 2.5rem; color: var(--soft); font-size: .85rem; }
@media (max-width: 40rem) {
  body { padding: 1rem .75rem 2rem; }
  summary { grid-template-columns: auto auto 1fr; row-gap: .3rem; padding: .6rem .75rem; }
  summary .host { grid-column: 1 / -1; }
  summary .tag { justify-self: start; }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .inside { padding: .75rem; }
  .flow, .route { grid-template-columns: minmax(0, 1fr); }
  .routes { padding-left: 1rem; margin-top: .4rem; }
  .routes::before { left: .2rem; }
  .route { gap: .4rem; }
  .route::before { left: -.8rem; top: 1.4rem; }
  .match::after { content: "\\2193"; right: .7rem; }
  table, tbody, tr, td { display: block; }
  thead { display: none; }
  td { border-bottom: 0; padding: .15rem .75rem; }
  tr { border-bottom: 1px solid var(--line); padding: .4rem 0; }
}
"""
