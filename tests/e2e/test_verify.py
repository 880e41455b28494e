"""A promotion that a real server has to answer with, and its undoing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.e2e.commands import commit, mlgate, run
from tests.e2e.serving import Callers, Server
from tests.e2e.test_models import TRAIN
from tests.support.models import pickled

# Answers its example as it did when it was checked, and fails at its third request.
FAILS = """
class Model:
    asked = 0
    def predict(self, rows):
        self.asked += 1
        if self.asked > 2:
            raise RuntimeError("no more")
        return [2 for _ in rows]
"""


def test_what_does_not_answer_well_is_undone_and_callers_do_not_notice_for_long(
    tmp_path: Path, repository: Path
) -> None:
    (repository / "train.py").write_text(TRAIN)
    for name, source in (
        ("one", "class Model:\n    def predict(self, rows): return [1 for _ in rows]"),
        ("fails", FAILS),
        ("three", "class Model:\n    def predict(self, rows): return [3 for _ in rows]"),
    ):
        (repository / f"{name}.pkl").write_bytes(pickled(source))
    commit(repository)
    message = tmp_path / "message.json"

    def offer(name: str, url: str | None = None) -> None:
        verify = {} if url is None else {"verify": {"url": url, "answers": 20}}
        said = {
            "version": 1,
            "repository": {"url": str(repository)},
            "runs": [
                {"kind": "training", "name": "train", "command": f"python train.py {name}.pkl 1"}
            ],
            "promote": {"model": "churn", "example": "outputs/example.json", **verify},
        }
        message.write_text(json.dumps(said))

    offer("one")
    assert run(tmp_path, message).code == 0
    server = Server(tmp_path, tmp_path / ".mlgate/models")
    try:
        server.serves(1)
        with Callers(server, 2) as callers:
            offer("fails", server.url)
            done = run(tmp_path, message)
            said = done.result["promotion"]
            server.serves(3)
            count = len(callers.answers)
            offer("three", server.url)
            good = run(tmp_path, message)
    finally:
        server.close()
        shutil.rmtree(server.temporary, ignore_errors=True)

    assert (done.code, said["outcome"], said["verified"]) == (1, "rolled_back", False)
    assert "The server answers the example with 500: error " in said["reason"]
    assert "is current again, by entry 3. The server answers with it." in said["reason"]
    assert f"Waiting for {server.url} to answer with it." in done.out
    [back, bad, first] = json.loads(mlgate(tmp_path, "models", "churn", "--json").out)["log"][-3:]
    assert (back["kind"], back["id"], back["replaces"]) == ("rolled_back", first["id"], bad["id"])

    failed = [at for at, status, _ in callers.moments if status != 200]
    again = min(at for at, _, number in callers.moments if number == "3")
    print(f"answered again {again - min(failed):.2f} s after the first failure")  # noqa: T201 -- its figure
    assert max(failed) < again < min(failed) + 10
    assert {status for status, _, _ in callers.answers[count:]} == {200}

    said = good.result["promotion"]
    assert (good.code, said["outcome"], said["verified"]) == (0, "promoted", True)
    assert f"{server.url} serves it: 20 answers in a row as recorded." in said["reason"]
