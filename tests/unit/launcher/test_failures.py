"""The failure kind that an exception, a traceback or an exit code is given."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mlgate.launcher.client import cell_error
from mlgate.launcher.exits import command_failure
from mlgate.launcher.origins import Origins
from mlgate.launcher.reasons import classify
from mlgate.launcher.recording import record
from mlgate.launcher.text import one_line, plain
from mlgate.launcher.tracebacks import ending, last_raised
from mlgate.launcher.values import Failed, Frame, Place, Raised

PACKAGES = "/venv/lib/python3.11/site-packages"


@pytest.fixture
def origins(tmp_path: Path) -> Origins:
    (tmp_path / "helpers.py").write_text("class Model:\n    def fit(self): ...\n")
    return Origins(Place(tmp_path, tmp_path, tmp_path, None, {}, None))


@pytest.mark.parametrize(
    ("kind", "library", "name", "message"),
    [
        # What is too large to install, or needs a service of its own.
        ("out_of_memory", "torch", "OutOfMemoryError", "CUDA out of memory. Tried to allocate"),
        ("out_of_memory", "torch", "AcceleratorError", "CUDA error: out of memory"),
        ("out_of_memory", "jaxlib", "XlaRuntimeError", "RESOURCE_EXHAUSTED: Out of memory while"),
        ("out_of_memory", "tensorflow", "ResourceExhaustedError", "OOM when allocating tensor"),
        ("out_of_memory", "py4j", "Py4JJavaError", "java.lang.OutOfMemoryError: Java heap space"),
        ("network", "pyodbc", "OperationalError", "('HYT00', 'Login timeout expired (0)')"),
        (
            "network",
            "psycopg2",
            "OperationalError",
            'connection to server at "h" (1.2.3.4), port 5432 failed: Connection refused',
        ),
        ("network", "kafka", "NoBrokersAvailable", "NoBrokersAvailable"),
        (
            "network",
            "mlflow",
            "MlflowException",
            "API request to x failed with exception "
            "HTTPSConnectionPool(host='x', port=443): Max retries exceeded with url: /",
        ),
        (
            "network",
            "huggingface_hub",
            "HfHubHTTPError",
            "503 Server Error: Busy for url: https://x",
        ),
        ("code", "psycopg2", "OperationalError", 'password authentication failed for user "a"'),
        ("code", "torch", "RuntimeError", "mat1 and mat2 shapes cannot be multiplied"),
        ("code", "grpc", "_InactiveRpcError", "status = StatusCode.INVALID_ARGUMENT"),
        (
            "environment",
            "mlflow",
            "MlflowException",
            "The filesystem backend is in maintenance mode",
        ),
        ("environment", "pkg_resources", "VersionConflict", "(a 1.0, Requirement.parse('a>2'))"),
        ("dependency", "graphviz", "ExecutableNotFound", "failed to execute 'dot'"),
        ("data", "tensorflow", "NotFoundError", "a.tfrecord; No such file or directory"),
    ],
)
def test_a_library_s_exception_is_sorted_by_its_class_or_its_words(
    origins: Origins, kind: str, library: str, name: str, message: str
) -> None:
    frame = Frame(f"{PACKAGES}/{library}/core.py", "call", raises=True)
    error = Raised(name, message, classes=(f"{library}.errors.{name}",), frames=(frame,))

    assert classify(error, origins) == kind


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("dependency", "OSError", "[E050] Can't find model 'en_core_web_sm'. It doesn't seem to"),
        ("dependency", "ImportError", "libGL.so.1: cannot open shared object file: No such file"),
        ("dependency", "RuntimeError", "Requested MovieWriter (ffmpeg) not available"),
        ("environment", "ImportError", "numpy.core.multiarray failed to import"),
        ("environment", "ImportError", "lib.so: undefined symbol: _ZN3c10"),
        ("environment", "TypeError", "Descriptors cannot be created directly."),
        ("environment", "AttributeError", "`np.float_` was removed in the NumPy 2.0 release."),
        ("data", "LookupError", "Resource punkt not found.\n  Please use the NLTK Downloader"),
        ("data", "OSError", "Unable to open file (name = 'a.h5', 'No such file or directory')"),
        ("network", "OSError", "We couldn't connect to 'https://hub.example' to load this file"),
        ("code", "ValueError", "could not convert string to float: 'connection refused'"),
        ("code", "KeyError", "'not installed'"),
        ("code", "AssertionError", "timed out"),
    ],
)
def test_words_of_a_class_that_is_built_in_count_where_a_library_raised_it(
    origins: Origins, kind: str, name: str, message: str
) -> None:
    classes = (f"builtins.{name}",)
    theirs = Raised(name, message, "", classes, (Frame(f"{PACKAGES}/lib/core.py", "f", True),))
    mine = Raised(name, message, "", classes, (Frame("train.py", "<module>", True),))

    assert classify(theirs, origins) == kind
    assert classify(mine, origins) == "code"


def test_a_program_that_is_missing_is_no_missing_file(origins: Origins) -> None:
    frames = (Frame("/usr/lib/python3.11/subprocess.py", "_execute_child", True),)
    classes = ("builtins.FileNotFoundError",)
    message = "[Errno 2] No such file or directory: "
    program = Raised("FileNotFoundError", f"{message}'dot'", "", classes, frames)
    script = Raised("FileNotFoundError", f"{message}'./dot.sh'", "", classes, frames)

    assert classify(program, origins) == "dependency"
    assert classify(script, origins) == "data"


def test_a_group_is_transient_only_if_all_of_it_is(origins: Origins) -> None:
    refused = Raised("ConnectionError", "no", classes=("builtins.ConnectionError",))
    missing = Raised("FileNotFoundError", "no", classes=("builtins.FileNotFoundError",))

    assert classify(Raised("ExceptionGroup", "2", members=(refused, refused)), origins) == "network"
    assert classify(Raised("ExceptionGroup", "2", members=(refused, missing)), origins) == "data"


def test_a_record_holds_the_classes_the_files_and_what_was_wrapped() -> None:
    try:
        try:
            open("no/where.csv")  # noqa: PTH123, SIM115 -- as notebooks do it
        except OSError:
            raise RuntimeError("cannot load")  # noqa: B904 -- as notebooks do it
    except RuntimeError as error:
        found = Raised.read(record(error))

    assert (found.name, found.message) == ("RuntimeError", "cannot load")
    assert found.classes[0] == "builtins.RuntimeError"
    assert found.frames[-1].raises
    assert found.frames[-1].file == __file__
    (cause,) = found.causes
    assert cause.classes[0] == "builtins.FileNotFoundError"
    assert cause.facts["errno"] == "ENOENT"
    assert not cause.frames[-1].raises


def test_what_was_being_handled_deeper_in_the_code_is_not_recorded() -> None:
    def fall_back() -> None:
        raise ValueError("no cache")

    try:
        try:
            open("no/where.csv")  # noqa: PTH123, SIM115 -- as notebooks do it
        except OSError:
            fall_back()
    except ValueError as error:
        found = Raised.read(record(error))

    assert not found.causes


PYTHON_TRACE = """\
Traceback (most recent call last):
  File "train.py", line 3, in <module>
    main()
  File "train.py", line 2, in main
    raise package.errors.LoaderError("no\\ndata")
package.errors.LoaderError: no
data"""


def test_python_s_own_traceback_is_found_behind_other_output() -> None:
    found = last_raised(f"epoch 1\n{PYTHON_TRACE}\n")

    assert found is not None
    assert (found.name, found.message, found.traceback) == ("LoaderError", "no", PYTHON_TRACE)
    assert found.classes == ("package.errors.LoaderError",)
    assert found.frames == (Frame("train.py", "<module>"), Frame("train.py", "main", raises=True))


def test_an_earlier_traceback_that_was_only_printed_does_not_count() -> None:
    printed = "Traceback (most recent call last):\n  File \"a\", line 1, in f\nKeyError: 'old'\n"
    found = last_raised(f"{printed}epoch 1\n{PYTHON_TRACE}")

    assert found is not None
    assert found.traceback == PYTHON_TRACE


REFUSED = """\
Traceback (most recent call last):
  File "train.py", line 3, in <module>
    fetch()
ConnectionRefusedError: [Errno 111] Connection refused
"""


@pytest.mark.parametrize(
    ("before", "after", "sure"),
    [
        ("epoch 1\n", "", True),
        ("WARNING:root:slow\n", "", True),
        (" 33%|###  | 1/3 [00:01<00:02]", " 33%|###  | 1/3 [00:01<00:02, 1.2s/it]\n", True),
        ("", "Exception ignored in: <function f>\n" + PYTHON_TRACE, True),
        ("", "Unclosed client session\nclient_session: <aiohttp.client object>\n", True),
        ("", "make: *** [Makefile:2: all] Error 1\n", True),
        ("", "\nreal\t0m1.234s\nuser\t0m0,006s\nsys\t0m0.002s\n", True),
        (
            "",
            "Command exited with non-zero status 1\n"
            "0.02user 0.01system 0:00.03elapsed 97%CPU (0avgtext+0avgdata 9000maxresident)k\n"
            "0inputs+0outputs (0major+900minor)pagefaults 0swaps\n",
            True,
        ),
        ("ERROR:root:no table\n", "", False),
        ("", "the cached table it is\n", None),
        ("Exception in thread Thread-1 (f):\n", "", None),
        ("Process Process-1:\n", "", None),
    ],
)
def test_the_exception_that_ended_a_program_is_the_last_thing_it_says(
    before: str, after: str, sure: bool | None
) -> None:
    found = ending(before + REFUSED + after)

    assert (found[1] if found else None) == sure


def test_a_traceback_that_a_message_quotes_is_part_of_it() -> None:
    raising = PYTHON_TRACE.replace("package.errors.LoaderError: no\ndata", "RuntimeError: it said:")
    found = ending(f"{raising}\n{REFUSED}")

    assert found is not None
    assert found[0].name == "RuntimeError"


@pytest.mark.parametrize(
    ("message", "further"),
    [
        (
            "azure.core.exceptions.HttpResponseError: Service Unavailable",
            "ErrorCode:None\nContent: {}",
        ),
        ("grpc._channel._InactiveRpcError: <_InactiveRpcError of", "\tstatus = UNAVAILABLE\n>"),
        (
            "httpx.HTTPStatusError: Server error '503 x' for url 'y'",
            "For more information check: z",
        ),
        ("sqlalchemy.exc.OperationalError: (a.b) (2003, 'x')", "(Background on this error at: z)"),
        ("nltk.LookupError: ", "\n*****\n  Resource a not found.\n*****"),
    ],
)
def test_a_message_has_its_further_lines(message: str, further: str) -> None:
    trace = f'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n{message}\n'
    found = ending(f"{trace}{further}\n")

    assert found is not None
    error, sure = found
    assert error.message.endswith(further)
    assert sure


def test_what_a_program_says_next_is_no_part_of_a_message() -> None:
    trace = REFUSED.replace("ConnectionRefusedError: [Errno 111] Connection refused", "a.B: no")
    found = ending(f"{trace}score: 0.3\n")

    assert found is not None
    assert (found[0].message, found[1]) == ("no", False)


def test_a_traceback_that_begins_inside_the_program_was_printed_by_who_caught_it() -> None:
    assert ending(REFUSED.replace("<module>", "main")) is None


def test_output_without_a_traceback_has_no_exception() -> None:
    assert last_raised("epoch 1\nloss: 0.5\n") is None


@pytest.mark.parametrize(
    ("code", "tail", "out_of_memory", "kind", "message"),
    [
        (3, "all is lost\n", False, "code", "the command exited with code 3: all is lost"),
        (3, "", False, "code", "the command exited with code 3"),
        (3, REFUSED, False, "code", "the command exited with code 3: ConnectionRefusedError"),
        (-15, "x\n", False, "code", "the command was killed by SIGTERM (signal 15)"),
        (
            139,
            "Segmentation fault\n",
            False,
            "code",
            "the command was killed by SIGSEGV (signal 11)",
        ),
        (-9, "", False, "code", "the command was killed by SIGKILL (signal 9)"),
        (137, "Killed\n", True, "out_of_memory", "memory ran out: the command was killed by SIGK"),
        (127, "bash: line 1: trian: command not found\n", False, "dependency", "bash: line 1: tr"),
        (127, "sh: 1: trian: not found\n", False, "dependency", "sh: 1: trian"),
        (127, "nice: \u2018trian\u2019: No such file or directory", False, "dependency", "nice: "),
        (127, "bash: ./a.sh: No such file or directory", False, "invalid", "the command could not"),
        (126, "bash: ./a.sh: Permission denied", False, "invalid", "the command could not start"),
        (126, "bash: ./a: /bin/bash^M: bad interpreter: No such file", False, "invalid", "the com"),
        (127, "bash: ./a: cannot execute: required file not found", False, "invalid", "the comman"),
        (127, "sh: 1: ./a: not found", False, "invalid", "the command could not start"),
        (
            127,
            "/usr/bin/env: \u2018python\\r\u2019: No such file or directory\n"
            "/usr/bin/env: use -[v]S to pass options in shebang lines",
            False,
            "invalid",
            "the command could not start: /usr/bin/env: \u2018python\\r\u2019",
        ),
        (2, "python: can't open file '/r/a.py': [Errno 2] No such file", False, "invalid", "the c"),
        (1, "/venv/bin/python3: No module named train", False, "dependency", "/venv/bin/python3:"),
        (1, PYTHON_TRACE, False, "code", "LoaderError: no"),
        (1, REFUSED, False, "network", "ConnectionRefusedError: [Errno 111]"),
        (2, REFUSED + "make: *** [Makefile:2: all] Error 1\n", False, "network", "ConnectionRef"),
        (1, "ERROR:root:no\n" + REFUSED, False, "code", "ConnectionRefusedError: [Errno 111]"),
        (
            1,
            '  File "a.py", line 1\n    print 1\n    ^\nSyntaxError: no',
            False,
            "code",
            "SyntaxErr",
        ),
    ],
)
def test_a_failed_command_is_judged_by_its_code_and_its_last_words(
    origins: Origins, code: int, tail: str, out_of_memory: bool, kind: str, message: str
) -> None:
    failed = command_failure(code, tail, out_of_memory, origins)

    assert failed.kind == kind
    assert failed.message.startswith(message)


ERROR = {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": ["t"]}
UNNAMED = {**ERROR, "ename": None, "evalue": None, "traceback": ["\x1b[31mValueError\x1b[0m: no"]}


@pytest.mark.parametrize(
    ("reply", "outputs", "expected"),
    [
        ({"status": "ok"}, [], None),
        ({"status": "ok"}, [{"output_type": "stream", "text": "Error: x"}], None),
        ({"status": "ok"}, [ERROR], Raised("ValueError", "no", "t")),
        ({"status": "error", "ename": "NoneType", "evalue": "None"}, [ERROR], ERROR),
        ({"status": "ok"}, [UNNAMED], Raised("ValueError", "no", "ValueError: no")),
        (
            {"status": "error", "ename": "UsageError", "evalue": "no"},
            [],
            Raised("UsageError", "no"),
        ),
        ({"status": "error", "ename": "KeyError", "evalue": "1"}, [ERROR], Raised("KeyError", "1")),
        ({"status": "ok", "payload": [{"source": "page"}]}, [], None),
        (
            {"status": "ok", "payload": [{"source": "ask_exit"}]},
            [],
            Raised("SystemExit", "", facts={"exit": 0}),
        ),
        (
            {"status": "ok", "payload": [{"source": "ask_exit", "keepkernel": 2}]},
            [],
            Raised("SystemExit", "2", facts={"exit": 2}),
        ),
        (
            {"status": "ok", "payload": [{"source": "ask_exit", "keepkernel": "0"}]},
            [],
            Raised("SystemExit", "0", facts={"exit": 1}),
        ),
    ],
)
def test_what_a_cell_raised_is_read_from_its_reply_and_its_outputs(
    reply: Mapping[str, Any], outputs: list[Mapping[str, Any]], expected: Any
) -> None:
    if expected is ERROR:
        expected = Raised("ValueError", "no", "t")

    assert cell_error(reply, outputs) == expected


def test_text_for_people_has_no_control_characters_and_one_line() -> None:
    assert plain("\x1b[0;31mred\x1b[0m \x1b]8;;x\x07link\x00\r\n\tend") == "red link\n\tend"
    assert one_line("a\n  b\x1b[1m c") == "a b c"
    assert one_line("x" * 600, 500) == "x" * 499 + "…"


HEAVY = [
    "a",
    "a.",
    "\n",
    "file ",
    "path\n",
    "No module named ",
    "Unable to allocate ",
    "\x1b]",
    " ",
]


@pytest.mark.parametrize("piece", HEAVY)
@pytest.mark.parametrize("name", ["TypeError", "ImportError", "RuntimeError", "X" * 1_000_000])
def test_a_long_text_is_sorted_soon(piece: str, name: str, origins: Origins) -> None:
    """So that the launcher hears what it is told meanwhile."""
    text = piece * (2_000_000 // len(piece))
    started = time.process_time()
    error = cell_error({"status": "error", "ename": name, "evalue": text, "traceback": [text]}, [])
    assert error is not None
    Failed(classify(error, origins), str(error), None, error.traceback)

    assert time.process_time() - started < 3


@pytest.mark.parametrize("piece", HEAVY)
def test_the_end_of_a_long_output_is_read_soon(piece: str, origins: Origins) -> None:
    tail = "Traceback (most recent call last)\n" + piece * (65_000 // len(piece))
    started = time.process_time()
    command_failure(1, tail, False, origins)

    assert time.process_time() - started < 5


def test_what_long_messages_say_at_either_end_counts(origins: Origins) -> None:
    filler = "x " * 100_000
    first = Raised("RuntimeError", f"CUDA out of memory. {filler}")
    last = Raised("RuntimeError", f"{filler}: No such file or directory: 'a.csv'")

    assert classify(first, origins) == "out_of_memory"
    assert classify(last, origins) == "data"
