"""Libraries that a template imports for kernels: no cell can tell, and others are left to it."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import venv
from dataclasses import replace
from pathlib import Path

import pytest

from mlgate.orchestration.runs import RunStatus, Task
from tests.contract.handlers.local_handler.conftest import Bench, known, settle, warm_up
from tests.contract.handlers.local_handler.packages import QUESTIONS, SEEMLY, UNSEEMLY
from tests.contract.handlers.local_handler.probes import CELLS
from tests.contract.handlers.local_handler.test_supervision import below
from tests.contract.handlers.local_handler.test_warm_equals_cold import (
    VARYING,
    answers_of,
    outcome_of,
    tagged,
)
from tests.contract.handlers.local_handler.test_with_the_launcher import written
from tests.contract.handlers.local_handler.warmth import (
    LINUX_ALONE,
    ROOT,
    TELL,
    process_of,
    was_warm,
)

pytestmark = LINUX_ALONE

# What was frozen before the kernel was forked is no longer among the collector's objects.
AHEAD = "import gc\nall(each is not vars({}) for each in gc.get_objects())"
MODELS = Path(site.getsitepackages()[0]).parents[2] / "models" / "lib"


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The interpreter of an environment with the packages of this one and of `packages`."""
    own = tmp_path / "venv"
    venv.create(own)
    [packages] = own.glob("lib/python*/site-packages")
    folders = [*site.getsitepackages(), *map(str, MODELS.glob("python*/site-packages"))]
    (packages / "shared.pth").write_text("\n".join(folders))
    for name, text in SEEMLY.items():
        (packages / name).parent.mkdir(exist_ok=True)
        (packages / name).write_text(text)
    return own / "bin" / "python"


@pytest.fixture
def bench(bench: Bench, python: Path) -> Bench:
    """Its first runs are started as programs."""
    bench.handler = bench.new_handler(launcher=None, grace_seconds=20.0, python=python)
    return bench


def test_no_cell_can_tell(bench: Bench) -> None:
    """The same notebook cold, then warm when its import was not yet shared, and when it was."""
    cells = ["import seemly", VARYING, *QUESTIONS.values(), *CELLS.values()]
    last = ["import os\nos.makedirs('left', exist_ok=True)", TELL, AHEAD.format("seemly")]
    answers, outcomes, ends = [], [], []
    for number in (1, 2, 3):
        task = of_cells(bench, *cells, *last, number=number)
        outcomes.append(outcome_of(bench.run(task)))
        answers.append(answers_of(bench, task)[1:])
        tree = bench.attempt_folder(task) / "tree" / "nb"
        ends.append((tree / "left" / "library.txt").read_text())
        assert was_warm(bench, task) is (number > 1)
        warm_up(bench)
    names = [VARYING, *QUESTIONS, *CELLS, "made", TELL, "ahead"]
    for again in answers[1:]:
        pairs = dict(zip(names, zip(answers[0], again, strict=True), strict=True))
        pairs.pop("ahead")
        assert {name: pair for name, pair in pairs.items() if len(set(pair)) > 1} == {}
    assert [each[-1] for each in answers] == ["False", "True", "True"]
    assert outcomes == [outcomes[0]] * 3
    assert ends == ["nb"] * 3


def test_two_kernels_share_nothing_random(bench: Bench) -> None:
    draws = (
        "import seemly, numpy",
        "import numpy.random, random, secrets, uuid",
        "[numpy.random.rand(), numpy.random.default_rng().random(), seemly.generator.random(),"
        " random.random(), secrets.token_hex(), str(uuid.uuid4())]",
        AHEAD.format("numpy.random"),
    )
    warm_up(bench)
    drawn = []
    for number in (1, 2, 3):
        answers = shown(bench, *draws, number=number)
        drawn.append(answers[-2])
        assert answers[-1] == str(number > 1)
    assert len({each for text in drawn for each in text.strip("[]").split(",")}) == 18


def test_notebooks_share_what_they_begin_with(bench: Bench) -> None:
    """In the same order, and no more: what follows is a cell's own."""
    warm_up(bench)
    begin = "from IPython.display import display\nimport seemly\n"
    ahead = [AHEAD.format(name) for name in ("seemly", "joblib")]
    first, second = f"{begin}import joblib, numpy", f"{begin}import numpy, joblib"
    assert shown(bench, first, *ahead, number=1)[-2:] == ["False", "False"]
    assert shown(bench, second, *ahead, number=2)[-2:] == ["True", "False"]
    assert shown(bench, first, *ahead, number=3)[-2:] == ["True", "True"]
    loaded = "import sys\n'seemly' in sys.modules"
    assert shown(bench, "import numpy", loaded, number=4)[-1] == "False"
    # Each import once: what a kernel has imported itself needs no branch.
    assert len(below(process_of(known(bench)[0]))) == 3


def test_a_module_is_imported_with_its_package(bench: Bench) -> None:
    """However a notebook names it."""
    package(bench, "whole", __init__="", part="")
    warm_up(bench)
    ways = ("import whole.part", "from whole import part\nimport whole", "import whole, whole.part")
    ahead, begun = [AHEAD.format(name) for name in ("whole", "whole.part")], []
    for number, way in enumerate(ways, 1):
        assert shown(bench, way, *ahead, number=number)[1:] == [str(number > 1)] * 2
        begun.append(len(below(process_of(known(bench)[0]))))
    assert begun[2] == begun[1] == begun[0] + 2


def test_a_module_is_imported_where_its_package_is(bench: Bench) -> None:
    package(bench, "whole", __init__="import time\nMADE = time.monotonic_ns()", part="")
    warm_up(bench)
    made = [
        shown(bench, way, "whole.MADE", number=number)[-1]
        for number, way in enumerate(("import whole", "import whole.part") * 3, 1)
    ]
    assert len(set(made[3:])) == 1


def test_what_is_refused_is_tried_once(bench: Bench) -> None:
    package(bench, "deep", __init__="print('loud')", part="")
    warm_up(bench)
    for number in (1, 2, 3, 4):
        assert shown(bench, "import deep.part", "deep.part.__name__", number=number)[0] == "loud\n"
    refused = (bench.home / "templates.log").read_text().split(" is left to the notebooks")
    assert [text.split()[-1] for text in refused[:-1]] == ["deep"]


@pytest.mark.parametrize("name", ["nope", "Nope"])
def test_what_follows_an_import_that_fails_is_not_imported(bench: Bench, name: str) -> None:
    package(bench, "whole", __init__="")
    warm_up(bench)
    cells = (f"from whole import {name}\nimport seemly", "import sys\n'seemly' in sys.modules")
    for number in (1, 2, 3):
        assert shown(bench, *cells, number=number)[-1] == "False"


@pytest.mark.slow
def test_a_template_has_a_bounded_number_of_branches(bench: Bench) -> None:
    """When there would be more, all end, and those that are asked for are made again."""
    [packages] = bench.folder.glob("venv/lib/python*/site-packages")
    for number in range(30):
        (packages / f"many{number}").mkdir()
        (packages / f"many{number}" / "__init__.py").touch()
    warm_up(bench)
    most = 0
    for number in range(30):
        for twice in (1, 2):
            cells = (f"import many{number}", AHEAD.format(f"many{number}"))
            answers = shown(bench, *cells, number=2 * number + twice)
        assert answers[-1] == "True"
        most = max(most, len(below(process_of(known(bench)[0]))))
    assert 24 <= most <= 26


@pytest.mark.parametrize("name", ["seemly.py", "numpy/__init__.py", "seemly.ini"])
def test_where_a_folder_has_what_an_import_would_find_the_kernel_imports_it(
    bench: Bench, name: str
) -> None:
    cells = ("import numpy, seemly", "[numpy.__file__, seemly.__file__, seemly.CONFIGURED]")
    warm_up(bench)
    before = [shown(bench, *cells, number=number)[-1] for number in (1, 2)]
    task = of_cells(bench, *cells, number=3, more={f"nb/{name}": "CONFIGURED = 1\n"})
    assert bench.run(task).status is RunStatus.SUCCEEDED
    assert before[0] == before[1]
    assert answers_of(bench, task)[-1] != before[0]


def test_what_is_refused_is_imported_by_the_notebook(bench: Bench) -> None:
    [packages] = bench.folder.glob("venv/lib/python*/site-packages")
    (packages / "noisy").mkdir()
    (packages / "noisy" / "__init__.py").write_text("print('loud')")
    warm_up(bench)
    for number in (1, 2, 3):
        answers = shown(bench, "import noisy\nimport numpy", AHEAD.format("noisy"), number=number)
        assert answers[-2:] == ["loud\n", "False"]
    assert "noisy is left to the notebooks" in (bench.home / "templates.log").read_text()
    for number in (4, 5):
        answers = shown(bench, "import numpy", AHEAD.format("numpy"), number=number)
    assert answers[-1] == "True"


MAKING = """
import pathlib
folder = pathlib.Path({folder!r})
if not folder.exists() or {always}:
    folder.mkdir(exist_ok=True)
    (folder / "cache").write_text("made")
"""


@pytest.mark.parametrize("always", [False, True])
def test_a_library_that_makes_files_when_first_imported_is_shared(
    bench: Bench, always: bool
) -> None:
    [packages] = bench.folder.glob("venv/lib/python*/site-packages")
    made = bench.folder / "of-the-user"
    (packages / "making").mkdir()
    text = MAKING.format(folder=str(made), always=always)
    (packages / "making" / "__init__.py").write_text(text)
    warm_up(bench)
    ahead = []
    for number in (1, 2, 3):
        ahead += shown(bench, "import making", AHEAD.format("making"), number=number)[-1:]
        if number == 1:  # the template is the first
            shutil.rmtree(made)
    assert ahead == ["False", *[str(not always)] * 2]
    left = "making is left to the notebooks that import it: it opened"
    assert (left in (bench.home / "templates.log").read_text()) is always


def test_a_library_that_seeds_another_is_left_to_the_notebook(bench: Bench) -> None:
    """Also when what it seeds was imported ahead before, and so is seeded in each kernel."""
    [packages] = bench.folder.glob("venv/lib/python*/site-packages")
    (packages / "seeds").mkdir()
    (packages / "seeds" / "__init__.py").write_text("import numpy.random\nnumpy.random.seed(7)")
    cells = ("import numpy.random\nimport seeds", "numpy.random.rand()")
    ahead = [AHEAD.format(name) for name in ("numpy.random", "seeds")]
    warm_up(bench)
    drawn = [shown(bench, *cells, *ahead, number=number)[-3:] for number in (1, 2, 3)]
    assert [found for _, *found in drawn] == [["False"] * 2, *[["True", "False"]] * 2]
    assert len({number for number, *_ in drawn}) == 1


DRIVER = """
import copyreg, json, os, sys, warnings
import ipykernel.kernelapp, IPython.core.debugger, sqlite3
of_kernels = sys.modules, sys.meta_path, warnings.filters, copyreg.dispatch_table
of_kernels = [each.copy() for each in of_kernels]
sys.path.insert(0, sys.argv[1])
from handlers.local_handler import kernels, watching
from handlers.local_handler.recording import Impure
sys.path.pop(0)
variables = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "MLGATE_RUN_NAME": "a"}
said = os.fdopen(os.dup(1), "w")
for name in sys.argv[2:]:
    if os.fork() == 0:
        seeds, why = kernels.KernelSeeds(*of_kernels), None
        try:
            with seeds.as_imported():
                watching.add(seeds.library, name, variables)
        except Impure as refused:
            why = str(refused)
        said.write(json.dumps([name, why]) + "\\n")
        said.flush()
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def reasons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """Why each of the packages is refused."""
    folder = tmp_path_factory.mktemp("packages")
    venv.create(folder / "venv")
    [packages] = folder.glob("venv/lib/python*/site-packages")
    (packages / "shared.pth").write_text(site.getsitepackages()[0])
    names = {f"unseemly_{number}": case for number, case in enumerate(UNSEEMLY)}
    for name, case in names.items():
        (packages / f"{name}.py").write_text(UNSEEMLY[case][0])
    # Any whole number of seconds is the time since this machine started, once.
    harmless = "import json, time\nVALUE = 1\nHOUR = float(int(time.monotonic()))\n"
    (packages / "harmless.py").write_text(harmless)
    done = subprocess.run(
        [folder / "venv" / "bin" / "python", "-c", DRIVER, ROOT, "harmless", *names],
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    found: dict[str, str | None] = dict(map(json.loads, done.stdout.splitlines()))
    return {names.get(name, name): why for name, why in found.items()}


def test_an_import_that_only_makes_modules_is_shared(reasons: dict[str, str | None]) -> None:
    assert reasons["harmless"] is None


@pytest.mark.parametrize("case", UNSEEMLY)
def test_what_no_import_may_do_is_refused(reasons: dict[str, str | None], case: str) -> None:
    assert UNSEEMLY[case][1] in (reasons[case] or "")


def package(bench: Bench, name: str, **modules: str) -> None:
    """Install a package with these modules."""
    [packages] = bench.folder.glob("venv/lib/python*/site-packages")
    (packages / name).mkdir()
    for module, text in modules.items():
        (packages / name / f"{module}.py").write_text(text)


def of_cells(bench: Bench, *cells: str, number: int, more: dict[str, str] | None = None) -> Task:
    """A notebook that goes on after errors, as one of four of its build."""
    files = dict(tagged(cells)) | (more or {})
    content = json.loads(files["nb/a.ipynb"])
    content["cells"] = content["cells"][1:]  # the last cell notes how its kernel came to be
    files["nb/a.ipynb"] = json.dumps(content)
    return replace(bench.notebook(number=number, files=files), of=4)


def shown(bench: Bench, *cells: str, number: int) -> list[str]:
    """What the cells of a warm notebook show."""
    task = of_cells(bench, *cells, TELL, number=number)
    outcome = bench.run(task)
    assert outcome.status is RunStatus.SUCCEEDED, (outcome, written(bench, "log.txt"))
    assert was_warm(bench, task)
    settle(bench)
    return answers_of(bench, task)[:-1]
