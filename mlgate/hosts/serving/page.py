"""The page at `GET /`: a form for the model's example, the answer, and which version gave it.

It is all in itself. What a model says of itself is text of others: it is shown as text, and reaches
the page's script as JSON alone.
"""

from __future__ import annotations

import html
import json
from typing import Any

_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{model}</title>
<style>
:root {{ color-scheme: light dark; --line: #8884; --accent: #0b62c4; }}
@media (prefers-color-scheme: dark) {{ :root {{ --accent: #7fb8ff; }} }}
* {{ box-sizing: border-box; }}
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1.5rem; }}
h1 {{ font-size: 1.5rem; margin: 0 0 .25rem; }}
h2 {{ font-size: 1.1rem; margin: 2rem 0 .5rem; }}
p {{ margin: .25rem 0; }}
code, textarea, output {{ font-family: ui-monospace, monospace; font-size: .875rem; }}
label {{ display: block; font-weight: 600; }}
.fields {{ display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); }}
.fields small {{ font-weight: 400; opacity: .75; }}
input, textarea {{ border: 1px solid var(--line); border-radius: 4px; font: inherit;
  padding: .5rem; width: 100%; }}
textarea {{ font-family: ui-monospace, monospace; min-height: 9rem; resize: vertical; }}
button {{ background: var(--accent); border: 0; border-radius: 4px; color: #fff; cursor: pointer;
  font: inherit; font-weight: 600; margin-top: 1rem; padding: .5rem 1.25rem; }}
@media (prefers-color-scheme: dark) {{ button {{ color: #000; }} }}
output {{ border: 1px solid var(--line); border-radius: 4px; display: block; min-height: 3rem;
  overflow-wrap: anywhere; padding: .75rem; white-space: pre-wrap; }}
:focus-visible {{ outline: 3px solid var(--accent); outline-offset: 2px; }}
details {{ margin-top: 1rem; }}
</style>
</head>
<body>
<main>
<h1>{model}</h1>
<p id="version">{version}</p>
<form id="form">
<div id="form-of-columns" class="fields"></div>
<details id="as-json"><summary>The request as JSON</summary>
<label for="request">Body of <code>POST /invocations</code></label>
<textarea id="request" spellcheck="false"></textarea></details>
<button>Ask the model</button>
</form>
<h2 id="answer-title">Answer</h2>
<output id="answer" aria-labelledby="answer-title" aria-live="polite"></output>
<p id="from"></p>
</main>
<script type="application/json" id="told">{told}</script>
<script>
"use strict";
const told = JSON.parse(document.getElementById("told").textContent) || {{}};
const form = document.getElementById("form");
const request = document.getElementById("request");
const answer = document.getElementById("answer");
const from = document.getElementById("from");
const columns = (told.signature && told.signature.columns) || [];
const numbers = ["double", "float", "long", "integer"];

function firstRow(example) {{
  if (!example) return {{}};
  if (example.dataframe_split) {{
    const split = example.dataframe_split;
    return Object.fromEntries(split.columns.map((name, at) => [name, (split.data[0] || [])[at]]));
  }}
  const rows = example.dataframe_records || example.instances || example.inputs || example;
  if (Array.isArray(rows)) {{
    const row = rows[0];
    if (Array.isArray(row)) {{
      return Object.fromEntries(columns.map((each, at) => [each.name, row[at]]));
    }}
    return row && typeof row === "object" ? row : {{}};
  }}
  return Object.fromEntries(Object.entries(rows).map(([name, values]) =>
    [name, values && typeof values === "object" ? Object.values(values)[0] : values]));
}}

const row = firstRow(told.example);
for (const [at, column] of columns.entries()) {{
  const label = document.createElement("label");
  const input = document.createElement("input");
  label.htmlFor = input.id = "column-" + at;
  label.append(column.name + " ");
  const small = document.createElement("small");
  small.append(column.type || "");
  label.append(small);
  const value = row[column.name];
  input.value = value === undefined || value === null ? "" : String(value);
  if (numbers.includes(column.type)) input.inputMode = "decimal";
  input.addEventListener("input", write);
  const field = document.createElement("div");
  field.append(label, input);
  document.getElementById("form-of-columns").append(field);
}}

function valueOf(column, text) {{
  if (text === "") return null;
  if (column.type === "string") return text;
  if (column.type === "boolean") return text === "true" || text === "1";
  const number = Number(text);
  return Number.isNaN(number) ? text : number;
}}

function write() {{
  const record = Object.fromEntries(columns.map((column, at) =>
    [column.name, valueOf(column, document.getElementById("column-" + at).value)]));
  request.value = JSON.stringify({{dataframe_records: [record]}}, null, 2);
}}

if (columns.length) write();
else {{
  request.value = JSON.stringify(told.example || {{instances: []}}, null, 2);
  document.getElementById("as-json").open = true;
}}

form.addEventListener("submit", async event => {{
  event.preventDefault();
  answer.textContent = "…";
  from.textContent = "";
  try {{
    const got = await fetch("invocations", {{
      method: "POST", headers: {{"content-type": "application/json"}}, body: request.value,
    }});
    const said = await got.json();
    answer.textContent = got.ok
      ? JSON.stringify("predictions" in said ? said.predictions : said, null, 2)
      : said.message;
    const name = got.headers.get("mlgate-model");
    if (name) from.textContent = "Answered by " + name + ", entry "
      + got.headers.get("mlgate-model-number") + ".";
  }} catch (error) {{
    answer.textContent = "The server did not answer: " + error.message;
  }}
}});
</script>
</body>
</html>
"""


def page(model: str, told: dict[str, Any] | None) -> bytes:
    """For people; `told` is what `GET /model` says, None while no version serves."""
    version = "No version serves now."
    if told is not None:
        version = f"{model}@{told['id']}, entry {told['number']} of its log"
    content = json.dumps(told and {key: told[key] for key in ("signature", "example")})
    for character in "<>&":  # else a text could end the element
        content = content.replace(character, f"\\u{ord(character):04x}")
    return _TEMPLATE.format(
        model=html.escape(model), version=html.escape(version), told=content
    ).encode()
