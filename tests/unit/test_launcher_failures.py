"""The failure kind that an exception, a traceback or an exit code is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mlgate.launcher import (
    Raised,
    cell_error,
    classify,
    command_failure,
    http_status,
    one_line,
    parse_traceback,
    plain,
)


def installed(name: str) -> bool:
    return name in ("sklearn", "json", "numpy")


def own(name: str) -> bool:
    return name in ("helpers", "train", "MyModel")


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("code", "NameError", "name 'x' is not defined"),
        ("code", "AssertionError", ""),
        ("code", "KeyError", "'price'"),
        ("code", "ValueError", "Input contains NaN."),
        ("code", "AttributeError", "'NoneType' object has no attribute 'group'"),
        ("code", "CalledProcessError", "Command 'make' returned non-zero exit status 2."),
        ("code", "TimeoutExpired", "Command 'sleep 9' timed out after 1 seconds"),
        ("code", "ImportError", "attempted relative import with no known parent package"),
        ("dependency", "ModuleNotFoundError", "No module named 'xgboost'"),
        ("dependency", "ModuleNotFoundError", "No module named 'absent.sub'"),
        ("dependency", "ImportError", "Missing optional dependency 'xlrd'. Use pip or conda to in"),
        ("dependency", "ImportError", "libGL.so.1: cannot open shared object file: No such file"),
        ("dependency", "ImportError", "`Import graphviz` failed. Try: pip install graphviz"),
        ("dependency", "ExecutableNotFound", "failed to execute 'dot', make sure the Graphviz"),
        ("dependency", "RuntimeError", "Requested MovieWriter (ffmpeg) not available"),
        ("dependency", "OSError", "[E050] Can't find model 'en_core_web_sm'. It doesn't seem to"),
        ("environment", "ModuleNotFoundError", "No module named 'sklearn.externals'"),
        ("environment", "ImportError", "cannot import name 'Imputer' from 'sklearn.preprocessing'"),
        ("environment", "ImportError", "numpy.core.multiarray failed to import"),
        ("environment", "AttributeError", "`np.float_` was removed in the NumPy 2.0 release. Use"),
        ("environment", "AttributeError", "module 'numpy' has no attribute 'float'."),
        ("environment", "AttributeError", "'DataFrame' object has no attribute 'append'"),
        (
            "environment",
            "ImportError",
            "`load_boston` has been removed from scikit-learn since 1.2",
        ),
        ("environment", "ValueError", "numpy.dtype size changed, may indicate binary incompatib"),
        ("environment", "OSError", "'seaborn' is not a valid package style, path of style file"),
        (
            "environment",
            "MlflowException",
            "The filesystem tracking backend is in maintenance mode",
        ),
        (
            "environment",
            "TypeError",
            "LinearRegression.__init__() got an unexpected keyword argument 'normalize'",
        ),
        (
            "environment",
            "TypeError",
            "DataFrame.drop() takes from 1 to 2 positional arguments but 3 were given",
        ),
        (
            "environment",
            "InvalidParameterError",
            "The 'criterion' parameter of GradientBoostingRegressor must be a str among "
            "{'squared_error'}. Got 'mse' instead.",
        ),
        ("code", "TypeError", "MyModel.fit() got an unexpected keyword argument 'epochs'"),
        ("code", "TypeError", "train() takes 1 positional argument but 2 were given"),
        ("code", "TypeError", "<lambda>() takes 1 positional argument but 2 were given"),
        ("code", "AttributeError", "module 'helpers' has no attribute 'load'"),
        ("code", "ImportError", "cannot import name 'load' from 'helpers' (/run/helpers.py)"),
        ("data", "FileNotFoundError", "[Errno 2] No such file or directory: 'train.csv'"),
        (
            "data",
            "OSError",
            "Unable to open file (name = 'a.h5', 'No such file or directory')",
        ),
        ("data", "OperationalError", "unable to open database file"),
        ("data", "HTTPError", "HTTP Error 404: Not Found"),
        ("data", "HTTPError", "403 Client Error: Forbidden for url: https://example.org/a.csv"),
        ("code", "HTTPError", "400 Client Error: Bad Request for url: https://example.org"),
        ("network", "HTTPError", "HTTP Error 503: Service Unavailable"),
        ("network", "HTTPError", "429 Client Error: Too Many Requests for url: https://x"),
        ("network", "HTTPStatusError", "Server error '502 Bad Gateway' for url 'https://x'"),
        ("network", "URLError", "<urlopen error [Errno -2] Name or service not known>"),
        ("network", "gaierror", "[Errno -3] Temporary failure in name resolution"),
        ("network", "ConnectionError", "HTTPSConnectionPool(host='x', port=443): Max retries"),
        ("network", "ConnectionResetError", "[Errno 104] Connection reset by peer"),
        ("network", "ReadTimeout", "HTTPSConnectionPool(host='x', port=443): Read timed out."),
        ("network", "TimeoutError", "timed out"),
        ("network", "SSLError", "EOF occurred in violation of protocol"),
        ("network", "RemoteDisconnected", "Remote end closed connection without response"),
        ("network", "OSError", "We couldn't connect to 'https://hub.example' to load this file"),
        ("out_of_memory", "MemoryError", ""),
        ("out_of_memory", "_ArrayMemoryError", "Unable to allocate 8.00 EiB for an array"),
        ("out_of_memory", "OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 GiB"),
        ("out_of_memory", "RuntimeError", "CUDA out of memory. Tried to allocate 2.00 GiB"),
        ("out_of_memory", "OSError", "[Errno 12] Cannot allocate memory"),
    ],
)
def test_an_exception_is_sorted_by_who_has_to_act(kind: str, name: str, message: str) -> None:
    assert classify(Raised(name, message), installed, own) == kind


def test_a_program_that_is_missing_is_no_missing_file() -> None:
    trace = "File subprocess.py, in Popen._execute_child(self)"
    program = Raised("FileNotFoundError", "No such file or directory: 'dot'", trace)
    script = Raised("FileNotFoundError", "No such file or directory: './dot.sh'", trace)

    assert classify(program, installed, own) == "dependency"
    assert classify(script, installed, own) == "data"


IPYTHON_CHAIN = """\
FileNotFoundError                         Traceback (most recent call last)
Cell In[1], line 2
      1 try:
----> 2     open('missing.csv')

FileNotFoundError: [Errno 2] No such file or directory: 'missing.csv'

{sentence}

{name}                              Traceback (most recent call last)
Cell In[1], line 4
----> 4     raise {name}('cannot load')

{name}: cannot load"""

DURING = "During handling of the above exception, another exception occurred:"
CAUSE = "The above exception was the direct cause of the following exception:"


@pytest.mark.parametrize(
    ("sentence", "name", "kind"),
    [
        (CAUSE, "RuntimeError", "data"),
        (DURING, "RuntimeError", "data"),
        (CAUSE, "LoaderError", "data"),
        (CAUSE, "KeyError", "code"),
        (DURING, "NameError", "code"),
    ],
)
def test_a_general_exception_is_judged_by_its_cause_and_a_telling_one_by_itself(
    sentence: str, name: str, kind: str
) -> None:
    trace = IPYTHON_CHAIN.format(sentence=sentence, name=name)

    assert parse_traceback(trace) == Raised(name, "cannot load", trace)
    assert classify(Raised(name, "cannot load", trace), installed, own) == kind


PYTHON_TRACE = """\
Traceback (most recent call last):
  File "train.py", line 3, in <module>
    main()
  File "train.py", line 2, in main
    raise package.errors.LoaderError("no\\ndata")
package.errors.LoaderError: no
data"""


def test_python_s_own_traceback_is_found_behind_other_output() -> None:
    found = parse_traceback(f"epoch 1\n{PYTHON_TRACE}\n")

    assert found == Raised("LoaderError", "no", PYTHON_TRACE)


def test_an_earlier_traceback_that_was_only_printed_does_not_count() -> None:
    printed = "Traceback (most recent call last):\n  File 'a'\nKeyError: 'old'\n"
    found = parse_traceback(f"{printed}epoch 1\n{PYTHON_TRACE}")

    assert found is not None
    assert found.traceback == PYTHON_TRACE


def test_output_without_a_traceback_has_no_exception() -> None:
    assert parse_traceback("epoch 1\nloss: 0.5\n") is None


def test_http_statuses_are_read_and_exit_codes_are_not() -> None:
    assert http_status("HTTP Error 404: Not Found") == 404
    assert http_status("request failed with status code 503") == 503
    assert http_status("returned non-zero exit status 127") is None
    assert http_status("expected 404 rows") is None


@pytest.mark.parametrize(
    ("code", "tail", "out_of_memory", "kind", "message"),
    [
        (3, "all is lost\n", False, "code", "the command exited with code 3: all is lost"),
        (3, "", False, "code", "the command exited with code 3"),
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
        (127, "bash: ./a.sh: No such file or directory", False, "invalid", "the command could not"),
        (126, "bash: ./a.sh: Permission denied", False, "invalid", "the command could not start"),
        (2, "python: can't open file '/r/a.py': [Errno 2] No such file", False, "invalid", "the c"),
        (1, "/venv/bin/python3: No module named train", False, "dependency", "/venv/bin/python3:"),
        (1, PYTHON_TRACE, False, "code", "LoaderError: no"),
        (1, "  File 'a.py', line 1\n    print 1\nSyntaxError: invalid", False, "code", "SyntaxErr"),
    ],
)
def test_a_failed_command_is_judged_by_its_code_and_its_last_words(
    code: int, tail: str, out_of_memory: bool, kind: str, message: str
) -> None:
    failed = command_failure(code, tail, out_of_memory, installed, own)

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
        ({"status": "ok", "payload": [{"source": "ask_exit"}]}, [], Raised("SystemExit", "")),
        (
            {"status": "ok", "payload": [{"source": "ask_exit", "keepkernel": 2}]},
            [],
            Raised("SystemExit", "2"),
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
    assert one_line("x" * 600) == "x" * 499 + "…"
