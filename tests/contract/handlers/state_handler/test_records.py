"""What cannot change any more is stored once, and moved once: in every store, at every size."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from handlers.state_handler.drafts import compose
from handlers.state_handler.shelf import Shelf
from mlgate.orchestration.builds import (
    Build,
    Phase,
    PipelineAddress,
    RunState,
    Trouble,
    TroubleKind,
)
from mlgate.orchestration.durable import Rejection, StatePort, Stored
from mlgate.orchestration.errors import Temporary
from mlgate.orchestration.runs import (
    CellEvent,
    Environment,
    Failure,
    FailureKind,
    Resources,
    RunKind,
    RunSpec,
    RunStatus,
)
from tests.contract.handlers.state_handler.conftest import Store, text_of
from tests.unit.orchestration.engine.builders import NOON, build, run

KEY = build().key
PARAMETERS: dict[str, Any] = {f"parameter_{number:04}": f"{number:0>80}" for number in range(600)}
REQUEST = {"defaults": {"parameters": PARAMETERS}, "runs": [{"notebooks": "reports/*.ipynb"}]}


def notebooks(count: int, *, own: bool = False) -> tuple[RunState, ...]:
    """A glob's matches; each with all parameters, `own`: and one of them another value."""

    def made(number: int) -> RunState:
        # Merged for each run, so none is the same object as another.
        parameters = {**PARAMETERS, **({"parameter_0300": number} if own else {})}
        path = f"reports/{number:03}.ipynb"
        spec = RunSpec(f"report-{number:03}", RunKind.NOTEBOOK, path, parameters=parameters)
        return RunState(spec)

    return tuple(made(number) for number in range(count))


def some(count: int) -> tuple[RunState, ...]:
    return tuple(run(f"run-{number}") for number in range(count))


def needing_all(count: int) -> tuple[RunState, ...]:
    names = [f"prepare-{number:03}-of-the-inputs" for number in range(count)]
    return (
        *(run(name) for name in names),
        *(run(f"train-{number:03}", needs=(*names, names[0])) for number in range(count)),
    )


def ended(state: RunState, number: int) -> RunState:
    return replace(
        state,
        status=RunStatus.FAILED,
        submitted=True,
        ended=True,
        submitted_at=NOON,
        started_at=NOON,
        finished_at=NOON + timedelta(minutes=number),
        cells=tuple(CellEvent(cell, 1.5, "succeeded") for cell in range(1, 41)),
        cells_total=40,
        failure=Failure(FailureKind.CODE, "it broke", 3, "Traceback\n" * 100),
        metrics={"rmse": number / 7},
        outputs=(f"runs/{state.spec.name}/outputs/model.pkl",),
        evidence=(f"runs/{state.spec.name}/log.txt",),
    )


def active(state: RunState) -> RunState:
    cells = tuple(CellEvent(cell, 1.5, "succeeded") for cell in range(1, 41))
    status = RunStatus.RUNNING
    return replace(state, status=status, submitted=True, started_at=NOON, cells=cells)


PIPELINE = PipelineAddress(
    plan_url="https://dev.azure.com/contoso/",
    project_id="1" * 36,
    hub_name="build",
    plan_id="2" * 36,
    job_id="3" * 36,
    timeline_id="4" * 36,
    task_instance_id="5" * 36,
    task_instance_name="gate",
)


def prepared(state: StatePort, runs: tuple[RunState, ...]) -> Stored:
    """A build as it is when its runs were found."""
    assert state.create(build(request=REQUEST, phase=Phase.RECEIVED, pipeline=PIPELINE), None)
    found = state.load(KEY)
    assert found is not None
    return saved(state, found, runs=runs, phase=Phase.WATCHING)


def saved(state: StatePort, stored: Stored, **changes: Any) -> Stored:
    after = state.save(replace(stored.build, **changes), stored.version)
    assert after is not None
    return after


def look(state: StatePort) -> None:
    """One that finds nothing new."""
    stored = state.load(KEY)
    assert stored is not None
    begun = saved(state, stored, begun={"look": 1}, next_look_at=NOON)
    saved(state, begun, begun={}, look=stored.build.look + 1, next_look_at=NOON)


def stored_bytes(store: Store) -> int:
    return len(store.head(KEY)) + sum(len(part) for part in store.parts(KEY).values())


SAYING_MUCH = {
    "a glob's notebooks with the defaults": notebooks(500),
    "each with a value of its own": notebooks(500, own=True),
    "each needs all of a glob": needing_all(250),
}


@pytest.mark.parametrize("runs", SAYING_MUCH.values(), ids=SAYING_MUCH.keys())
def test_what_runs_share_is_stored_once(runs: tuple[RunState, ...], store: Store) -> None:
    written = prepared(store.state(), runs)

    assert stored_bytes(store) < 300_000
    read = store.state().load(KEY)
    assert read == written
    assert read.build.runs == runs


STAGES = {
    "all waiting": lambda runs: runs,
    "all active": lambda runs: tuple(active(each) for each in runs),
    "half of them ended": lambda runs: tuple(
        ended(each, number) if number % 2 else active(each) for number, each in enumerate(runs)
    ),
    "all ended": lambda runs: tuple(ended(each, number) for number, each in enumerate(runs)),
}


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES.keys())
def test_a_quiet_look_moves_the_head_alone(stage: Any, store: Store) -> None:
    state = store.state()
    stored = prepared(state, notebooks(500))
    saved(state, stored, runs=stage(stored.build.runs))
    look(state)

    assert store.moved(KEY, lambda: look(state)) < 100_000
    found, alike = state.load(KEY), store.state().load(KEY)
    assert found == alike


def test_runs_that_end_one_after_the_other_leave_no_large_head(store: Store) -> None:
    state = store.state()
    stored = prepared(state, some(100))
    heads = []
    for number in range(100):
        runs = list(stored.build.runs)
        runs[number] = ended(runs[number], number)
        stored = saved(state, stored, runs=tuple(runs))
        heads.append(len(store.head(KEY)))

    assert max(heads) < 20_000
    head = json.loads(store.head(KEY))
    assert len(head["chunks"]) < 15
    assert store.state().load(KEY) == stored


def test_another_process_reads_only_what_changed(store: Store) -> None:
    first, second = store.state(), store.state()
    stored = prepared(first, notebooks(500))
    stored = saved(first, stored, runs=STAGES["all ended"](stored.build.runs))
    assert second.load(KEY) == stored
    saved(first, stored, look=7)

    assert store.moved(KEY, lambda: look(second)) < 100_000
    found = second.load(KEY)
    assert found is not None
    assert found.build.look == 8


def changes_of(runs: tuple[RunState, ...], dice: random.Random) -> Iterator[tuple[RunState, ...]]:
    """Any of the states, again and again."""
    while True:
        changed = list(runs)
        for place in dice.sample(range(len(runs)), dice.randint(0, len(runs))):
            plain = RunState(runs[place].spec)
            changed[place] = dice.choice(
                [plain, active(plain), ended(plain, dice.randint(1, 9)), runs[place]]
            )
        runs = tuple(changed)
        yield runs


@pytest.mark.parametrize("seed", range(3))
def test_whatever_changes_what_is_read_is_what_was_written(seed: int, store: Store) -> None:
    dice, states = random.Random(seed), [store.state(), store.state()]
    stored = prepared(states[0], some(60))
    for number, runs in zip(range(25), changes_of(stored.build.runs, dice), strict=False):
        state = dice.choice(states)
        found = state.load(KEY)
        assert found == stored
        words = dice.choice([(), ("short",), ("long",) * 1000])
        stored = saved(state, found, runs=runs, look=number, warnings=words)
    assert store.state().load(KEY) == stored

    stored = saved(states[0], stored, phase=Phase.COMPLETED)
    assert store.state().load(KEY) == stored
    # What is referred to no more is gone, and what was an ended run's is not.
    head = store.head(KEY).decode()
    assert [name for name in store.parts(KEY) if name not in head] == []
    later = saved(states[1], stored, warnings=("more than fits",) * 1000)
    assert store.state().load(KEY) == later
    assert [name for name in store.parts(KEY) if name not in store.head(KEY).decode()] == []


EVERY_KIND = RunSpec(
    "all",
    RunKind.TRAINING,
    command="python train.py " + "--long " * 20,
    parameters={"a": 1, "b": 1.0, "c": True, "d": None, "e": -0.0, "f": [1, [True]], "g": {"x": 1}},
    environment=Environment(conda_file="conda.yml"),
    resources=Resources(instance_count=2),
    environment_variables={"A": "1"},
    tags={"A": "1"},
    outputs=("outputs",),
    timeout_minutes=1.5,
    needs=("a", "b"),
)


def test_values_keep_their_kinds(store: Store) -> None:
    """To Python, true is 1 and so is 1.0; to a notebook they are not."""
    twin = replace(EVERY_KIND, parameters={"a": 1.0, "b": True, "c": 1, "d": [], "e": 0.0, "f": {}})
    trouble = Trouble("submit", TroubleKind.UNFIT, NOON, 2, "no right")
    runs = (RunState(EVERY_KIND, troubles=(trouble,)), RunState(twin, metrics={"inf": 1e999}))
    state = store.state()
    written = prepared(state, runs)
    found = store.state().load(KEY)

    assert found == written
    for before, after in zip(runs, found.build.runs, strict=True):
        assert json.dumps(before.spec.parameters) == json.dumps(after.spec.parameters)


def test_what_a_newer_version_wrote_survives_a_save(store: Store) -> None:
    state = store.state()
    stored = prepared(state, (run("a"), run("b")))
    saved(state, stored, runs=(active(stored.build.runs[0]), stored.build.runs[1]))
    head = json.loads(store.head(KEY))
    head["build"]["new"] = {"of a build": 1}
    head["runs"]["0"]["new"] = {"of a run": 1}
    store.put_head(KEY, json.dumps(head).encode())

    state = store.state()
    found = state.load(KEY)
    assert found is not None
    first, second = found.build.runs
    saved(state, found, look=9, runs=(ended(first, 1), active(second)))
    head = json.loads(store.head(KEY))
    assert head["build"]["new"] == {"of a build": 1}
    assert head["runs"]["0"]["new"] == {"of a run": 1}


@pytest.mark.parametrize(
    "foreign",
    ['{"format": 2}', "[]", "gibberish", '{"format": 1, "build": {"phase": "pondering"}}'],
)
def test_a_record_that_cannot_be_read_hides_no_other_and_is_told_once(
    foreign: str, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    state = store.state()
    for key in ("a", "b"):
        state.create(build(key=key), None)
    store.put_head("a", foreign.encode())
    store.later(3600)

    for _ in range(2):
        assert [each.key for each in state.builds()] == ["b"]
        assert [each.key for each in state.due()] == ["a", "b"], "another host may take it"
        with pytest.raises(Temporary, match="cannot be read by this version of mlgate"):
            state.load("a")
        assert not state.create(build(key="a"), None)
    assert caplog.text.count("build a: its record cannot be read") == 1
    assert store.head("a") == foreign.encode()


def test_a_rejection_that_cannot_be_read_hides_no_other(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    state = store.state()
    state.reject(Rejection("good", NOON, "bad"))
    store.put_rejection("foreign", '{"from": "the future"}')

    assert [each.key for each in state.rejections()] == ["good"]
    with pytest.raises(Temporary, match="cannot be read by this version of mlgate"):
        state.rejection("foreign")
    state.reject(Rejection("foreign", NOON, "mine"))
    assert {each.key for each in state.rejections()} == {"good", "foreign"}
    assert caplog.text.count("record of rejected message foreign") == 1


def test_what_is_kept_in_memory_is_bounded() -> None:
    heads: dict[str, bytes] = {}
    for number in range(9):
        made = build(key=f"{number}", reason="x" * 100_000)
        heads[made.key] = compose(made, None).head

    def no_parts(_: str, names: Sequence[str]) -> dict[str, bytes]:
        raise AssertionError

    shelf = Shelf(lambda key: (heads[key], "1"), no_parts, most=500_000)
    read = {key: shelf.readable(key) for key in heads}
    assert shelf.readable("8") is read["8"]
    assert shelf.readable("5") is read["5"]
    assert shelf.readable("0") == read["0"]
    assert shelf.readable("0") is not read["0"]


def test_defaults_are_left_out(store: Store) -> None:
    prepared(store.state(), notebooks(3))
    text = store.head(KEY).decode() + "".join(map(text_of, store.parts(KEY).values()))
    for field in ("cell_timeout_seconds", "timeout_minutes", "cancel_requested", "activity"):
        assert field not in text


def test_a_build_of_today_fits_in_its_head(store: Store) -> None:
    """A small one has no parts, which would be requests."""
    state = store.state()
    made: Build = build(run("a"), run("b", needs=("a",)), pipeline=PIPELINE)
    state.create(made, None)
    look(state)
    assert store.parts(KEY) == {}
    assert len(store.head(KEY)) < 2_500
