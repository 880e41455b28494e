"""Decides whether a notebook is in Python, from its metadata."""

from __future__ import annotations

import re

# The usual names of kernels for other languages.
_OTHER_KERNELS = re.compile(
    r"(i?r|irkernel|sparkr?|ijulia|julia|i?java|scala|spylon|almond|kotlin|i?javascript|jslab|"
    r"typescript|tslab|deno|bash|zsh|i?powershell|pwsh|gophernotes|gonb|go|rust|evcxr|x?c(pp)?|"
    r"cling|\.net|csharp|fsharp|clojure|i?ruby|i?perl|i?php|i?lua|octave|matlab|stata|sas|"
    r"i?haskell|ocaml|x?sql|wolframlanguage|maxima|swift)([^a-z].*)?",
    re.IGNORECASE,
)
_PYTHON = re.compile(r"python|pyspark", re.IGNORECASE)


def is_python(language: str) -> bool:
    return _PYTHON.search(language) is not None


def foreign_language(language: str | None, kernel: str | None, asked: str | None) -> str | None:
    """The language if it is not Python, else the kernel if it is for another language.

    `language` and `kernel` come from the notebook, None if it does not name one; `asked` is the
    kernel to use instead. A notebook that says it is in Python is, whatever its kernel's name; so
    is one that says nothing.
    """
    if language is not None and not is_python(language):
        return language
    chosen = asked or (kernel if language is None else None) or ""
    return chosen if _OTHER_KERNELS.fullmatch(chosen) else None
