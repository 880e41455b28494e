"""The page of `mlgate serve` as people see it: in a real browser, with a real model behind it.

Needs Chromium (`apt-get install chromium`) and the playwright package.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.serving import Server
from tests.support.models import SUM
from tests.support.stores import Store, answering
from tests.unit.orchestration.verdict.samples import HOSTILE

pytestmark = pytest.mark.browser

DESKTOP, PHONE = (1280, 800), (390, 844)
ECHO = """
class Model:
    feature_names_in_ = {names!r}
    def predict(self, rows):
        return [[str(each) for each in row] for row in rows]
"""
COLUMNS: dict[str, tuple[str | None, Any]] = {
    "age": ("long", 41),
    "charges": ("double", 70.35),
    "contract": ("string", "12"),
    "senior": ("boolean", False),
    "since": ("datetime", "2026-01-01T00:00:00"),
    "a_column_with_a_name_that_is_longer_than_any_phone_is_wide": ("double", 1.5),
}


def echoing(columns: dict[str, tuple[str | None, Any]]) -> tuple[str, dict[str, Any]]:
    """A model with these columns, types and values of its example, that answers what it gets."""
    signature = {"columns": [{"name": name, "type": kind} for name, (kind, _) in columns.items()]}
    split = {"columns": list(columns), "data": [[value for _, value in columns.values()]]}
    fields = {"signature": signature, "example": {"dataframe_split": split}}
    return ECHO.format(names=list(columns)), fields


@dataclass
class Visitor:
    """Opens the page of a server, and notes what it asks for and complains about."""

    browser: Browser
    servers: list[Server] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, server: Server, size: tuple[int, int], query: str = "") -> Page:
        self.servers.append(server)
        page = self.browser.new_page(viewport={"width": size[0], "height": size[1]})
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(f"{server.url}/{query}")
        return page

    def assert_calm(self, page: Page, size: tuple[int, int]) -> None:
        """Nothing was asked for elsewhere or complained about, and nothing scrolls sideways."""
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert self.complaints == []
        own = tuple(f"{server.url}/" for server in self.servers)
        assert [url for url in self.requests if not url.startswith((*own, "data:"))] == []


@pytest.fixture
def visitor(browser: Browser) -> Visitor:
    return Visitor(browser)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Serves a model of this source."""
    servers = list[Server]()

    def serve(source: str, **fields: Any) -> Server:
        store = Store(tmp_path / f"models-{len(servers)}")
        store.promote(source, **fields)
        servers.append(Server(tmp_path, store.root))
        servers[-1].serves(1)
        return servers[-1]

    yield serve
    for server in servers:
        server.close()
        shutil.rmtree(server.temporary, ignore_errors=True)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_example_is_asked_by_keyboard(
    visitor: Visitor, serve: Callable[..., Server], size: tuple[int, int]
) -> None:
    source, fields = echoing(COLUMNS)
    server = serve(source, **fields)
    page = visitor.open(server, size)
    shown = [page.get_by_label(name).input_value() for name in COLUMNS]
    assert shown == ["41", "70.35", "12", "false", "2026-01-01T00:00:00", "1.5"]

    page.get_by_label("age").fill("42")
    page.keyboard.press("Enter")
    version = f"churn@{server.health()['id']}"
    page.get_by_text(f"Answered by {version}, entry 1 of its log.").wait_for()
    answer = json.loads(page.get_by_role("status").inner_text())
    assert answer == [["42", "70.35", "12", "False", "2026-01-01T00:00:00", "1.5"]]
    assert page.get_by_text(f"{version}, entry 1 of its log", exact=True).is_visible()
    visitor.assert_calm(page, size)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_model_without_columns_is_asked_with_json(
    visitor: Visitor, serve: Callable[..., Server], size: tuple[int, int]
) -> None:
    page = visitor.open(serve(answering(7)), size, "?code=a-key")
    request = page.get_by_label("Body of POST /invocations")
    assert json.loads(request.input_value()) == {"instances": [[1, 2]]}
    request.press("Control+Enter")
    page.get_by_text("Answered by").wait_for()
    assert page.get_by_role("status").inner_text() == "[7]"
    # A function app takes its key there, and asks for it each time.
    assert visitor.requests[-1].endswith("/invocations?code=a-key")
    visitor.assert_calm(page, size)


def test_what_is_wrong_with_a_request_is_said(
    visitor: Visitor, serve: Callable[..., Server]
) -> None:
    columns = [{"name": "a", "type": "double"}, {"name": "bb", "type": "double"}]  # it takes b
    server = serve(SUM, signature={"columns": columns})
    page = visitor.open(server, PHONE)
    page.get_by_label("bb double").fill("2.5")
    page.keyboard.press("Enter")
    page.get_by_text("Answered by").wait_for()
    said = page.get_by_role("status").inner_text()
    assert said.startswith("BAD_REQUEST: ")
    assert "bb" in said
    # The browser itself reports the status of the answer.
    visitor.complaints = [said for said in visitor.complaints if "400 (Bad Request)" not in said]
    visitor.assert_calm(page, PHONE)


def test_what_is_held_back_is_said(visitor: Visitor, tmp_path: Path) -> None:
    store = Store(tmp_path / "models")
    store.promote(answering(1))
    with Server(tmp_path, store.root) as server:
        server.serves(1)
        store.promote(answering(2, "raise ValueError('<b>bold</b>')"))
        server.holds_back(2)
        page = visitor.open(server, PHONE)
        said = page.get_by_text("Entry 2 is held back.").inner_text()
        assert said.endswith("ValueError: <b>bold</b>")
        visitor.assert_calm(page, PHONE)
        assert server.terminate() == 0
    shutil.rmtree(server.temporary)


def test_names_and_values_of_others_are_text(
    visitor: Visitor, serve: Callable[..., Server]
) -> None:
    names = [*HOSTILE, "__proto__", "constructor"]
    source, fields = echoing({name: ("string", f"{name} it is") for name in names})
    page = visitor.open(serve(source, **fields), PHONE)
    assert page.locator("label[for^=column]").count() == len(names)
    page.get_by_role("button").click()
    page.get_by_text("Answered by").wait_for()
    assert json.loads(page.get_by_role("status").inner_text()) == [
        [f"{each} it is" for each in names]
    ]
    assert page.locator("script").count() == 2
    assert page.locator("img, a, iframe").count() == 0
    visitor.assert_calm(page, PHONE)
