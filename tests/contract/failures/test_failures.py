"""Whether the failure kinds that people labelled are the ones that the launcher gives."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from mlgate.launcher.archive import archive
from mlgate.launcher.reasons import TRANSIENT
from tests.contract.failures import builtin_cases, code_cases, drawn_cases, library_cases
from tests.contract.failures.case import Case

JUDGE = Path(__file__).parent / "judge.py"
PYTHON_ALONE = (*code_cases.CODE, *builtin_cases.ALL)


@dataclass(frozen=True)
class Environment:
    """Libraries in versions of one time; `forced` are put among them although they do not fit."""

    name: str
    cases: Sequence[Case]
    packages: Sequence[str]
    forced: Sequence[str] = ()

    def python(self, folder: Path) -> Path:
        """Its interpreter."""
        return folder / self.name / "bin" / "python"


ENVIRONMENTS = [
    pytest.param(each, id=each.name)
    for each in (
        Environment(
            "late",
            (*library_cases.LATE, *drawn_cases.ALL),
            (
                *("ipython", "rich", "typer", "tqdm", "loguru", "tenacity", "matplotlib"),
                *("pandas>=2.2,<3", "numpy>=2,<3", "scikit-learn>=1.6,<2", "sqlalchemy>=2,<3"),
                *("requests", "httpx", "aiohttp", "openai>=1.60", "grpcio", "google-api-core"),
                *("azure-storage-blob", "botocore", "pymysql", "redis", "pymongo"),
            ),
        ),
        Environment(
            "early",
            library_cases.EARLY,
            (
                *("ipython<8.13", "rich<13", "tqdm", "setuptools", "matplotlib<3.7"),
                *("pandas<2", "numpy<1.25", "scikit-learn<1.2", "sqlalchemy<2", "openai<1"),
                *("requests", "urllib3<2", "aiohttp<3.9", "httpx<0.24"),
            ),
        ),
        Environment(
            "mixed",
            library_cases.MIXED,
            ("ipython", "pandas==1.5.3", "scikit-learn==1.2.2", "openai==1.40.0", "httpx==0.28.1"),
            forced=("numpy==2.0.2",),
        ),
    )
]


@dataclass(frozen=True)
class Judged:
    """What became of a case in one place."""

    case: Case
    place: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"[{self.place}] {self.case.name}\n      -> {self.kind}: {self.message}"


def judged(python: Path, cases: Sequence[Case], folder: Path) -> list[Judged]:
    """What the launcher makes of the cases that the interpreter's environment has all for."""
    folder.mkdir(exist_ok=True)
    (folder / "launcher.pyz").write_bytes(archive())
    (folder / "cases.json").write_text(json.dumps([asdict(case) for case in cases]))
    done = subprocess.run(
        [python, JUDGE, "launcher.pyz", "cases.json", "trees"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [Judged(cases[a["number"]], a["place"], a["kind"], a["message"]) for a in answers]


def matrix(every: Sequence[Judged]) -> str:
    """What was right by what was given."""
    counts = Counter((each.case.label, each.kind) for each in every)
    kinds = sorted({kind for pair in counts for kind in pair})
    width = max(map(len, kinds)) + 2
    rows = [" " * 16 + "".join(f"{kind:>{width}}" for kind in kinds)]
    for label in kinds:
        cells = (counts[label, kind] or "." for kind in kinds)
        rows.append(f"{label:16}" + "".join(f"{cell:>{width}}" for cell in cells))
    return "\n".join(rows)


def check(every: Sequence[Judged], at_least: float) -> None:
    wrong = [each for each in every if each.kind != each.case.label]
    retried = [each for each in wrong if each.kind in TRANSIENT]
    report = "\n".join([matrix(every), *map(str, wrong)])
    print(report)
    assert not retried, f"would be retried for nothing:\n{report}"
    assert len(wrong) <= (1 - at_least) * len(every), report


def test_a_sample_of_what_needs_python_alone(tmp_path: Path) -> None:
    sample = PYTHON_ALONE[::16]

    check(judged(Path(sys.executable), sample, tmp_path / "here"), at_least=1)


@pytest.mark.slow
def test_what_needs_python_alone(tmp_path: Path) -> None:
    check(judged(Path(sys.executable), PYTHON_ALONE, tmp_path / "here"), at_least=0.95)


@pytest.fixture(params=ENVIRONMENTS)
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> Environment:
    """One of them, made."""
    made: Environment = request.param
    uv, python = Path(sys.executable).with_name("uv"), made.python(tmp_path)
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, python.parents[1]], check=True)
    install = [str(uv), "pip", "install", "-q", "--python", str(python)]
    subprocess.run([*install, *made.packages], check=True)
    if made.forced:
        subprocess.run([*install, "--no-deps", *made.forced], check=True)
    return made


@pytest.mark.slow
def test_what_libraries_raise(environment: Environment, tmp_path: Path) -> None:
    python = environment.python(tmp_path)

    check(judged(python, environment.cases, tmp_path / "here"), at_least=0.95)
