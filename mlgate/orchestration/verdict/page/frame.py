"""The head of a page that loads nothing and runs nothing: a policy in it forbids both."""

from __future__ import annotations

import base64
import hashlib

from mlgate.orchestration.verdict.page.markup import Markup, tag


def document_head(title: str, icon: str, style: str) -> Markup:
    """`icon` is a data URI; `style` is the one sheet that the policy allows."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        tag("link", rel="icon", href=icon),
        tag("style", Markup(style)),
    )
