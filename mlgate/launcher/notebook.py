"""Executes one notebook, from the first cell to the last."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from dataclasses import replace
from typing import Any

from mlgate.launcher.client import cell_error, make_client
from mlgate.launcher.jupyter import jupyter
from mlgate.launcher.kernels import Kernel, choose_kernel, installed_kernel
from mlgate.launcher.log import Log
from mlgate.launcher.origins import Origins
from mlgate.launcher.page import prepare_rendering, render
from mlgate.launcher.parameters import inject, tags
from mlgate.launcher.processes import FIRST, INTERRUPT_SECONDS, exit_text
from mlgate.launcher.reading import read_notebook
from mlgate.launcher.reasons import classify, explained
from mlgate.launcher.records import OF_THE_HOST, now
from mlgate.launcher.text import excerpt
from mlgate.launcher.tracebacks import last_raised
from mlgate.launcher.values import Canceled, Failed, Notebook, Place, Raised, Stopped, Task

STARTUP_SECONDS = 120.0  # for a kernel to answer, on a busy machine
SHUTDOWN_SECONDS = 10.0  # for the exit hooks of a finished kernel, which may send buffered data
NOT_ENDED = (
    f"the kernel did not end within {SHUTDOWN_SECONDS:g} seconds after the last cell and was "
    "killed: unfinished work of its threads and exit hooks is lost"
)
EXECUTED, PAGE = "executed.ipynb", "executed.html"
SAVE_SECONDS = 5.0  # the minimum between two saves of a running notebook


class NotebookRun:
    """The run of one notebook, which is saved as it goes on."""

    def __init__(self, task: Task, place: Place, log: Log, stopped: Stopped) -> None:
        self.task, self.place, self.log, self.stopped = task, place, log, stopped
        self.path = place.root / task.path
        self.warming = threading.Thread(target=list, args=(prepare_rendering(),), daemon=True)
        self.client: Any = None  # once the kernel has answered
        self.saved, self.save_at = "", 0.0
        self.grace = 0.0  # seconds for the kernel to end; 0 until it answers, and if it must stop

    async def run(self) -> None:
        """Runs the notebook; saves and renders it in any case. Raises `Failed` or `Canceled`."""
        name = self._prepare()
        self.log.event("started", cells_total=self.total, at=now())
        self._save()
        try:
            self.kernel = Kernel(name, self.place, self.log)
        except OSError as error:
            kind = "infrastructure" if error.errno in OF_THE_HOST else "environment"
            raise Failed(kind, f"the kernel `{name}` did not start: {error}") from None
        try:
            await self._start(name)
            await self._run_cells()
        finally:
            ending = asyncio.ensure_future(self.kernel.end(self.grace, self.stopped))
            await asyncio.sleep(0)  # sends the request, so that the kernel ends while we render
            try:
                await self._save_at_last()
            finally:
                if await ending and not self.stopped.done():
                    self.log.warn(NOT_ENDED)

    def _prepare(self) -> str:
        """Reads and prepares the notebook; returns the name of its kernel."""
        self.notebook = read_notebook(self.path, self.log)
        code = [cell for cell in self.notebook.cells if cell.cell_type == "code"]
        for number, cell in enumerate(code, 1):
            cell.metadata["mlgate"] = {"number": number, "status": "not_run", "seconds": None}
        self.total = len(code)
        name, warning = choose_kernel(
            self.task.kernel,
            self.notebook.metadata,
            lambda name: getattr(installed_kernel(name), "language", None),
        )
        cells, warnings = inject(self.notebook.cells, self.task.parameters)
        for text in [warning, *warnings] if warning else warnings:
            self.log.warn(text)
        self.notebook.cells = [jupyter("nbformat").from_dict(cell) for cell in cells]
        if self.notebook.nbformat_minor < 5:  # cells have ids from 4.5 on
            for cell in self.notebook.cells:
                cell.pop("id", None)
        return name

    async def _start(self, name: str) -> None:
        """Waits for the kernel, and meanwhile imports what is needed next."""
        jupyter("nbclient")
        self.warming.start()
        answer = asyncio.ensure_future(self.kernel.answer())
        how = await self._wait(answer, STARTUP_SECONDS)
        if how != "done":
            answer.cancel()
        if how == "canceled":
            raise Canceled
        if how != "done":
            why = exit_text(self.kernel.process.ended.result()) if how == "died" else "no answer"
            raise Failed("environment", f"the kernel `{name}` did not start: {why}")
        self.notebook.metadata["language_info"] = answer.result().get("language_info", {})
        self.client = make_client(self.notebook, self.log, self.kernel.client)
        self.grace = SHUTDOWN_SECONDS

    async def _run_cells(self) -> None:
        executed = 0
        for index, cell in enumerate(self.notebook.cells):
            if cell.cell_type != "code":
                continue
            if "skip-execution" in tags(cell):
                self._finish(cell, "skipped", 0.0)
                continue
            executed += bool(cell.source.strip())
            if await self._run_cell(index, cell):
                last = self._number(cell) or 0
                if rest := [str(number) for number in range(last + 1, self.total + 1)]:
                    cells = rest[0] if len(rest) == 1 else f"{rest[0]} to {rest[-1]}"
                    self.log.warn(f"cell {last} ended the notebook early; not run: {cells}")
                break
        if not executed:
            self.log.warn("nothing was executed: the notebook has no code cells to run")

    async def _run_cell(self, index: int, cell: Notebook) -> bool:
        """Runs a cell; returns whether it ended the notebook early. Raises if it failed."""
        number = self._number(cell)
        label = f"cell {number}" if number else "the injected parameters"
        self.log.line(f"[{label}/{self.total}]" if number else f"[{label}]")
        started, status = time.monotonic(), "failed"
        try:
            ended = await self._execute(index, cell, label)
            status = "succeeded"
        except Failed as failed:
            trace = failed.traceback or failed.message
            self.log.line(trace)
            source = f"{label}:\n{excerpt(cell.source, 10)}\n\n"
            raise Failed(failed.kind, failed.message, number, source + trace) from None
        finally:
            self._finish(cell, status, time.monotonic() - started)
        return ended

    async def _execute(self, index: int, cell: Notebook, label: str) -> bool:
        work = asyncio.ensure_future(self.client.async_execute_cell(cell, index))
        how = await self._wait(work, self.task.cell_timeout_seconds)
        if how != "done":
            await self._give_up(work)
        if how == "canceled":
            raise Canceled
        if how == "died":
            raise self.kernel.death(label)
        if how == "timeout":
            limit = f"{self.task.cell_timeout_seconds:g} seconds"
            raise Failed("timeout", f"{label} was not finished after {limit}")
        work.result()
        error = cell_error(self.client.reply, cell.outputs) if cell.source.strip() else None
        expected = "raises-exception" in tags(cell)
        if error is None and expected:
            self.log.warn(f"{label} is tagged raises-exception but raised nothing")
        if error is None or expected:
            return False
        error = await self._known(error)
        if _ends_well(error):
            return True
        sources = [c.source for c in self.notebook.cells if c.cell_type == "code"]
        kind = classify(error, Origins(self.place, sources))
        raise Failed(kind, explained(error), None, error.traceback)

    async def _known(self, error: Raised) -> Raised:
        """The exception with what the kernel knows of it, or else with what its traceback shows."""
        if "exit" in error.facts:
            return error
        record = await self.kernel.record()
        if record and record["name"] == error.name:
            return Raised.read(record, error.traceback)
        shown = last_raised(error.traceback)
        known = shown is not None and shown.name == error.name
        return replace(shown, traceback=error.traceback) if shown and known else error

    async def _wait(self, work: asyncio.Future[Any], seconds: float) -> str:
        """Waits for the work; returns "done", "timeout", "died" (the kernel) or "canceled"."""
        deadline = time.monotonic() + seconds
        ended = self.kernel.process.ended
        while True:
            late = time.monotonic() >= deadline
            pause = SAVE_SECONDS if late else min(SAVE_SECONDS, deadline - time.monotonic())
            await asyncio.wait({work, ended, self.stopped}, timeout=pause, return_when=FIRST)
            if ended.done() and not work.done():  # the kernel's last messages may still arrive
                await asyncio.wait({work}, timeout=0.2)
            if work.done():
                return "done"
            if self.stopped.done() or ended.done():
                return "canceled" if self.stopped.done() else "died"
            # A finished cell has no time limit for its remaining output.
            if time.monotonic() >= deadline and not (self.client and self.client.replied):
                return "timeout"
            self._save_now_and_then()

    async def _give_up(self, work: asyncio.Future[Any]) -> None:
        """Interrupts the cell, so that its output is complete; kills the kernel if it goes on."""
        self.grace = 0.0
        process = self.kernel.process
        process.signal(signal.SIGINT)
        await asyncio.wait({work, process.ended}, timeout=INTERRUPT_SECONDS, return_when=FIRST)
        if not work.done():
            await process.kill()
            work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    def _number(self, cell: Notebook) -> int | None:
        number: int | None = cell.metadata.get("mlgate", {}).get("number")
        return number

    def _finish(self, cell: Notebook, status: str, seconds: float) -> None:
        if number := self._number(cell):
            seconds = round(seconds, 3)
            cell.metadata["mlgate"].update(status=status, seconds=seconds)
            self.log.event("cell", number=number, status=status, seconds=seconds)
        self._save_now_and_then()

    def _save_now_and_then(self) -> None:
        if time.monotonic() >= self.save_at:
            self._save()

    def _save(self) -> None:
        started = time.monotonic()
        if self.client:
            self.client.printed.join()
            self.client.set_widgets_metadata()
        text: str = jupyter("nbformat.v4").writes(self.notebook)
        if text != self.saved:  # a mounted store uploads every write
            self.saved = text if self.log.records.write(EXECUTED, text) else ""
        # Save less often if a save takes long, so that at most a tenth of the time is spent on it.
        self.save_at = time.monotonic() + max(SAVE_SECONDS, 10 * (time.monotonic() - started))

    async def _save_at_last(self) -> None:
        """Saves the notebook and its page; tries again if the folder refuses them."""
        page = self._render()
        records = self.log.records
        while True:
            self._save()
            written = not page or records.write(PAGE, page)
            if (self.saved and written) or self.stopped.done() or records.refusal(lasting=True):
                return
            await asyncio.wait({self.stopped}, timeout=1.0)

    def _render(self) -> str:
        """The notebook as a page; empty if that fails."""
        try:
            if self.warming.ident:
                self.warming.join()
            return render(self.notebook, self.path, self.place.root)
        except Exception as error:  # noqa: BLE001 -- a template may raise anything
            self.log.warn(f"the notebook could not be rendered as HTML: {error}")
            return ""


def _ends_well(error: Raised) -> bool:
    """Whether it is an exit without fault; by its text if the kernel could not say."""
    if "exit" in error.facts:
        return bool(error.facts["exit"] == 0)
    known = bool(error.classes)  # the kernel said what it is
    return not known and error.name == "SystemExit" and error.message in ("", "0", "None", "False")
