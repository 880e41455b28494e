"""A model store in a folder: on a disk of this machine, NFS, or a mounted file share.

A file is written aside first, in the store's own folder under a name that begins with `.mlgate-`,
until it is complete and on the disk. Then a link gives it its name, which fails if the name is
taken. Where links are not possible, as on SMB, an entry is created under its name directly, so
readers may find it torn for a moment. A version's file, whose content is the same for every writer,
is renamed instead, if the name is free.
"""

from __future__ import annotations

import errno
import os
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from handlers.disk_faults import NO_NAME, fault_of_disk
from handlers.in_time import InTime
from handlers.models_handler.disk import NO_LINKS, Disk
from handlers.models_handler.files import no_name
from handlers.models_handler.layout import INIT, MARK, new_mark, store_of
from mlgate.orchestration.errors import OrchestrationError, Permanent, Temporary, UnfitHost

_ASIDE = ".mlgate-"
_LEFT_BEHIND = timedelta(days=1)
_LIMIT = 4.0  # seconds for a look at the mark
_DELAY = 30.0  # seconds
_MISSING = (errno.ENOENT, errno.ENOTDIR)


class Folder:
    """A `Place`. Safe for threads and hosts."""

    def __init__(
        self, root: Path, *, embedded: bool = False, disk: Disk | None = None, limit: float = _LIMIT
    ) -> None:
        """An `embedded` store creates its mark itself. `limit`, in seconds, is for reading the
        mark, since a file system whose server is gone blocks its callers."""
        self._root = root
        self._embedded = embedded
        self._disk = disk or Disk()
        self._in_time = InTime(limit)

    @property
    def location(self) -> str:
        return str(self._root)

    def ready(self, *, writing: bool) -> str:
        mark = self._looked()
        if mark is not None:
            return store_of(mark, str(self._root / MARK))
        if not self._embedded:
            raise UnfitHost(
                f"There is no {self._root / MARK}, so {self._root} is not a model store, or its "
                f"share is not mounted. Mount it, or make it a store with `{INIT}`."
            )
        if writing:
            self.create(MARK, new_mark())
        return ""

    def init(self) -> None:
        mark = self._looked()
        if mark is None:
            self.create(MARK, new_mark())
        else:
            store_of(mark, str(self._root / MARK))

    def create(self, name: str, content: bytes) -> bool:
        place = self._prepared(name)
        with _translated(place, "written"), self._aside((content,)) as aside:
            try:
                self._disk.link(aside, place)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                if not self._created(place, content):
                    return False
            self._disk.sync(place.parent)
        return True

    def write(self, name: str, parts: Iterable[bytes], *, over: bool) -> None:
        place = self._prepared(name)
        with self._aside(parts) as aside, _translated(place, "written"):
            if over:
                self._disk.rename(aside, place)
            else:
                self._put(aside, place)
            self._disk.sync(place.parent)

    @contextmanager
    def opened(self, name: str) -> Iterator[Iterator[bytes] | None]:
        place, there = self._place(name), True
        descriptor = None
        with _translated(place, "read"):
            try:
                descriptor = self._disk.open(place)
            except FileNotFoundError:
                there = False
        if descriptor is None:
            yield iter(()) if there else None
            return
        try:
            yield self._read(descriptor, place)
        finally:
            os.close(descriptor)

    def age(self, name: str) -> timedelta | None:
        # By the clock that wrote the file's time, which need not be this host's.
        try:
            with self._aside(()) as touched:
                now = touched.lstat().st_mtime
            written = self._place(name).lstat().st_mtime
        except (OSError, OrchestrationError):
            return None
        # A time in the future was not written by that clock.
        return timedelta(seconds=abs(now - written))

    def folders(self) -> list[str]:
        with _translated(self._root, "read"):
            try:
                with os.scandir(self._root) as found:
                    return [each.name for each in found if each.is_dir(follow_symlinks=False)]
            except FileNotFoundError:
                return []

    def sizes(self, folder: str) -> Mapping[str, int]:
        top, found = self._folder(folder), {}
        with _translated(top, "read"):
            for place, status in _below(top):
                if stat.S_ISREG(status.st_mode):
                    found[place.relative_to(top).as_posix()] = status.st_size
        return found

    def remove(self, folder: str) -> None:
        top = self._folder(folder)
        with _translated(top, "written"):
            for place, status in _below(top):
                if stat.S_ISDIR(status.st_mode):
                    with suppress(OSError):  # an empty folder does no harm
                        place.rmdir()
                else:
                    with suppress(FileNotFoundError):
                        self._disk.unlink(place)

    def tidy(self) -> None:
        """What cannot be removed now is removed by a later call."""
        for place in self._root.glob(f"{_ASIDE}*"):
            age = self.age(place.name)
            if age is not None and age > _LEFT_BEHIND:
                with suppress(OSError):
                    self._disk.unlink(place)

    def _looked(self) -> bytes | None:
        mark = self._root / MARK
        try:
            return self._in_time(self._look)
        except TimeoutError:
            raise Temporary(
                f"{mark} cannot be read: its folder does not answer. Check that its share is "
                "mounted and its server is running. Only a folder with that file, which "
                f"`{INIT}` creates, is a model store.",
                _DELAY,
            ) from None

    def _look(self) -> bytes | None:
        with self.opened(MARK) as parts:
            return None if parts is None else b"".join(parts)

    def _place(self, name: str) -> Path:
        folder, _, last = name.rpartition("/")
        return self._folder(folder) / last

    def _folder(self, name: str) -> Path:
        """Raises `Permanent` if a symbolic link would lead elsewhere."""
        folder = self._root
        for part in name.split("/") if name else ():
            folder /= part
            with _translated(folder, "read"):
                try:
                    status = folder.lstat()
                except FileNotFoundError:
                    return self._root / name
            if not stat.S_ISDIR(status.st_mode):
                raise Permanent(
                    f"{folder} is a file or a symbolic link, but a model store has a folder there. "
                    "Remove it."
                )
        return folder

    def _prepared(self, name: str) -> Path:
        """The file's path, in a folder that exists, also after a loss of power."""
        place = self._place(name)
        with _translated(place, "written"):
            if not place.parent.is_dir():
                missing = [each for each in place.parents if not each.exists()]
                for folder in reversed(missing):
                    folder.mkdir(exist_ok=True)
                    self._disk.sync(folder.parent)
        return place

    @contextmanager
    def _aside(self, parts: Iterable[bytes]) -> Iterator[Path]:
        """A file with that content, flushed to the disk; removed afterwards."""
        aside = self._root / f"{_ASIDE}{uuid.uuid4().hex}"
        with _translated(aside, "written"):
            descriptor = self._disk.create(aside)
        try:
            self._fill(aside, descriptor, parts)
            yield aside
        finally:
            # After a rename it is gone; if it cannot be removed now, `tidy` will.
            with suppress(OSError):
                self._disk.unlink(aside)

    def _fill(self, path: Path, descriptor: int, parts: Iterable[bytes]) -> None:
        try:
            for part in parts:  # errors from making a part are not the disk's
                with _translated(path, "written"):
                    self._disk.write(descriptor, part)
        except BaseException:
            with suppress(OSError):
                os.close(descriptor)
            raise
        with _translated(path, "written"):
            self._disk.close(descriptor)

    def _created(self, place: Path, content: bytes) -> bool:
        try:
            descriptor = self._disk.create(place)
        except FileExistsError:
            return False
        self._fill(place, descriptor, (content,))
        return True

    def _put(self, aside: Path, place: Path) -> None:
        """Give a file its name, unless the name is taken."""
        try:
            self._disk.link(aside, place)
        except FileExistsError:
            return
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            if os.path.lexists(place):
                return
            try:
                self._disk.rename(aside, place)
            except OSError:
                # Another writer was first, and its file is being read: it has the same content.
                if not os.path.lexists(place):
                    raise

    def _read(self, descriptor: int, place: Path) -> Iterator[bytes]:
        while True:
            with _translated(place, "read"):
                part = self._disk.read(descriptor)
            if not part:
                return
            yield part


def _below(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Everything below, each folder after its content. Follows no links; skips what is gone."""
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        if error.errno in _MISSING:
            return
        raise
    for each in found:
        try:
            status = each.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(status.st_mode):
            yield from _below(each)
        yield each, status


@contextmanager
def _translated(place: Path, verb: str) -> Iterator[None]:
    """Raise OSError as mlgate's own; `verb`: read or written."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_NAME:
            raise no_name(str(place), error.strerror or "") from error
        raise fault_of_disk(place, verb, error, "MLGATE_MODELS") from error
    except ValueError as error:  # a character that no name can have: half a surrogate
        raise no_name(str(place), str(error)) from error
