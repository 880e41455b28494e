"""The page at `GET /`: a form for the model's example, the answer, and which version gave it.

The page is self-contained. A model's description is untrusted: it is shown only as text, and the
page's script gets it only as JSON. The policy allows no other script and no other connection.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --line: #767676; --accent: #0b57b0; --on-accent: #fff;
  --faint: #5c5c5c; --error: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --line: #8a8a8a; --accent: #8ab8ff; --on-accent: #000; --faint: #b0b0b0;
    --error: #ff8a80; }
}
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem;
  overflow-wrap: anywhere; padding: 1.5rem; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .25rem 0; }
form { margin-top: 1.5rem; }
code, textarea, output { font: .875rem/1.5 ui-monospace, monospace; }
label { display: block; font-weight: 600; margin-bottom: .25rem; }
small, #from { color: var(--faint); font-size: .875rem; font-weight: 400; }
.fields { align-items: end; display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(14rem, 100%), 1fr)); }
.fields:empty { display: none; }
.fields > div { min-width: 0; }
input { border: 1px solid var(--line); border-radius: 4px; font: inherit; padding: .5rem;
  width: 100%; }
textarea { border: 1px solid var(--line); border-radius: 4px; min-height: 9rem; padding: .5rem;
  resize: vertical; width: 100%; }
.fields textarea { min-height: 4rem; }
details { margin-top: 1rem; }
summary { margin-bottom: .5rem; }
button { background: var(--accent); border: 0; border-radius: 4px; color: var(--on-accent);
  cursor: pointer; font: inherit; font-weight: 600; margin-top: 1rem; padding: .5rem 1.25rem; }
output { border: 1px solid var(--line); border-radius: 4px; display: block; min-height: 3rem;
  padding: .75rem; white-space: pre-wrap; }
.error, .notice { color: var(--error); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
"""

_SCRIPT = r"""
"use strict";
const described = JSON.parse(document.getElementById("described").textContent);
const [form, request, answer, from] =
  ["form", "request", "answer", "from"].map(id => document.getElementById(id));
const columns = (described.signature && described.signature.columns) || [];
const kinds = {string: "string", boolean: "boolean", number: "double"};

function firstRow(example) {
  if (example === null || typeof example !== "object") return {};
  if (example.dataframe_split) {
    const split = example.dataframe_split;
    return Object.fromEntries(split.columns.map((name, at) => [name, (split.data[0] || [])[at]]));
  }
  const rows = example.dataframe_records || example.instances || example.inputs || example;
  if (Array.isArray(rows)) {
    const row = rows[0];
    if (Array.isArray(row)) {
      return Object.fromEntries(columns.map((each, at) => [each.name, row[at]]));
    }
    return row !== null && typeof row === "object" ? row : {};
  }
  return Object.fromEntries(Object.entries(rows).map(([name, values]) =>
    [name, values !== null && typeof values === "object" ? Object.values(values)[0] : values]));
}

// The typed text as JSON. Numbers stay as typed, because JavaScript's would lose digits.
function literal(kind, typed) {
  const text = kind === "string" ? typed : typed.trim();
  if (text === "") return "null";
  const number = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text);
  if (number && (!kind || ["double", "float", "long", "integer"].includes(kind))) return text;
  if (kind === "boolean" && ["true", "false"].includes(text.toLowerCase()))
    return text.toLowerCase();
  return JSON.stringify(text);
}

// JSON with short values on one line.
function shown(value, indent = "") {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const inner = indent + "  ";
  const list = Array.isArray(value);
  const parts = list ? value.map(each => shown(each, inner)) : Object.entries(value).map(
    ([name, each]) => JSON.stringify(name) + ": " + shown(each, inner));
  const line = parts.join(", ");
  const [open, close] = list ? "[]" : "{}";
  if (!line.includes("\n") && indent.length + line.length <= 70) return open + line + close;
  return open + "\n" + inner + parts.join(",\n" + inner) + "\n" + indent + close;
}

const row = firstRow(described.example);
const fields = columns.map((column, at) => {
  const value = Object.hasOwn(row, column.name) ? row[column.name] : null;
  const label = document.createElement("label");
  const lines = typeof value === "string" && /[\r\n]/.test(value);  // an input has only one line
  const input = document.createElement(lines ? "textarea" : "input");
  const type = document.createElement("small");
  label.htmlFor = input.id = "column-" + at;
  type.append(column.type || "");
  label.append(column.name + " ", type);
  const kind = column.type || kinds[typeof value];
  input.value = value === null || value === undefined ? ""
    : typeof value === "object" ? JSON.stringify(value) : String(value);
  input.autocomplete = "off";
  if (["double", "float", "long", "integer"].includes(kind)) input.inputMode = "decimal";
  input.addEventListener("input", write);
  const field = document.createElement("div");
  field.append(label, input);
  document.getElementById("fields").append(field);
  return {name: column.name, kind, input};
});

function write() {
  const parts = fields.map(({name, kind, input}) =>
    "    " + JSON.stringify(name) + ": " + literal(kind, input.value));
  request.value = '{"dataframe_records": [\n  {\n' + parts.join(",\n") + "\n  }\n]}";
}

if (fields.length) write();
else {
  request.value = shown(described.example === null ? {instances: [[]]} : described.example);
  document.getElementById("as-json").open = true;
}

request.addEventListener("keydown", event => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});

form.addEventListener("submit", async event => {
  event.preventDefault();
  answer.className = "";
  answer.textContent = "…";
  from.textContent = "";
  try {
    const got = await fetch("invocations" + location.search, {
      method: "POST", headers: {"content-type": "application/json"}, body: request.value,
    });
    const said = await got.json();
    answer.className = got.ok ? "" : "error";
    answer.textContent = got.ok ? shown("predictions" in said ? said.predictions : said)
      : said.error_code + ": " + said.message;
    const name = got.headers.get("mlgate-model");
    if (name) from.textContent = "Answered by " + name + ", entry "
      + got.headers.get("mlgate-model-number") + " of its log.";
  } catch (error) {
    answer.className = "error";
    answer.textContent = "The server did not answer: " + error.message;
  }
});
"""

_FORM = """<form id="form">
<div id="fields" class="fields"></div>
<details id="as-json"><summary>The request as JSON</summary>
<label for="request">Body of <code>POST /invocations</code></label>
<textarea id="request" spellcheck="false"></textarea></details>
<button>Ask the model</button>
</form>
<h2 id="answer-title">Answer</h2>
<output id="answer" aria-labelledby="answer-title" aria-live="polite"></output>
<p id="from"></p>
<script type="application/json" id="described">{described}</script>
<script>{script}</script>"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{model}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{model}</h1>
<p>{version}</p>
{notice}
{form}
</main>
</body>
</html>
"""


def page(model: str, described: Mapping[str, Any] | None, notice: str | None) -> bytes:
    """The page as UTF-8.

    `described` is the answer of `GET /model`, or None while no version serves. `notice` says what
    is wrong.
    """
    version, form = "No version is served now. Reload this page to check again.", ""
    if described is not None:
        version = f"{described['model']}@{described['id']}, entry {described['number']} of its log"
        content = json.dumps({key: described[key] for key in ("signature", "example")})
        for character in "<>&":  # otherwise a text could end the script element
            content = content.replace(character, f"\\u{ord(character):04x}")
        form = _FORM.format(described=content, script=_SCRIPT)
    said = f'<p class="notice">{html.escape(notice)}</p>' if notice else ""
    names = {"model": html.escape(model), "version": html.escape(version)}
    return _PAGE.format(**names, style=_STYLE, notice=said, form=form).encode()


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
