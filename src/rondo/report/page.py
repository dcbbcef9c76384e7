"""The frame of a report: its style and its parts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape


def cards(title: str, *contents: str, note: str = "", wide: bool = False) -> str:
    """Returns a section with a card for each of the contents, side by side unless they are wide."""
    boxes = "".join(f"<div class='card'>{content}</div>" for content in contents)
    text = f"<p class='note'>{note}</p>" if note else ""
    row = "row wide" if wide else "row"
    return f"<section><h2>{title}</h2>{text}<div class='{row}'>{boxes}</div></section>"


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table of texts; the first cell of a row is its head."""
    first = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join(
        f"<tr><th>{escape(name)}</th>"
        f"{''.join(f'<td>{_unbroken(cell)}</td>' for cell in others)}</tr>"
        for name, *others in rows
    )
    return f"<table class='figures wrap'><tr>{first}</tr>{lines}</table>"


def _unbroken(text: str) -> str:
    """Returns the HTML of a text that breaks neither before % nor inside brackets."""
    kept = re.sub(r"\(.*?\)| %", lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), text)
    return escape(kept)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{title}</title>
<style>
:root { --page: #f6f7f9; --card: #fff; --text: #1d2330; --soft: #626b7a; --line: #dfe3ea;
  --accent: #2a7de1; --mark: #d1495b; --warm: #fff6e5; --warm-line: #e0a020; }
@media (prefers-color-scheme: dark) { :root { --page: #12151b; --card: #1b2029; --text: #e6e9ef;
  --soft: #9aa4b4; --line: #2d3441; --accent: #5aa2ff; --mark: #ff7285; --warm: #2a2418;
  --warm-line: #b98518; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 1.5rem 1rem 4rem; background: var(--page);
  color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 1rem; }
h2 { font-size: 1.2rem; margin: 0 0 .4rem; } h3 { font-size: 1rem; margin: 0 0 .5rem; }
section { margin-top: 2.2rem; }
.note, small { color: var(--soft); font-size: .88rem; } .note { margin: .2rem 0 .8rem; }
.row { display: grid; gap: 1rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
.row.wide { grid-template-columns: minmax(0, 1fr); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1rem;
  min-width: 0; overflow-x: auto; }
.card svg { width: 100%; max-width: 38rem; height: auto; display: block; margin: 0 auto; }
.tile h2 { text-transform: capitalize; color: var(--soft); font-size: 1rem; }
.big { font-size: 3.4rem; font-weight: 650; line-height: 1.1; margin: 0; letter-spacing: -.02em; }
.big small { font-size: 1.4rem; } .tile p { margin: .2rem 0; }
.meter { position: relative; height: 10px; border-radius: 5px; background: var(--line);
  margin: .8rem 0; }
.meter i { position: absolute; inset: 0 auto 0 0; border-radius: 5px; background: var(--accent); }
.meter b { position: absolute; top: -5px; bottom: -5px; width: 3px; background: var(--mark); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .6rem; text-align: right; border-bottom: 1px solid var(--line); }
th { font-weight: 500; color: var(--soft); } th:first-child { text-align: left; }
.figures { font-size: .88rem; } .figures td { white-space: nowrap; }
.settings td { text-align: left; overflow-wrap: anywhere; }
.confusion td + td, .confusion th + td { text-align: center; font-size: 1.25rem;
  background: color-mix(in srgb, var(--accent) calc(.55 * var(--share, 0%)), transparent); }
.confusion th + th, .confusion td + th { text-align: center; }
.confusion td small { display: block; color: inherit; opacity: .75; font-size: .8rem; }
.map { width: auto; font-size: .72rem; } .map td, .map th { padding: 0; border: 0; }
.map td { width: var(--cell); min-width: var(--cell); height: var(--cell); text-align: center;
  border: 1px solid var(--card); background: color-mix(in srgb, var(--accent)
  calc(.8 * var(--share, 0%)), var(--page)); }
.map tr:first-child td { background: none; }
.map th { max-width: 12rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.map th:first-child { text-align: right; padding-right: .5rem; }
.map th + th, .map td + th { text-align: center; vertical-align: bottom; padding-bottom: .4rem; }
.map th span { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 10rem;
  overflow: hidden; text-overflow: ellipsis; display: inline-block; text-align: left; }
.gallery { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fill, minmax(7rem, 1fr)); }
.gallery.wide { grid-template-columns: repeat(auto-fill, minmax(min(100%, 16rem), 1fr)); }
.gallery.wide figcaption { overflow-wrap: anywhere; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  overflow: hidden; } figure img { width: 100%; display: block; }
figcaption { padding: .4rem .6rem; font-size: .9rem; line-height: 1.3; }
.wrong { box-shadow: inset 0 3px var(--mark); } .right { box-shadow: inset 0 3px var(--accent); }
.heat { width: 100%; max-width: 320px; border-radius: 8px; display: block; margin: 0 auto; }
svg + .wrap { margin-top: .8rem; }
@media (max-width: 30rem) { .wrap th, .wrap td { white-space: normal; padding: .4rem .3rem; } }
.sweeps { display: grid; gap: .6rem; grid-template-columns: repeat(4, 1fr); }
.sweeps.with-picture { grid-template-columns: repeat(5, 1fr); }
.sweeps img { width: 100%; display: block; border-radius: 4px; image-rendering: pixelated; }
.sweeps figure { background: none; border: 0; border-radius: 0; }
.sweeps figcaption { padding: .2rem 0; text-align: center; font-size: .85rem; }
.warning { background: var(--warm); border: 1px solid var(--warm-line); border-radius: 12px;
  padding: 1rem 1.2rem; } .warning ul { margin: .4rem 0 0; padding-left: 1.2rem; }
</style></head><body>
{body}
</body></html>
"""
"""The page; `{title}` and `{body}` stand for what differs."""


def page_of(title: str, body: str) -> str:
    """Returns a page.

    Args:
        title: What it is called, as text.
        body: What it holds, as HTML.
    """
    parts = {"title": escape(title), "body": body}
    return re.sub(r"\{(title|body)\}", lambda found: parts[found[1]], _PAGE)
