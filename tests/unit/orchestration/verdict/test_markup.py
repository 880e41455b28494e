"""Escaping by construction."""

from __future__ import annotations

from mlgate.orchestration.verdict.page.markup import Markup, fragment, tag


def test_text_is_escaped_and_markup_is_not() -> None:
    assert tag("p", "a < b & c", tag("b", 3)) == "<p>a &lt; b &amp; c<b>3</b></p>"


def test_attributes_are_escaped_and_named_as_in_html() -> None:
    made = tag(
        "a", href='"><b>', aria_label="it's", class_="x", hidden=True, title=None, open=False
    )
    expected = '<a href="&quot;&gt;&lt;b&gt;" aria-label="it&#x27;s" class="x" hidden></a>'
    assert made == expected


def test_zero_is_a_value_and_none_is_nothing() -> None:
    assert tag("td", 0, None, colspan=0) == '<td colspan="0">0</td>'


def test_an_element_without_content_has_no_end() -> None:
    assert tag("img", alt="") == '<img alt="">'


def test_nested_children_are_flattened() -> None:
    assert fragment("<", [Markup("<br>"), ("&", None)]) == "&lt;<br>&amp;"
