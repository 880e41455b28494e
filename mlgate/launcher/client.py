"""How cells are executed: nbclient, made to log as it reads and to leave the judging to us."""

from __future__ import annotations

import queue
from collections.abc import Mapping, Sequence
from typing import Any

from mlgate.launcher.jupyter import jupyter
from mlgate.launcher.log import Log
from mlgate.launcher.text import clipped, plain
from mlgate.launcher.values import TRACE_CHARACTERS, Notebook, Raised

CELL_CHARACTERS = 10_000_000  # kept of what one cell prints; the log has more of it
QUIET_SECONDS = 60.0  # without anything from a kernel that has replied, after which no more is due


def cell_error(reply: Mapping[str, Any], outputs: Sequence[Mapping[str, Any]]) -> Raised | None:
    """What a cell raised, be it while it ran or while one of its values was displayed.

    IPython shows an error of the latter kind and goes on: the reply then says "ok", or "error"
    without a name, and only the output tells. `exit()` and `quit()` raise nothing in a kernel,
    they ask it to shut down; that is taken for the `SystemExit` it is everywhere else.
    """
    shown = [output for output in outputs if output["output_type"] == "error"]
    if reply["status"] == "ok" and not shown:
        for payload in reply.get("payload") or ():
            if payload.get("source") == "ask_exit":
                code = payload.get("keepkernel")  # the first argument, whatever it is meant for
                silent = isinstance(code, (bool, type(None)))
                return Raised("SystemExit", "" if silent else str(code))
        return None
    unnamed = reply.get("ename") in (None, "", "NoneType")
    error = shown[0] if shown and unnamed else reply
    trace = plain(clipped("\n".join(error.get("traceback") or ()), TRACE_CHARACTERS))
    name = error.get("ename")
    message = plain(clipped(error.get("evalue") or "", TRACE_CHARACTERS))
    if not name:
        name, _, message = trace.strip().rpartition("\n")[2].partition(": ")
    return Raised(name or "Error", message, trace)


class Printed:
    """The stream output that a cell adds to, in pieces: joined when somebody reads it.

    Text that is added to a long text piece by piece is copied as often as there are pieces.
    """

    def __init__(self) -> None:
        self._output: Any = None
        self._pieces: list[str] = []
        self._room = CELL_CHARACTERS

    def cell_begins(self) -> None:
        self.join()
        self._room = CELL_CHARACTERS

    def cut(self, text: str) -> str:
        """What is kept of text that the cell prints."""
        kept = text[: max(0, self._room)]
        self._room -= len(text)
        return kept

    @property
    def is_full(self) -> bool:
        return self._room < 0

    def add(self, output: Any, text: str) -> None:
        if output is not self._output:
            self.join()
            self._output = output
        self._pieces.append(text)

    def join(self) -> None:
        if self._pieces:
            self._output["text"] += "".join(self._pieces)
        self._output, self._pieces = None, []


def make_client(notebook: Notebook, log: Log, channels: Any) -> Any:
    """nbclient's client, made to log as it reads and to leave the judging to us.

    `reply` is the kernel's to the last cell. `replied` is true from then on until all that the cell
    printed has come, which may be long after and has no limit but that something comes at all.
    """
    base = jupyter("nbclient").NotebookClient
    complete = jupyter("nbclient.exceptions").CellControlSignal

    class Client(base):  # type: ignore[misc, valid-type]  # known when it runs only
        reply: Any = None
        replied = False
        printed = Printed()

        @property
        def iopub_timeout(self) -> None:
            """Asked for, by nbclient, once there is the reply: wait for the rest without limit."""
            self.replied = True

        async def _async_poll_output_msg(self, parent: str, cell: Any, cell_index: int) -> None:
            while await self.hears(parent, cell, cell_index):
                pass

        async def hears(self, parent: str, cell: Any, cell_index: int) -> bool:
            """Takes one message; whether there may be more of the cell's."""
            try:
                msg = await self.kc.iopub_channel.get_msg(timeout=QUIET_SECONDS)
                if msg["parent_header"].get("msg_id") == parent:
                    self.process_message(msg, cell, cell_index)
            except complete:
                return False
            except queue.Empty:
                if self.replied:
                    log.warn("outputs of a cell may be missing: the kernel fell silent")
                return not self.replied
            return True

        def output(self, outs: Any, msg: Any, display_id: Any, cell_index: int) -> Any:
            if msg["msg_type"] != "stream":
                return super().output(outs, msg, display_id, cell_index)
            name, text = msg["content"]["name"], msg["content"]["text"]
            log.write(text)
            was_full = self.printed.is_full
            text = self.printed.cut(text)
            if self.printed.is_full and not was_full:
                log.warn("a cell prints so much that the notebook has only the first of it")
            if not text:
                return None
            hooked = self.output_hook_stack[msg["parent_header"].get("msg_id")]
            same = outs and outs[-1].get("name") == name and not hooked
            if same and not self.clear_before_next_output:
                self.printed.add(outs[-1], text)  # one output, not one for each message
                return None
            msg["content"]["text"] = text
            return super().output(outs, msg, display_id, cell_index)

    def begin(**_: Any) -> None:
        client.replied = False
        client.printed.cell_begins()

    def keep_reply(*, execute_reply: Any, **_: Any) -> None:
        client.reply = execute_reply["content"]
        client.printed.join()

    hooks = {"on_cell_execute": begin, "on_cell_executed": keep_reply}
    client: Any = Client(notebook, allow_errors=True, **hooks)
    client.kc = channels
    return client
