"""Parameters are injected as papermill does it, and kernels are chosen by their names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from mlgate.launcher.kernels import choose_kernel
from mlgate.launcher.parameters import inject, literal
from mlgate.launcher.values import Failed


def cell(source: str, *tags: str, cell_type: str = "code") -> dict[str, Any]:
    return {"cell_type": cell_type, "source": source, "metadata": {"tags": list(tags)}}


def sources(cells: list[Any]) -> list[str]:
    return [cell["source"] for cell in cells]


@pytest.mark.parametrize(
    "value",
    [None, True, 3, -0.5, 1e300, 'it\'s "quoted"\n', [], [1, [None]], {"a": {"b": [False]}}, "é"],
)
def test_a_json_value_becomes_the_same_python_value(value: Any) -> None:
    assert eval(literal(value)) == value


def test_numbers_without_a_literal_are_written_as_calls() -> None:
    nan, infinities = eval(literal([math.nan, {"i": [math.inf, -math.inf]}]))

    assert math.isnan(nan)
    assert infinities == {"i": [math.inf, -math.inf]}


def test_no_parameters_change_nothing() -> None:
    cells = [cell("a = 1", "parameters")]

    assert inject(cells, {}) == (cells, [])


def test_parameters_follow_the_first_tagged_cell() -> None:
    cells = [cell("text", cell_type="markdown"), cell("a = 1", "parameters"), cell("print(a)")]
    injected, warnings = inject(cells, {"a": 2})

    assert sources(injected) == ["text", "a = 1", "# Parameters\na = 2", "print(a)"]
    assert injected[2]["metadata"]["tags"] == ["injected-parameters"]
    assert warnings == []


def test_without_a_tagged_cell_they_come_first_with_a_warning() -> None:
    injected, warnings = inject([cell("print(a)")], {"a": None})

    assert sources(injected) == ["# Parameters\na = None", "print(a)"]
    assert len(warnings) == 1


def test_those_of_an_earlier_run_are_replaced() -> None:
    cells = [cell("a = 1", "parameters"), cell("a = 9", "injected-parameters"), cell("print(a)")]
    injected, _ = inject(cells, {"a": 2})

    assert sources(injected) == ["a = 1", "# Parameters\na = 2", "print(a)"]


def test_each_unknown_parameter_is_a_warning() -> None:
    _, warnings = inject([cell("a = 1", "parameters")], {"c": 1, "a": 2, "b": 3})

    assert warnings == [
        "parameter `b` is not defined in the cell tagged `parameters`",
        "parameter `c` is not defined in the cell tagged `parameters`",
    ]


def test_a_cell_that_is_no_python_has_its_parameters_injected_all_the_same() -> None:
    injected, warnings = inject([cell("a = = 1", "parameters")], {"a": 2})

    assert sources(injected) == ["a = = 1", "# Parameters\na = 2"]
    assert warnings == []


@pytest.mark.parametrize("name", ["a-b", "1a", "class", "", "a = 1; b"])
def test_a_parameter_that_is_no_variable_is_refused(name: str) -> None:
    with pytest.raises(Failed) as caught:
        inject([cell("a = 1", "parameters")], {name: 1})

    assert caught.value.kind == "invalid"


def installed_language(name: str) -> str | None:
    return {"custom": "python", "ir": "R"}.get(name)


@pytest.mark.parametrize(
    ("asked", "metadata", "name", "warned"),
    [
        (None, {"kernelspec": {"name": "python3", "language": "python"}}, "python3", False),
        (None, {"kernelspec": {"name": "custom"}}, "custom", False),
        ("custom", {"kernelspec": {"name": "python3"}}, "custom", False),
        ("python3", {"kernelspec": {"name": "gone"}}, "python3", False),
        (None, {}, "python3", True),
        (None, {"kernelspec": None, "language_info": None}, "python3", True),
        (None, {"kernelspec": {"name": "python310-sdkv2"}}, "python3", True),
        (None, {"kernelspec": {"name": "conda_root", "language": "python"}}, "python3", True),
        (None, {"kernelspec": {"name": "sparkmagic"}}, "python3", True),
        (None, {"kernelspec": {"name": "rapids"}}, "python3", True),
        ("gone", {"language_info": {"name": "ipython"}}, "python3", True),
        (
            None,
            {"kernelspec": {"name": "sql"}, "language_info": {"name": "python"}},
            "python3",
            True,
        ),
        (None, {"kernelspec": {"name": "go env", "language": "Python"}}, "python3", True),
        (None, {"kernelspec": {"name": "ir", "language": "python"}}, "python3", True),
    ],
)
def test_a_python_kernel_is_used_or_replaced_with_a_warning(
    asked: str | None, metadata: Mapping[str, Any], name: str, warned: bool
) -> None:
    chosen, warning = choose_kernel(asked, metadata, installed_language)

    assert (chosen, warning is not None) == (name, warned)


@pytest.mark.parametrize(
    ("asked", "metadata"),
    [
        (None, {"kernelspec": {"name": "ir", "language": "R"}}),
        (None, {"kernelspec": {"name": "ir"}}),
        (None, {"kernelspec": {"name": "julia-1.9"}}),
        (None, {"kernelspec": {"name": "xcpp17"}}),
        (None, {"kernelspec": {"name": ".net-csharp"}}),
        (None, {"language_info": {"name": "scala"}}),
        ("bash", {"kernelspec": {"name": "python3"}}),
        ("python3", {"language_info": {"name": "julia"}}),
        ("ir", {"language_info": {"name": "python"}}),
        (None, {"kernelspec": {"name": "gonb"}}),
        (None, {"kernelspec": {"name": "julia 1.10 (8 threads)"}}),
    ],
)
def test_another_language_is_refused_installed_or_not(
    asked: str | None, metadata: Mapping[str, Any]
) -> None:
    with pytest.raises(Failed) as caught:
        choose_kernel(asked, metadata, installed_language)

    assert caught.value.kind == "invalid"
