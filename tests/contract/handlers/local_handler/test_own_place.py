"""Whatever a run installs or changes is its own: nobody else sees it, and it goes with the run."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import site
import subprocess
import sys
import textwrap
import venv
from pathlib import Path
from typing import Any

import pytest
from uv import find_uv_bin

from handlers.local_handler import environments
from mlgate.orchestration.runs import Environment, RunStatus, Task
from tests.contract.handlers.local_handler.conftest import STUB, Bench, settle, warm_up
from tests.contract.handlers.local_handler.test_environments import WHEELS, wheel
from tests.contract.handlers.local_handler.warmth import LINUX_ALONE, ROOT, of_cells, was_warm

INSTALLS = {
    "pip": "pip install {wheel}",
    "pip of the interpreter": "python -m pip install {wheel}",
    "pip as another version": "pip3 install --upgrade --force-reinstall {wheel}",
    "uv": "{uv} pip install {wheel}",
    "uv for the interpreter": "{uv} pip install --python $(which python) {wheel}",
}
# Beside installs: what only a view of the kernel's keeps apart.
CHANGES = {
    "an installed file": "import base; open(base.__file__, 'a').write('version = 2.0')",
    "one more module": (
        "import base, pathlib; pathlib.Path(base.__file__).with_name('tiny.py').write_text('x = 2')"
    ),
    "the package is removed": "import base, os; os.unlink(base.__file__)",
    "beside the packages": "import sys, pathlib; pathlib.Path(sys.prefix, 'own').touch()",
    "a script": "import sys; open(sys.executable + '-more', 'w').close()",
}
SEES = """
import importlib.metadata, importlib.util, os, pathlib, sys
import base
found = [float(base.version), importlib.metadata.version('base')]
found += [importlib.util.find_spec('tiny') is None]
found += [pathlib.Path(sys.prefix, 'own').exists(), os.path.exists(sys.executable + '-more')]
"""
FRESH = [1.0, "1.0", True, False, False]


@pytest.fixture
def host(bench: Bench, tmp_path: Path) -> Path:
    """A Python with pip and the package base, on which a handler executes what asks for none."""
    folder = tmp_path / "host"
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    index(tmp_path)
    [packages] = folder.glob("lib/python*/site-packages")
    install = [find_uv_bin(), "pip", "install", "-q", "--link-mode=copy", "--python", str(python)]
    subprocess.run([*install, "pip", str(tmp_path / "base-1.0-py3-none-any.whl")], check=True)
    (packages / "shared.pth").write_text(f"{site.getsitepackages()[0]}\n")
    bench.handler = bench.new_handler(python=python)
    return folder


def index(folder: Path) -> Path:
    for name, content in {**WHEELS, "base-1.0-py3-none-any.whl": wheel("base")}.items():
        (folder / Path(name).name).write_bytes(content)
    return folder


def digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if "__pycache__" not in path.parts:
            content = path.read_bytes() if path.is_file() else b""
            found.update(f"{path} {path.lstat().st_mode}".encode() + content)
    return found.hexdigest()


def shell(command: str, folder: Path) -> str:
    """Python that runs an install in a shell and sees that it worked."""
    text = command.format(wheel=folder / "tiny-2.0-py3-none-any.whl", uv=find_uv_bin())
    return (
        f"import subprocess; subprocess.run({text!r}, shell=True, check=True)\n"
        "import importlib, sys; importlib.invalidate_caches()\n"
        "import tiny; assert tiny.version == '2.0', tiny.version\n"
    )


def sees(bench: Bench, **fields: Any) -> list[Any]:
    task = bench.task(f"{SEES}\nfinish(warnings=[repr(found)])", name="sees", **fields)
    outcome = bench.run(task)
    assert outcome.status is RunStatus.SUCCEEDED, outcome
    found = eval(outcome.warnings[-1])
    assert isinstance(found, list)
    return found


def succeeded(bench: Bench, task: Task) -> None:
    outcome = bench.run(task)
    assert outcome.status is RunStatus.SUCCEEDED, (outcome, bench.log(task))


@pytest.mark.parametrize("how", INSTALLS)
def test_what_a_command_installs_on_the_hosts_python_is_its_own(
    bench: Bench, host: Path, how: str
) -> None:
    before = digest(host)
    succeeded(bench, bench.task(shell(INSTALLS[how], bench.folder)))
    assert digest(host) == before
    assert sees(bench) == FRESH


@LINUX_ALONE
@pytest.mark.parametrize("how", CHANGES)
def test_what_a_command_changes_of_the_hosts_python_is_its_own(
    bench: Bench, host: Path, how: str
) -> None:
    before = digest(host)
    succeeded(bench, bench.task(CHANGES[how]))
    assert digest(host) == before
    assert sees(bench) == FRESH


@pytest.mark.parametrize("how", ["pip", "uv", "an installed file", "one more module"])
def test_what_a_run_changes_in_an_environment_is_its_own(bench: Bench, how: str) -> None:
    index(bench.folder)
    bench.handler = bench.new_handler()
    asked: dict[str, Any] = {
        "files": {"r.txt": f"--no-index\n--find-links file://{bench.folder}\nbase\n"},
        "environment": Environment(requirements="r.txt"),
    }
    assert sees(bench, **asked) == FRESH
    [environment] = (bench.home / "environments").glob("*/venv")
    before = digest(environment)
    script = CHANGES.get(how) or shell(INSTALLS[how], bench.folder)
    succeeded(bench, bench.task(script, number=2, **asked))
    assert digest(environment) == before
    assert sees(bench, number=3, **asked) == FRESH


@LINUX_ALONE
def test_runs_at_the_same_time_do_not_see_what_the_other_changes(bench: Bench, host: Path) -> None:
    waits = f"{CHANGES['an installed file']}\n{bench.waits()}"
    changes = bench.task(waits)
    bench.begun(changes)
    assert sees(bench) == FRESH
    bench.handler.cancel([changes.attempt])
    bench.ended(changes)


@LINUX_ALONE
def test_cells_change_what_is_their_runs_own_warm_or_not(bench: Bench, host: Path) -> None:
    """With `!` and `%`, and by hand; a run that is forked begins with nothing of the run before."""
    python = host / "bin" / "python"
    bench.handler = bench.new_handler(launcher=None, grace_seconds=20.0, python=python)
    before = digest(host)
    tiny = bench.folder / "tiny-2.0-py3-none-any.whl"
    cells = (
        f"{SEES}\nassert found == {FRESH}, found",
        f"!pip install -q {tiny}",
        "import tiny; assert tiny.version == '2.0'",
        "%pip uninstall -q -y tiny",
        f"!python -m pip install -q {tiny} && {find_uv_bin()} pip install -q {tiny}",
        *CHANGES.values(),
    )
    warmths = []
    for number in (1, 2, 3):
        task = of_cells(bench, *cells, number=number)
        succeeded(bench, task)
        warmths.append(was_warm(bench, task))
        assert digest(host) == before
        warm_up(bench)
        settle(bench)
    assert warmths == [False, True, True]


def test_where_there_are_no_views_a_run_has_an_environment_over_the_hosts(
    bench: Bench, host: Path
) -> None:
    """As where a home is inside of what is shared, which the kernel has no view for."""
    bench.home = host / "home"
    bench.handler = bench.new_handler(python=host / "bin" / "python")
    packages = digest(host / "lib"), digest(host / "bin")
    for number, how in enumerate(INSTALLS.values(), 1):
        script = f"import base, sys\n{shell(how, bench.folder)}\nassert 'venv' in sys.prefix"
        succeeded(bench, bench.task(script, number=number))
    assert (digest(host / "lib"), digest(host / "bin")) == packages
    assert sees(bench) == FRESH


def test_a_changed_environment_is_made_anew_where_there_are_no_views(bench: Bench) -> None:
    """Here by what is not a run, as runs have views; the shelf looks as it does without them."""
    index(bench.folder)
    asked: dict[str, Any] = {
        "files": {"r.txt": f"--no-index\n--find-links file://{bench.folder}\nbase\n"},
        "environment": Environment(requirements="r.txt"),
    }
    sees(bench, **asked)
    [folder] = (path for path in (bench.home / "environments").iterdir() if path.is_dir())
    [installed] = folder.glob("venv/lib/python*/site-packages/base.py")
    before = environments._state(folder)
    (installed.parent / "__pycache__").mkdir(exist_ok=True)
    assert environments._state(folder) == before
    times = installed.stat().st_atime_ns, installed.stat().st_mtime_ns
    installed.write_text(installed.read_text().replace("1.0", "2.0"))
    os.utime(installed, ns=times)
    assert environments._state(folder) != before


def test_packages_of_the_users_own_are_the_runs(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a Python that is in no environment, and so has a place for them below HOME."""
    index(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    (tmp_path / "user").mkdir()
    system = Path(sys.base_prefix, "bin", "python3")
    command = f"{system} -m pip install --user --break-system-packages {{wheel}}"
    text = command.format(wheel=tmp_path / "tiny-2.0-py3-none-any.whl")
    script = (
        f"import subprocess; subprocess.run({text!r}, shell=True, check=True)\n"
        f"subprocess.run([{str(system)!r}, '-c', 'import tiny'], check=True)"
    )
    succeeded(bench, bench.task(script))
    assert not list((tmp_path / "user").rglob("*tiny*"))
    (tmp_path / "user" / ".local").mkdir()
    succeeded(bench, bench.task(script, number=2))
    assert not list((tmp_path / "user").rglob("*tiny*"))


@pytest.mark.parametrize("where", ["host", "home/environments"])
def test_what_a_run_had_to_compile_is_compiled_for_the_next(
    bench: Bench, host: Path, where: str
) -> None:
    """From the sources as they were installed, whatever the run made of them."""
    asked: dict[str, Any] = {}
    if where != host.name:
        asked = {
            "files": {"r.txt": f"--no-index\n--find-links file://{bench.folder}\nbase\n"},
            "environment": Environment(requirements="r.txt"),
        }
    poisons = "import base\nopen(base.__file__, 'a').write('version = 7.0')\n"
    poisons += "import importlib; importlib.reload(base); assert base.version == 7.0"
    succeeded(bench, bench.task(poisons, **asked))
    assert list((bench.folder / where).rglob("__pycache__/base.*.pyc"))
    assert sees(bench, number=2, **asked) == FRESH


@LINUX_ALONE
def test_a_run_that_puts_a_pipe_in_the_way_of_compiling_ends(bench: Bench, host: Path) -> None:
    succeeded(bench, bench.task("import base, os; os.mkfifo('../sources.txt')"))
    assert list(host.rglob("__pycache__/base.*.pyc"))


@LINUX_ALONE
def test_what_a_run_installed_itself_is_not_compiled_for_others(bench: Bench, host: Path) -> None:
    task = bench.task(shell(INSTALLS["uv"], bench.folder))
    succeeded(bench, task)
    assert list(bench.attempt_folder(task).rglob("__pycache__/tiny.*.pyc"))
    assert not (bench.attempt_folder(task) / "sources.txt").exists()


@LINUX_ALONE
def test_compiling_for_the_next_runs_keeps_their_template(bench: Bench, host: Path) -> None:
    bench.handler = bench.new_handler(launcher=None, python=host / "bin" / "python")
    warm_up(bench)
    warmths = []
    for number in (1, 2, 3):
        task = of_cells(bench, "import base", number=number)
        succeeded(bench, task)
        warmths.append(was_warm(bench, task))
    assert list(host.rglob("__pycache__/base.*.pyc"))
    assert warmths == [True, True, True]


@LINUX_ALONE
@pytest.mark.parametrize("where", ["staged files", "launcher", "handlers"])
def test_what_no_install_changes_a_run_cannot_change(bench: Bench, where: str) -> None:
    """Not even as root, whom no permission stops."""
    task = bench.task("")
    folders = {
        "staged files": bench.home / "snapshots" / task.snapshot,
        "launcher": STUB.parent,
        "handlers": Path(environments.__file__).parent,
    }
    tried = folders[where] / "added.py"
    writes = f"""
        try:
            open({str(tried)!r}, "w").close()
        except OSError as error:
            finish(metrics={{"number": error.errno}})
    """
    writes = textwrap.dedent(writes)
    assert bench.run(bench.task(writes, number=2)).metrics == {"number": float(errno.EROFS)}
    assert folders[where].is_dir()
    assert not tried.exists()


@pytest.mark.parametrize("name", ["compileall", "struct"])
def test_code_of_a_run_does_not_compile_for_the_next(bench: Bench, name: str) -> None:
    """What compiles is outside of the run's view, with the credentials of package indexes."""
    index(bench.folder)
    asked: dict[str, Any] = {
        "files": {"r.txt": f"--no-index\n--find-links file://{bench.folder}\nbase\n"},
        "environment": Environment(requirements="r.txt"),
    }
    executed = bench.folder / "executed"
    planted = f"open({str(executed)!r}, 'w').close()"
    plants = f"import base, pathlib; pathlib.Path('..', '{name}.py').write_text({planted!r})"
    succeeded(bench, bench.task(plants, **asked))
    assert list((bench.home / "environments").rglob("__pycache__/base.*.pyc"))
    assert not executed.exists()


@pytest.mark.parametrize(
    "command", ["git rev-parse HEAD", "git -C .. status", "git -C ../.. log -1"]
)
def test_git_finds_no_repository_above_a_run(bench: Bench, command: str) -> None:
    """Where a home is in a work tree, say, as the default one is."""
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for step in (["init", "-q"], [*who, "commit", "-q", "--allow-empty", "-m", "a"]):
        subprocess.run(["git", *step], cwd=bench.folder, check=True)
    script = f"import subprocess\nfinish(metrics={{'code': subprocess.call({command.split()})}})"
    assert bench.run(bench.task(script)).metrics == {"code": 128.0}
    own = "import subprocess\nsubprocess.run(['git', 'init', '-q'], check=True)\n"
    assert bench.run(bench.task(own + script, number=2)).metrics["code"] in (0.0, 128.0)


CHANGES_OF_INPUTS = {
    "writes": "(kept / 'a').write_text('x')",
    "adds": "(kept / 'b').touch()",
    "removes": "(kept / 'a').unlink()",
}


@LINUX_ALONE
@pytest.mark.parametrize("how", CHANGES_OF_INPUTS)
def test_what_a_needed_run_kept_can_be_read_alone(bench: Bench, how: str) -> None:
    needed = bench.task("(OUTPUT / 'kept' / 'a').write_text('model')", name="base")
    bench.run(needed)
    script = (
        "import os, pathlib\nkept = pathlib.Path(os.environ['MLGATE_INPUT_BASE'])\n"
        f"assert (kept / 'a').read_text() == 'model'\n{CHANGES_OF_INPUTS[how]}"
    )
    outcome = bench.run(bench.task(script, inputs={"base": needed.attempt}))
    assert outcome.status is RunStatus.FAILED
    kept = bench.attempt_folder(needed) / "output" / "kept"
    assert [path.name for path in kept.iterdir()] == ["a"]
    assert (kept / "a").read_text() == "model"


@pytest.mark.parametrize("name", ["100% sure?", "My%20Project", "a b#c", "ä'\"&;$x", "plain"])
def test_a_home_may_have_any_name(tmp_path: Path, name: str) -> None:
    """Its path is part of a URI for MLflow, of mounts, and of the first lines of scripts."""
    folder = tmp_path / name
    folder.mkdir()
    bench = Bench(folder)
    index(tmp_path)
    asked: dict[str, Any] = {
        "files": {"r.txt": f"--no-index\n--find-links file://{tmp_path}\nbase\n"},
        "environment": Environment(requirements="r.txt"),
    }
    script = (
        "import os, pathlib, sqlite3, subprocess\nimport base\n"
        "uri = os.environ['MLFLOW_TRACKING_URI']\n"
        "assert not set('%?') & set(uri + base.__file__)\n"
        "db = sqlite3.connect(uri.removeprefix('sqlite:///'))\ndb.execute('create table t(x)')\n"
        "open(base.__file__, 'a').write('version = 2.0')\n"
        "subprocess.run(['pip', '--version'], check=True)"
    )
    uses_git = "import subprocess\nassert subprocess.call(['git', 'status']) == 128"
    task = bench.task(script, **asked)
    try:
        succeeded(bench, task)
        assert (bench.attempt_folder(task) / "mlflow.db").exists()
        assert sees(bench, number=2, **asked) == FRESH
        succeeded(bench, bench.task(uses_git, number=3))
        bench.handler.release(bench.build)
        assert not bench.attempt_folder(task).exists()
    finally:
        bench.close()
        for link in Path("/tmp").glob("mlgate-*"):
            if link.is_symlink() and link.readlink() == bench.home:
                link.unlink()


READS = """
import os, subprocess, sys
sys.path.insert(0, sys.argv[1])
from handlers.local_handler import processes
processes.be_readable(sys.argv[2] == "yes")
code = '''
import sys
try:
    open(f"/proc/{sys.argv[1]}/environ").read()
except OSError as error:
    sys.exit(error.errno)
'''
sys.exit(subprocess.run([sys.executable, "-c", code, str(os.getpid())]).returncode)
"""


@LINUX_ALONE
@pytest.mark.skipif(os.getuid() != 0, reason="needs another user than root, who reads everything")
@pytest.mark.parametrize("readable", ["yes", "no"])
def test_the_variables_of_a_worker_are_not_for_its_runs(tmp_path: Path, readable: str) -> None:
    sources = tmp_path / "sources"
    shutil.copytree(ROOT / "handlers", sources / "handlers")
    shutil.copytree(ROOT / "mlgate", sources / "mlgate")
    for path in (sources, tmp_path, *tmp_path.parents):
        path.chmod(path.stat().st_mode | 0o555)
    command = ["/usr/bin/python3", "-c", READS, str(sources), readable]
    ended = subprocess.run(command, check=False, user=65534, cwd="/")
    assert ended.returncode == (0 if readable == "yes" else errno.EACCES)
