"""Executes cells with nbclient, which logs output as it arrives and leaves errors to us."""

from __future__ import annotations

import queue
from collections.abc import Mapping, Sequence
from typing import Any

from mlgate.launcher.jupyter import jupyter
from mlgate.launcher.log import Log
from mlgate.launcher.text import clipped, one_line, plain
from mlgate.launcher.values import TRACE_CHARACTERS, Notebook, Raised

CELL_CHARACTERS = 10_000_000  # of one cell's output that are kept; the log has more
QUIET_SECONDS = 60.0  # of silence after a kernel's reply, after which no more output is expected


def cell_error(reply: Mapping[str, Any], outputs: Sequence[Mapping[str, Any]]) -> Raised | None:
    """What a cell raised, while it ran or while one of its values was displayed.

    IPython shows an error of display and goes on. The reply is then "ok", or "error" without a
    name, and only the output has the error. In a kernel, `exit()` and `quit()` raise nothing but
    ask it to shut down; here that counts as the `SystemExit` that it is everywhere else.
    """
    shown = [output for output in outputs if output["output_type"] == "error"]
    if reply["status"] == "ok" and not shown:
        for payload in reply.get("payload") or ():
            if payload.get("source") == "ask_exit":
                code = payload.get("keepkernel")  # has the first argument, whatever it is
                silent = isinstance(code, (bool, type(None)))
                ends = 0 if silent else code if isinstance(code, int) else 1
                return Raised("SystemExit", "" if silent else str(code), facts={"exit": ends})
        return None
    unnamed = reply.get("ename") in (None, "", "NoneType")
    error = shown[0] if shown and unnamed else reply
    trace = plain(clipped("\n".join(error.get("traceback") or ()), TRACE_CHARACTERS))
    name = error.get("ename")
    message = plain(clipped(error.get("evalue") or "", TRACE_CHARACTERS))
    if not name:
        name, _, message = trace.strip().rpartition("\n")[2].partition(": ")
    return Raised(name or "Error", message, trace)


def is_json(kind: str) -> bool:
    """Whether a media type is JSON, which may have any type (nbformat's schema, `mimebundle`)."""
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )


class Printed:
    """Collects the stream output of a cell in pieces, which are joined when it is read.

    Appending each piece to a long text would copy that text every time.
    """

    def __init__(self) -> None:
        self._output: Any = None
        self._pieces: list[str] = []
        self._room = CELL_CHARACTERS

    def cell_begins(self) -> None:
        self.join()
        self._room = CELL_CHARACTERS

    def cut(self, text: str) -> str:
        """The part of the printed text that is kept."""
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
    """nbclient's client, which logs output as it arrives and leaves errors to us.

    `reply` is the kernel's reply to the last cell. `replied` is true from the reply until all of
    the cell's output has arrived. That may take any time, as long as something arrives now and
    then.
    """
    base = jupyter("nbclient").NotebookClient
    complete = jupyter("nbclient.exceptions").CellControlSignal

    class Client(base):  # type: ignore[misc, valid-type]  # known only at run time
        reply: Any = None
        replied = False
        printed = Printed()

        @property
        def iopub_timeout(self) -> None:
            """nbclient reads this after the reply. None: wait for the rest without limit."""
            self.replied = True

        async def _async_poll_output_msg(self, parent: str, cell: Any, cell_index: int) -> None:
            while await self.hears(parent, cell, cell_index):
                pass

        def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
            """A message that is not as the protocol says is left out: the code may have sent it."""
            try:
                return super().process_message(msg, cell, cell_index)
            except complete:
                raise
            except Exception as error:  # noqa: BLE001 -- other content can fail in any way
                why = one_line(f"{type(error).__name__}: {error}", 200)
                log.warn(f"an output of a cell cannot be shown and was left out: {why}")
                return None

        async def hears(self, parent: str, cell: Any, cell_index: int) -> bool:
            """Handles one message; returns whether the cell may have more."""
            try:
                msg = await self.kc.iopub_channel.get_msg(timeout=QUIET_SECONDS)
                if msg["parent_header"].get("msg_id") == parent:
                    self.process_message(msg, cell, cell_index)
            except complete:
                return False
            except queue.Empty:
                if self.replied:
                    log.warn("outputs of a cell may be missing: the kernel stopped sending")
                return not self.replied
            return True

        def output(self, outs: Any, msg: Any, display_id: Any, cell_index: int) -> Any:
            if msg["msg_type"] != "stream":
                if isinstance(data := msg["content"].get("data"), dict):
                    self.leave_out_parts(data)
                return super().output(outs, msg, display_id, cell_index)
            name, text = msg["content"]["name"], msg["content"]["text"]
            log.write(text)
            was_full = self.printed.is_full
            text = self.printed.cut(text)
            if self.printed.is_full and not was_full:
                log.warn("a cell prints too much: the notebook has only the first of its output")
            if not text:
                return None
            hooked = self.output_hook_stack[msg["parent_header"].get("msg_id")]
            same = outs and outs[-1].get("name") == name and not hooked
            if same and not self.clear_before_next_output:
                self.printed.add(outs[-1], text)  # one output, not one for each message
                return None
            msg["content"]["text"] = text
            return super().output(outs, msg, display_id, cell_index)

        def leave_out_parts(self, data: dict[Any, Any]) -> None:
            """Remove what no notebook can hold: parts that are neither text nor JSON by name."""
            for kind, value in list(data.items()):
                if is_json(str(kind)):
                    continue
                lines = value if isinstance(value, list) else [value]
                if not all(isinstance(line, str) for line in lines):
                    del data[kind]
                    if value is not None:  # which means that there is none
                        shown = one_line(f"{kind} is {value!r}", 200)
                        log.warn(f"a value was displayed without a part that is not text: {shown}")

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
