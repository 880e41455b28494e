"""A model's process keeps its word whatever the model does, or ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlgate.scorer import child, frames
from tests.contract.scorer.served import ROOT, SECONDS, Served
from tests.support.models import SUM, pickled
from tests.support.processes import started

ROWS = [{"b": 2, "a": 1}, {"b": 4, "a": 3.5}]
ANSWER = [3.0, 7.5]

Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a process for a model of this source; it is ready, unless that is not waited for."""
    started: list[Served] = []

    def serve(source: str = SUM, *, wait: bool = True, **more: Any) -> Served:
        folder = tmp_path / str(len(started))
        model = tmp_path / f"{len(started)}.pkl"
        model.write_bytes(pickled(source))
        served = Served(folder, model, **more)
        started.append(served)
        return served.ready() if wait else served

    yield serve
    for served in started:
        served.end()


def predict(line: str, top: str = "pass") -> str:
    """A model of which a row's first value decides what comes of it."""
    return f"""
import multiprocessing, os, re, signal, subprocess, sys, threading, time
{top}
class Model:
    def predict(self, rows):
        what = rows[0][0]
        if what == "odd":
            {line}
        return [what]
"""


def test_it_says_how_far_it_is(serve: Serve) -> None:
    served = serve(f"import time; time.sleep(0.3)\n{SUM}", wait=False, example=ROWS, answer=ANSWER)
    served.until(lambda: served.said)
    assert served.said == {"step": "loading"}
    assert not (served.folder / "socket").exists()
    said = served.ready().said

    assert said.keys() == {"step", "load_seconds", "memory_mb"}
    assert 0.3 < said["load_seconds"] < 30
    assert 3 < said["memory_mb"] < 500
    assert served.ask(ROWS) == (200, ANSWER)


def test_frames_go_both_ways(serve: Serve) -> None:
    with serve().connect() as connection:
        connection.send(ROWS, "/predict", "application/json")
        first = connection.frame()
        connection.send(b"a,b\n1,2\n", "/invocations", "text/csv")
        second = connection.frame()
        connection.send(b"a", "/invocations", "text/html")
        third = connection.frame()

    headers = {"mlgate-model": "churn@3f9a1c0b7d52", "mlgate-model-number": "42"}
    said = {"status": 200, "content_type": "application/json", "headers": headers}
    assert first == (said, b"[3.0, 7.5]")
    assert second == (said, b'{"predictions": [3.0]}')
    assert third
    assert third[0] == {**said, "status": 415}
    assert json.loads(third[1])["error_code"] == "UNSUPPORTED_MEDIA_TYPE"


def test_a_frame_may_come_in_pieces_and_be_large(serve: Serve) -> None:
    rows = [[number, 1] for number in range(200_000)]
    content = frames.packed({"path": "/predict", "content_type": None}, json.dumps(rows).encode())
    with serve().connect() as connection:
        for byte in content[:20]:
            connection.send_bytes(bytes([byte]))
        connection.send_bytes(content[20:])
        status, found = connection.answer()

    assert (status, found[-1], len(found)) == (200, 200_000.0, 200_000)


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("!II", 1 << 31, 0),
        struct.pack("!II", 1, 0) + b"{",
        struct.pack("!II", 2, 0) + b"[]",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_frame_ends_its_connection_alone(serve: Serve, content: bytes) -> None:
    served = serve()
    with served.connect() as other, served.connect() as connection:
        connection.send_bytes(content)
        assert connection.frame() is None
        other.send(ROWS)
        assert other.answer() == (200, ANSWER)


def test_fifty_at_once_are_all_answered_by_one_load(serve: Serve, tmp_path: Path) -> None:
    loads = tmp_path / "loads"
    source = f"open({str(loads)!r}, 'a').write('x')\n" + predict("time.sleep(0.001)")
    served = serve(source)
    answers: dict[int, Any] = {}

    def ask(number: int) -> None:
        with served.connect() as connection:
            for turn in range(4):
                connection.send([["odd", number, turn]])
                assert connection.answer() == (200, ["odd"])
            connection.send([[number, 0]])
            answers[number] = connection.answer()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert answers == {number: (200, [number]) for number in range(50)}
    assert loads.read_text() == "x"


def test_a_model_is_loaded_and_asked_by_the_main_thread_alone(serve: Serve) -> None:
    """As what it holds may be of one thread: a connection of sqlite3, an event loop."""
    top = "import asyncio, sqlite3; base = sqlite3.connect(':memory:')"
    line = "what = base.execute('select 7').fetchone()[0] + asyncio.run(asyncio.sleep(0, 1))"
    served = serve(predict(line, top))

    assert [served.ask([["odd"]]) for _ in range(3)] == [(200, [8])] * 3


HANGS = {
    "sleep": "time.sleep(600)",
    "loop": "while True: pass",
    "with a fork": "os.fork(); time.sleep(600)",
    "lets no thread run": "os.fork(); re.match('(a+)+$', 'a' * 60 + 'b')",
}


@pytest.mark.parametrize("how", HANGS)
def test_it_ends_with_its_input_also_when_a_prediction_hangs(serve: Serve, how: str) -> None:
    served = serve(predict(HANGS[how]))
    with served.connect() as connection:
        connection.send([["odd"]])
        time.sleep(0.3)
        assert served.process.stdin
        served.process.stdin.close()
        assert served.ended() == -signal.SIGKILL
        assert connection.frame() is None
    served.until_alone()


@pytest.mark.parametrize("line", ["time.sleep(600)", "re.match('(a+)+$', 'a' * 60 + 'b')"])
def test_it_ends_with_its_input_while_it_loads(serve: Serve, line: str) -> None:
    served = serve(f"import re, time\n{line}\n{SUM}", wait=False)
    served.until(lambda: served.said)
    assert served.process.stdin
    served.process.stdin.close()

    served.ended()


def test_it_ends_with_an_input_that_is_a_socket(serve: Serve) -> None:
    """As asyncio makes it up to Python 3.11."""
    ours, its = socket.socketpair()
    with ours, its:
        served = serve(predict(HANGS["lets no thread run"]), stdin=its.fileno())
        its.close()
        with served.connect() as connection:
            connection.send([["odd"]])
            time.sleep(0.3)
            ours.close()
            assert connection.frame() is None
    assert served.ended() == -signal.SIGKILL


def test_it_ends_with_a_server_that_is_killed(serve: Serve, tmp_path: Path) -> None:
    served = serve(predict("time.sleep(600)"))
    program = (
        "import os, subprocess, sys, time\n"
        "started = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)\n"
        "print(started.pid, flush=True); time.sleep(600)"
    )
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / child.ASKED).write_bytes((served.folder / child.ASKED).read_bytes())
    command = [sys.executable, "-c", program, sys.executable, "-c", child.BOOT]
    command += [str(ROOT), str(folder)]
    with started(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        number = int(server.stdout.readline())
        begun = time.monotonic()
        while not (folder / child.SOCKET).exists() and time.monotonic() < begun + SECONDS:
            time.sleep(0.01)
        server.kill()
    assert (folder / child.SOCKET).exists()
    end = time.monotonic() + 10
    while Path(f"/proc/{number}").exists() and time.monotonic() < end:
        time.sleep(0.01)

    assert not Path(f"/proc/{number}").exists()


def test_sigterm_ends_it_once_what_was_sent_is_answered(serve: Serve) -> None:
    served = serve(predict("time.sleep(0.5)"))
    with served.connect() as idle, served.connect() as one, served.connect() as other:
        idle.send([[1]])
        assert idle.answer() == (200, [1])
        one.send([["odd"]])
        other.send([["odd"]])
        time.sleep(0.2)
        served.process.send_signal(signal.SIGTERM)
        assert idle.frame() is None
        assert one.answer() == other.answer() == (200, ["odd"])
        assert one.frame() is None
    assert served.ended() == 0


def test_sigterm_waits_for_what_is_half_sent(serve: Serve) -> None:
    content = frames.packed({"path": "/predict"}, json.dumps(ROWS).encode())
    served = serve()
    with served.connect() as connection:
        connection.send_bytes(content[:10])
        time.sleep(0.2)
        served.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        with pytest.raises(ConnectionRefusedError):
            served.connect()
        connection.send_bytes(content[10:])
        assert connection.answer() == (200, ANSWER)
    assert served.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_where_nothing_is_to_be_answered(serve: Serve, number: signal.Signals) -> None:
    loading, idle = serve(f"import time; time.sleep(600)\n{SUM}", wait=False), serve()
    loading.until(lambda: loading.said)
    for served in (loading, idle):
        served.process.send_signal(number)

    assert loading.ended() == -number
    assert idle.ended() == (0 if number == signal.SIGTERM else -number)


def test_an_interrupt_is_for_the_server(serve: Serve) -> None:
    served = serve(predict("time.sleep(0.5)"))
    with served.connect() as connection:
        connection.send([["odd"]])
        time.sleep(0.1)
        served.process.send_signal(signal.SIGINT)
        assert connection.answer() == (200, ["odd"])
    assert served.ask([[1]]) == (200, [1])


@pytest.mark.parametrize(
    "line",
    [
        "raise ValueError('secret')",
        "sys.exit(3)",
        "raise KeyboardInterrupt",
        "return object()",
        "self.predict(rows)",
    ],
)
def test_what_the_model_raises_is_told_by_its_number(serve: Serve, line: str) -> None:
    served = serve(predict(line))
    status, said = served.ask([["odd"]])

    assert (status, said["error_code"]) == (500, "INTERNAL_ERROR")
    number = said["message"].removesuffix(": see the server's log")
    assert f"{number}: POST /predict\nTraceback" in served.log
    assert "secret" not in said["message"]
    assert served.ask([[1]]) == (200, [1])


ODD = {
    "print": "print('hello', flush=True); os.write(1, b'more'); sys.stderr.write('words')",
    "directory": "os.chdir('/')",
    "thread": "threading.Thread(target=time.sleep, args=(600,)).start()",
    "input": "assert sys.stdin.read() == ''",
    "closed": "os.closerange(0, 3); sys.stdout = sys.stderr = sys.__stderr__ = None",
    "subprocess": "assert subprocess.run(['true']).returncode == 0",
    "pool": (
        "pool = multiprocessing.get_context('fork').Pool(2); "
        "assert pool.map(abs, [-1, 2]) == [1, 2]; pool.terminate(); pool.join()"
    ),
    "worker that is ended": (
        "worker = multiprocessing.get_context('fork').Process(target=time.sleep, args=(600,)); "
        "worker.start(); worker.terminate(); worker.join(9); assert worker.exitcode == -15"
    ),
    "fork": "os.fork()",
    "fork that raises": "if os.fork() == 0: raise ValueError",
    "forks of forks": "os.fork(); os.fork()",
    "fork that stays": "if os.fork() == 0: time.sleep(600)",
    "handlers": "[signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; signal.set_wakeup_fd(-1)",
    "mask": "signal.pthread_sigmask(signal.SIG_BLOCK, {15})",
    "exit": "import atexit; atexit.register(time.sleep, 600)",
    "path": "sys.path.clear(); sys.argv.clear(); os.environ.clear()",
    "limit": "sys.setrecursionlimit(150)",
}


@pytest.mark.parametrize("when", ["loading", "asked"])
@pytest.mark.parametrize("how", ODD)
def test_a_model_may_behave_oddly(serve: Serve, how: str, when: str) -> None:
    """It is answered for what it answers, once; and the process ends as any other."""
    line = ODD[how]
    served = serve(predict(line) if when == "asked" else predict("pass", line))
    with served.connect() as connection:
        connection.send([["odd"]])
        assert connection.answer() == (200, ["odd"])
        connection.send([[1]])
        assert connection.answer() == (200, [1])
    assert served.ask([[2]]) == (200, [2])
    assert served.ask([], "/invocations")[0] == 400
    served.process.send_signal(signal.SIGTERM)
    assert served.ended() == 0
    served.until_alone()


@pytest.mark.parametrize("line", ["os._exit(0)", "os.kill(os.getpid(), 11)", "os.abort()"])
def test_a_model_that_ends_its_process_ends_its_connections(serve: Serve, line: str) -> None:
    served = serve(predict(line))
    with served.connect() as waiting, served.connect() as connection:
        connection.send([["odd"]])
        assert connection.answer() is None
        assert waiting.frame() is None
    assert served.ended() in (0, -11, -6)


def test_a_fork_that_stays_holds_no_connection_open(serve: Serve) -> None:
    """Else a server would wait for the answer of a process that is gone."""
    line = "os.fork() == 0 and time.sleep(600); os._exit(3)"
    served = serve(predict(line))
    with served.connect() as connection:
        connection.send([["odd"]])
        assert connection.answer() is None
    assert served.ended() == 3

    def refused() -> bool:
        try:
            with served.connect():
                return False
        except ConnectionRefusedError:
            return True

    end = time.monotonic() + SECONDS
    while not refused():  # the fork may not have run yet when its parent ends
        assert time.monotonic() < end
        time.sleep(0.01)
    os.killpg(served.process.pid, signal.SIGKILL)


@pytest.mark.parametrize("line", ["os.closerange(3, 256)", "[os.close(n) for n in range(3, 12)]"])
def test_a_model_that_closes_what_is_not_its_own_is_not_served_wrongly(
    serve: Serve, line: str
) -> None:
    loading = serve(f"import os, contextlib\nos.closerange(3, 256)\n{SUM}", wait=False)
    asked = serve(predict(f"{line}"))
    with asked.connect() as connection:
        connection.send([["odd"]])
        assert connection.frame() is None

    # By whichever of its threads notices first.
    assert {asked.ended(), loading.ended()} <= {1, -signal.SIGKILL}


@pytest.mark.parametrize(
    ("source", "asked", "reason"),
    [
        (SUM, {"answer": [3.0, 8.5]}, "the model answers its example with [3.0, 7.5], but [3.0, 8"),
        (SUM, {"example": [{"c": 1}]}, "unknown column `c`"),
        (
            "1/0",
            {},
            "could not be loaded or did not answer its example: ZeroDivisionError: division",
        ),
        ("import sys; sys.exit(0)", {}, "SystemExit: 0"),
        ("Model = object", {}, "the model's class builtins.object has no predict"),
        (predict("1/0"), {"example": [["odd"]]}, "ZeroDivisionError: division by zero"),
        ("raise ValueError('x' * 100_000)", {}, "ValueError: xxx"),
    ],
)
def test_a_model_that_is_not_what_it_was_does_not_listen(
    serve: Serve, source: str, asked: Any, reason: str
) -> None:
    served = serve(source, wait=False, **{"example": ROWS, "answer": None, **asked})

    assert served.ended() == 1
    assert served.said.keys() == {"step", "reason"}
    assert served.said["step"] == "failed"
    assert reason in served.said["reason"]
    assert len(served.said["reason"]) <= 1_000
    assert not (served.folder / "socket").exists()


@pytest.mark.parametrize("line", ["os._exit(0)", "os.fork() and os._exit(0)"])
def test_a_model_that_ends_its_process_while_it_loads_says_nothing(serve: Serve, line: str) -> None:
    served = serve(f"import os; {line}\n{SUM}", wait=False)

    assert served.ended() == 0
    time.sleep(0.2)
    assert served.said == {"step": "loading"}


def test_nothing_but_the_standard_library_is_imported(serve: Serve) -> None:
    """And of ours only the scorer, which leaves no trace on the path."""
    line = (
        "what = sorted(n for n in sys.modules if n.partition('.')[0] == 'mlgate'); "
        f"what.append([each for each in sys.path if each == {str(ROOT)!r}] + sys.argv[2:])"
    )
    environment = {name: each for name, each in os.environ.items() if name != "PYTHONPATH"}
    status, [found] = serve(predict(line), environment=environment).ask([["odd"]])

    assert status == 200
    assert found.pop() == []
    assert {name.partition(".")[2].partition(".")[0] for name in found} == {"", "scorer"}
