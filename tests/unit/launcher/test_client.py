"""What a cell prints is collected at a cost that its length has, however it comes."""

from __future__ import annotations

import time
from typing import Any

from mlgate.launcher.client import CELL_CHARACTERS, Printed


def test_a_long_text_in_small_pieces_costs_what_it_is_long() -> None:
    printed, output = Printed(), {"text": "begin"}
    started = time.process_time()
    for _ in range(200_000):
        printed.add(output, "x" * 50)
    printed.join()

    assert time.process_time() - started < 3
    assert len(output["text"]) == 5 + 10_000_000


def test_each_output_has_its_own_pieces() -> None:
    printed = Printed()
    outputs: list[Any] = [{"text": ""}, {"text": ""}]
    for number in range(6):
        printed.add(outputs[number // 2 % 2], str(number))
    printed.join()

    assert [output["text"] for output in outputs] == ["0145", "23"]


def test_the_piece_that_goes_over_the_limit_is_kept_in_part() -> None:
    printed = Printed()
    printed.cell_begins()

    assert len(printed.cut("x" * (CELL_CHARACTERS - 1))) == CELL_CHARACTERS - 1
    assert not printed.is_full
    assert printed.cut("yz") == "y"
    assert printed.is_full
    assert printed.cut("more") == ""
