"""Measures `mlgate serve` beside `mlflow models serve` and plain `predict`, and during swaps.

    make bench

All three use one environment and one scikit-learn model, and are measured in alternation; ratios
are of the medians. Then requests come at a steady rate while versions are promoted. At last, a
model of MEGABYTES is replaced again and again, with memory for two and with memory for one. The
benchmark fails if a request fails.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.callers import Callers, asked_once, hammered
from benchmarks.memory import Memory
from mlgate.hosts.serving.environments import own
from mlgate.hosts.serving.keeper import Died, Keeper, Unavailable
from mlgate.orchestration.models import FORMATS, Manifest, ModelFile
from tests.support.stores import EXAMPLE, MODEL, Store, answering

ROUNDS = 5
SECONDS = 4.0  # of each measurement of requests
CONNECTIONS = 4
REFRESH = 0.5  # seconds
READY = 120.0  # seconds, at most

_TRAIN = """
import sys, mlflow, numpy
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
data = load_iris()
model = LogisticRegression(max_iter=500).fit(data.data, data.target)
mlflow.sklearn.save_model(model, sys.argv[1], input_example=data.data[:2])
"""
_BARE = """
import json, sys, time, mlflow, numpy
model = mlflow.pyfunc.load_model(sys.argv[1])
rows = numpy.array(json.loads(sys.argv[2])["inputs"])
def timed():
    began = time.perf_counter()
    model.predict(rows)
    return time.perf_counter() - began
times = sorted(timed() for _ in range(2000))
print(times[len(times) // 2])
"""
BODY = json.dumps({"inputs": [[5.1, 3.5, 1.4, 0.2], [6.2, 2.9, 4.3, 1.3]]})


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="mlgate-bench-") as name:
        folder = Path(name)
        _beside_mlflow(folder, options.python)
        failures = _steady(folder / "steady", options.rate, options.seconds)
        failures += _large(folder / "large", options.megabytes, options.swaps)
        failures += _one_at_a_time(folder / "one", options.megabytes, options.swaps)
    if failures:
        sys.exit(f"{failures} requests failed.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("python", help="an interpreter that has mlflow and scikit-learn")
    parser.add_argument("--rate", type=int, default=200, help="requests per second")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--swaps", type=int, default=20)
    return parser.parse_args()


def _beside_mlflow(folder: Path, python: str) -> None:
    model = folder / "iris"
    subprocess.run([python, "-c", _TRAIN, model], check=True, capture_output=True)
    store = Store(folder / "iris-models")
    store.name(_kept(store, model))
    bare = list[float]()
    rates: dict[str, list[float]] = {"mlgate serve": [], "mlflow models serve": []}
    alone: dict[str, list[float]] = {name: [] for name in rates}
    with _mlgate(store.root, python) as ours, _mlflow(model, python) as theirs:
        for _ in range(ROUNDS):
            done = subprocess.run(
                [python, "-c", _BARE, model, BODY], check=True, capture_output=True, text=True
            )
            bare.append(float(done.stdout.split()[-1]))
            for name, port in zip(rates, (ours, theirs), strict=True):
                found = asyncio.run(hammered(port, BODY.encode(), CONNECTIONS, SECONDS))
                rates[name].append(len(found) / SECONDS)
                one = asyncio.run(hammered(port, BODY.encode(), 1, SECONDS / 2))
                alone[name].append(statistics.median(each.took for each in one))
    floor = statistics.median(bare) * 1000
    print(f"\na scikit-learn model, two rows per request; load {os.getloadavg()[0]:.1f}\n")
    print(f"{'':<22}{f'{CONNECTIONS} callers, 1/s':>18}{'1 caller, p50 ms':>20}{'above bare':>14}")
    print(f"{'bare predict':<22}{'':>18}{floor:>20.2f}")
    for name, of_all in rates.items():
        middle = statistics.median(alone[name]) * 1000
        rate = statistics.median(of_all)
        print(f"{name:<22}{rate:>18.0f}{middle:>20.2f}{middle - floor:>14.2f}")
    ratio = statistics.median(rates["mlgate serve"]) / statistics.median(
        rates["mlflow models serve"]
    )
    print(f"{'ratio':<22}{ratio:>18.2f}")


def _kept(store: Store, folder: Path) -> Manifest:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = tuple(
        ModelFile(
            path.relative_to(folder).as_posix(),
            path.stat().st_size,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in paths
    )
    manifest = Manifest(
        "mlflow", ".", platform.python_version(), "linux", {}, files, example=json.loads(BODY)
    )
    store.models.keep(MODEL, manifest, lambda path: [(folder / path).read_bytes()])
    return manifest


@contextmanager
def _mlgate(models: Path, python: str) -> Iterator[int]:
    command = [str(Path(python).with_name("mlgate")), "serve", MODEL, "--port", "0"]
    variables = {
        **os.environ,
        "MLGATE_MODELS": str(models),
        "MLGATE_MODEL_REFRESH": str(REFRESH),
    }
    with _process([*command, "--own-environment"], variables, out=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().rstrip("/\n").rpartition(":")[2])
        _until_ready(port, process)
        yield port


@contextmanager
def _mlflow(model: Path, python: str) -> Iterator[int]:
    port = _free_port()
    command = [python, "-m", "mlflow", "models", "serve", "--model-uri", str(model)]
    command += ["--port", str(port), "--env-manager", "local", "--workers", "1"]
    path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with _process(command, variables, out=subprocess.DEVNULL) as process:
        _until_ready(port, process)
        yield port


@contextmanager
def _process(
    command: list[str], variables: dict[str, str], out: int
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command,
        env=variables,
        stdout=out,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _until_ready(port: int, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + READY
    while True:
        with suppress(OSError, asyncio.IncompleteReadError):
            if asyncio.run(asked_once(port, "GET", "/ping")).status == 200:
                return
        if process.poll() is not None or time.monotonic() > until:
            sys.exit(f"{' '.join(map(str, process.args))} does not serve")  # type: ignore[arg-type]  # arguments of any type
        time.sleep(0.1)


def _steady(folder: Path, rate: int, seconds: int) -> int:
    promotions = 10
    store = Store(folder)
    store.promote(answering(1))
    named = dict[int, float]()
    with _mlgate(store.root, sys.executable) as port, Callers(port, rate, EXAMPLE) as callers:
        for number in range(2, promotions + 2):
            time.sleep(seconds / (promotions + 1))
            store.promote(answering(number))
            named[number] = time.perf_counter()
        time.sleep(seconds / (promotions + 1))
    first = {
        number: min(each.at for each in callers.answers if each.number == str(number))
        for number in named
    }
    waits = [first[number] - at for number, at in named.items()]
    took = sorted(each.took for each in callers.answers)
    failures = callers.failures()
    print(f"\n{len(took):,} requests, {rate} per second, during {promotions} promotions\n")
    print(f"failed, or answered by another version than the header names: {failures}")
    print(f"from the entry to the first answer, refresh {REFRESH} s: at most {max(waits):.2f} s")
    print(
        f"p50 {took[len(took) // 2] * 1000:.1f} ms, p99 {took[len(took) * 99 // 100] * 1000:.1f} ms"
    )
    return failures


def _large(folder: Path, megabytes: int, swaps: int) -> int:
    """Replace a large model while it answers, with memory for two."""
    store = Store(folder)
    _keep_large(store, 1, megabytes)
    with _mlgate(store.root, sys.executable) as port, Memory() as memory:
        one = memory.settled()
        afterwards = list[int]()
        with Callers(port, 20, EXAMPLE) as callers:
            for number in range(2, swaps + 2):
                _keep_large(store, number, megabytes)
                _until_served(port, number)
                afterwards.append(memory.settled())
                store.models.drop_files(MODEL, _before(store))
    failures = callers.failures()
    print(f"\na model of {megabytes} MB, replaced {swaps} times while it answers\n")
    print(f"memory of one, with its server: {one >> 20} MiB")
    print(f"peak during swaps: {memory.most / one:.2f} times that")
    print(f"after each swap: at most {max(afterwards) / one:.2f} times that")
    print(f"failed: {failures} of {len(callers.answers):,}")
    return failures


def _before(store: Store) -> str:
    entry = store.models.head(MODEL).entry
    assert entry is not None
    assert entry.replaces is not None
    return entry.replaces


def _keep_large(store: Store, number: int, megabytes: int) -> None:
    """Promote a version with a file of that size, which it keeps in memory once loaded."""
    store.promote(answering(number, "held = payload"), payload=bytes([number]) * (megabytes << 20))


def _until_served(port: int, number: int) -> None:
    until = time.monotonic() + READY
    while time.monotonic() < until:
        if asyncio.run(asked_once(port, "GET", "/ping")).number == str(number):
            return
        time.sleep(0.05)
    sys.exit(f"entry {number} is not served")


def _one_at_a_time(folder: Path, megabytes: int, swaps: int) -> int:
    """Replace a large model with memory for only one: requests wait for the swap."""
    store = Store(folder)
    _keep_large(store, 1, megabytes)
    home = folder / "home"
    home.mkdir()
    failures, waits = asyncio.run(_waiting(store, home, megabytes, swaps))
    print(f"\nwith memory for only one: {failures} of {len(waits):,} requests failed,")
    print(f"the longest wait was {max(waits):.2f} s")
    return failures


async def _waiting(store: Store, home: Path, megabytes: int, swaps: int) -> tuple[int, list[float]]:
    keeper = Keeper(
        store.models, MODEL, None, own, FORMATS, home,
        refresh=REFRESH, swap_wait=30.0, free=lambda: 0,
    )  # fmt: skip
    keeping = asyncio.create_task(keeper.run())
    failed, waits, over = list[str](), list[float](), asyncio.Event()

    async def call() -> None:
        while not over.is_set():
            began = time.perf_counter()
            try:
                await keeper.ask("/invocations", "application/json", json.dumps(EXAMPLE).encode())
            except (Unavailable, Died) as error:
                failed.append(str(error))
            waits.append(time.perf_counter() - began)
            await asyncio.sleep(0.05)

    callers = [asyncio.create_task(call()) for _ in range(4)]
    for number in range(2, swaps + 2):
        await asyncio.to_thread(_keep_large, store, number, megabytes)
        until = time.monotonic() + READY
        while keeper.alive is None or keeper.alive.child.version.number != number:
            if time.monotonic() > until:
                sys.exit(f"entry {number} is not served: {keeper.held_back}")
            await asyncio.sleep(0.02)
    over.set()
    await asyncio.gather(*callers)
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping
    return len(failed), waits


if __name__ == "__main__":
    main()
