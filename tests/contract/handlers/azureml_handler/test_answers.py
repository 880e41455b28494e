"""A proxy's page, half an answer, another shape: with status 200, and nothing is read into it."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest

from mlgate.emulators.azure_ml import Fault, FaultKind
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.runs import Environment, RunKind, RunSpec, Task
from tests.contract.handlers.azureml_handler.support import Bench

REFUSAL = "an error, and no word of it"
ANSWERS = {
    "a page": Fault.saying(b"<!DOCTYPE html><html><body>Sign in</body></html>"),
    "half": Fault(FaultKind.HALF),
    "null": Fault.saying(b"null"),
    "a list": Fault.saying(b'[{"value": []}]'),
    "an empty object": Fault.saying(b"{}"),
    "objects in place of texts": Fault.saying(
        b'{"id": {}, "name": [], "properties": {"status": [], "services": "x"}, "value": {},'
        b' "runMetadata": {"status": []}, "blobReferenceForConsumption": [], "api": 1}'
    ),
    "nothing": Fault.saying(b""),
    "ten megabytes": Fault.saying(b"x" * (10 << 20)),
    "a deep one": Fault.saying(b"[" * 100_000),
    REFUSAL: Fault.answering(418),
}

REQUIREMENTS = RunSpec(
    "env", RunKind.TRAINING, command="true", environment=Environment(requirements="r.txt")
)


def stage(bench: Bench, _: Task) -> object:
    other = secrets.token_hex(8)  # or the code would be there already
    return bench.stage({"other.py": other, "r.txt": "requests\n"}, REQUIREMENTS)


def collect(bench: Bench, task: Task) -> object:
    return bench.handler.collect(task, bench.files)


def collect_alone(bench: Bench, task: Task) -> object:
    return bench.handler.collect(task, None)


CALLS: dict[str, Callable[[Bench, Task], object]] = {
    "codes.get": stage,
    "codes.upload": stage,
    "codes.put": stage,
    "environments.put": stage,
    "jobs.get": lambda bench, task: bench.handler.look([task.attempt]),
    "jobs.list": lambda bench, task: bench.handler.look(bench.tries(task)),
    "jobs.put": lambda bench, _: bench.handler.submit(bench.task("true", name="more")),
    "jobs.cancel": lambda bench, task: bench.handler.cancel([task.attempt]),
    "workspace.get": collect,
    "discovery": collect,
    "history.rundata": collect,
    "datastores.get": collect,
    "datastores.secrets": collect,
    "blob.list": collect,
    "blob.get": collect,
    "blob.get, the outcome alone": collect_alone,
}


def test_every_kind_of_request_is_among_them(bench: Bench) -> None:
    task = bench.task("python train.py")
    bench.run(task)
    collect_alone(bench, task)
    for act in CALLS.values():
        act(bench, task)
    # Uploads are acknowledged by their status alone.
    assert set(bench.calls()) - {"blob.put", "blob.head"} <= {
        name.partition(",")[0] for name in CALLS
    }


@pytest.mark.parametrize(("call", "act"), CALLS.items(), ids=CALLS.keys())
def test_what_is_not_azure_mls_answer_is_told_and_asked_again(
    call: str, act: Callable[[Bench, Task], object], after: Bench, ended: Task
) -> None:
    good = act(after, ended)
    name = call.partition(",")[0]
    wrong = {}
    for kind, fault in ANSWERS.items():
        after.handler = after.another()
        after.server.faults.add(name, fault, 99)
        try:
            came = act(after, ended)
        except Temporary:
            pass
        except Permanent as error:
            if kind != REFUSAL:
                wrong[kind] = f"Permanent: {error}"
        except Exception as error:  # noqa: BLE001 -- that there is none is what is tested
            wrong[kind] = repr(error)
        else:
            # Where the status is all that is asked for, the rest may be what it is.
            status_alone = call in ("jobs.cancel", "jobs.put", "environments.put")
            not_there = (call, kind) == ("codes.get", "half")  # half of a 404
            if not (type(came) is type(good) and (status_alone or not_there)):
                wrong[kind] = f"taken for {came!r}"
        after.server.faults.clear()
    assert wrong == {}
    after.handler = after.another()
    act(after, ended)
