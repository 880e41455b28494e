"""What can be known of the runs without running them: each defect a distinct code."""

from __future__ import annotations

from typing import Any

import pytest

from mlgate.orchestration.planning.plan import plan
from mlgate.orchestration.planning.preflight import kernel_warnings, preflight
from tests.unit.orchestration.wire.samples import (
    Files,
    notebook,
    notebook_run,
    places,
    serving_run,
    start,
    training_run,
    tree,
)

FILES = Files(
    {
        "n/good.ipynb": notebook(
            "%matplotlib inline\nimport pandas as pd",
            ("alpha = 1", ["parameters"]),
            "df = pd.read_csv('x.csv')",
            language_info={"name": "python"},
        ),
        "n/x.csv": b"",
        "n/python2.ipynb": notebook("x = 1", "print 'hello'"),
        "n/r.ipynb": notebook(language_info={"name": "R"}),
        "n/broken.ipynb": b"{",
        "n/reads.ipynb": notebook("open('y.csv')"),
        "n/reads_above.ipynb": notebook("open('../../y.csv')\nopen('/etc/x')\nopen('../src/t.py')"),
        "src/t.py": b"",
    }
)


@pytest.mark.parametrize(
    ("run", "code", "pointer", "words"),
    [
        (notebook_run("n/god.ipynb"), "missing-notebook", "/path", "`n/good.ipynb`"),
        (notebook_run("m/*.ipynb"), "no-match", "/path", ""),
        (notebook_run("n/good.ipynb", directory="m"), "missing-directory", "/directory", ""),
        (
            notebook_run("n/good.ipynb", environment={"requirements": "r.txt"}),
            "missing-environment",
            "/environment/requirements",
            "",
        ),
        (
            notebook_run("n/good.ipynb", parameters={"alhpa": 2}),
            "unknown-parameter",
            "/parameters/alhpa",
            "`alpha`",
        ),
        (notebook_run("n/broken.ipynb"), "unreadable-notebook", "/path", "n/broken.ipynb"),
        (notebook_run("n/r.ipynb"), "wrong-language", "/path", "`R`"),
        (notebook_run("n/good.ipynb", kernel="ir"), "wrong-language", "/kernel", "`ir`"),
        (notebook_run("n/python2.ipynb"), "syntax-error", "/path", "code cell 2, line 1"),
        (notebook_run("n/reads.ipynb"), "missing-data", "/path", "`y.csv`"),
        (training_run("python3 s.py"), "missing-script", "/command", "`s.py`"),
        (training_run("python t.py", directory="n"), "missing-script", "/command", "`n/t.py`"),
    ],
)
def test_each_defect_has_a_code_of_its_own(
    run: dict[str, Any], code: str, pointer: str, words: str
) -> None:
    found = preflight(plan(start(run), FILES), FILES)
    assert places(found) == {(code, f"/runs/0{pointer}")}
    assert words in str(found[0])


@pytest.mark.parametrize(
    "run",
    [
        notebook_run("n/good.ipynb", parameters={"alpha": 2}),
        notebook_run("n/good.ipynb", kernel="python38-azureml"),
        notebook_run("n/reads_above.ipynb", parameters={"undeclared": 1}),
        training_run("python src/t.py --alpha 1"),
        training_run("python t.py", directory="src"),
        training_run("python $SCRIPT.py"),
        training_run("python -m pytest"),
        training_run("python 'unclosed.py"),
        training_run("./run.sh"),
    ],
)
def test_what_may_well_work_is_no_finding(run: dict[str, Any]) -> None:
    assert preflight(plan(start(run), FILES), FILES) == []


def test_a_defect_of_one_notebook_in_a_glob_names_the_notebook() -> None:
    planned = plan(start(notebook_run("n/*.ipynb", name="all")), FILES)
    found = preflight(planned, FILES)
    assert {each.pointer for each in found} == {"/runs/0/path"}
    assert {each.code for each in found} == {
        "syntax-error",
        "wrong-language",
        "unreadable-notebook",
        "missing-data",
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"\xff", "is not JSON"),
        (b'{"instances": [[1]]}', "holds an object"),
        (b"[]", "has an empty list"),
    ],
)
def test_a_file_that_holds_no_list_of_requests_is_a_finding(content: bytes, words: str) -> None:
    files = Files({"src/t.py": b"", "r.json": content})
    runs = [training_run("python src/t.py", name="train"), serving_run(requests="r.json")]
    [found] = preflight(plan(start(*runs), files), files)
    assert (found.code, found.pointer) == ("bad-requests", "/runs/1/requests")
    assert words in found.message


def test_what_a_serving_run_names_that_is_not_there_is_a_finding() -> None:
    files = Files({"src/t.py": b"", "requests/good.json": b'[{"instances": [[1]]}]'})
    training = training_run("python src/t.py", name="train")

    def found(**fields: Any) -> set[tuple[str, str]]:
        planned = plan(start(training, serving_run(**fields)), files)
        assert (planned.runs[1].failure is None) == (not preflight(planned, files))
        return places(preflight(planned, files))

    assert found(requests="requests/good.json", path="outputs/m.onnx") == set()
    assert found(requests="requests/god.json") == {("missing-requests", "/runs/1/requests")}
    assert found(environment={"requirements": "r.txt"}) == {
        ("missing-environment", "/runs/1/environment/requirements")
    }
    assert found(directory="gone") == {("missing-directory", "/runs/1/directory")}


def test_what_a_serving_run_has_of_its_models_run_is_found_there_alone() -> None:
    files = Files({"src/t.py": b""})
    training = training_run("python src/t.py", name="t", environment={"requirements": "r.txt"})
    planned = plan(start(training, serving_run("t")), files)
    assert places(preflight(planned, files)) == {
        ("missing-environment", "/runs/0/environment/requirements")
    }
    assert planned.runs[1].failure is None


def test_pointers_lead_into_the_file_that_names_the_run() -> None:
    files = tree(
        contents={"plan.json": b'{"runs": [{"kind": "training", "command": "python x.py"}]}'}
    )
    planned = plan(start(runs_from="plan.json"), files)
    assert places(preflight(planned, files)) == {("missing-script", "plan.json#/runs/0/command")}


@pytest.mark.parametrize(
    ("metadata", "kernel", "pointer"),
    [
        ({"kernelspec": {"name": "weird", "language": "python"}}, None, "/runs/0/path"),
        ({"kernelspec": {"name": "weird"}}, None, "/runs/0/path"),
        ({}, "weird", "/runs/0/kernel"),
        ({"kernelspec": {"name": "weird"}}, "python3", None),
        ({"kernelspec": {"name": "python3"}}, None, None),
        ({"kernelspec": {"name": "ir"}}, None, None),  # a finding, not a warning
        ({}, None, None),
    ],
)
def test_a_kernel_that_only_the_environment_can_know_is_a_warning(
    metadata: dict[str, Any], kernel: str | None, pointer: str | None
) -> None:
    files = Files({"a.ipynb": notebook("1", **metadata), "b.ipynb": b"{"})
    asked = {} if kernel is None else {"kernel": kernel}
    runs = plan(start(notebook_run("*.ipynb", **asked)), files)

    found = kernel_warnings(runs, files)
    assert [(each.code, each.pointer) for each in found] == (
        [("unknown-kernel", pointer)] if pointer else []
    )
