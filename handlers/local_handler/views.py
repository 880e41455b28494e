"""A run's own view of folders that it shares with others.

Where Linux allows it (mount_namespaces(7), as root or with user namespaces), what a run changes in
such a folder goes to a folder of its own, by an overlay that the run and its processes alone see:
installed or removed packages, and files that are written to in place. It ends with the last of
them. Whether runs are warm or cold makes no difference, as nothing changes its path.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from handlers.local_handler import processes

_CLONE_NEWNS, _CLONE_NEWUSER = 0x0002_0000, 0x1000_0000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 1 << 5, 1 << 12, 1 << 14, 1 << 18
_MNT_DETACH = 2
_MS_KEPT = 2 | 4 | 8 | 1 << 10 | 1 << 11  # of a mount that is changed, as statvfs(3) has them
_ST_RELATIME, _MS_RELATIME = 1 << 12, 1 << 21
_ESCAPED = str.maketrans({char: f"\\{char}" for char in "\\:,"})  # in the options of an overlay
_UNESCAPED = (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\"))  # proc(5)


class View(NamedTuple):
    """What this process sees otherwise than the machine: folders, and where their changes go."""

    layers: Mapping[Path, Path]

    def leave(self) -> None:
        """See the folders as the machine does, for this process alone; OSError."""
        for folder in self.layers:
            _call("umount2", os.fsencode(folder), _MNT_DETACH)

    def compiled(self, root: Path) -> list[Path]:
        """The sources below `root` of which bytecode was written into a layer."""
        sources = []
        for folder, upper in self.layers.items():
            if not folder.is_relative_to(root):
                continue
            for directory, _, names in os.walk(upper):
                here = folder / Path(directory).relative_to(upper).parent
                if os.path.basename(directory) == "__pycache__":  # noqa: PTH119 -- of each of many
                    found = (here / f"{name.partition('.')[0]}.py" for name in names)
                    sources += [source for source in found if source.is_file()]
        return sources


def enter(shared: Sequence[Path], read_only: Sequence[Path], changes: Path) -> View | None:
    """Have this process, and what it starts from now on, change what is `shared` for itself alone.

    What it changes there is kept below `changes`, and `read_only` folders cannot be changed at
    all. For a process with one thread. None, with at most a part of it done, where the system
    does not allow that, or a folder has another file system below it.
    """
    folders = _outermost(shared)
    changes = changes.resolve()
    if sys.platform != "linux" or any(changes.is_relative_to(folder) for folder in folders):
        return None
    layers = {folder: changes / str(n) / "upper" for n, folder in enumerate(folders)}
    try:
        if any(_is_below(mount, folders) for mount in _mounts()):
            return None
        options = _unshare()
        _mount("none", Path("/"), _MS_REC | _MS_PRIVATE)
        changes.mkdir(exist_ok=True)  # and nothing above: an attempt that is gone stays so
        for folder, upper in layers.items():
            work = upper.with_name("work")
            for made in (upper.parent, upper, work):
                made.mkdir()
            upper.chmod(folder.stat().st_mode & 0o7777)  # what is seen as the folder's own
            parts = (("lowerdir", folder), ("upperdir", upper), ("workdir", work))
            named = [f"{name}={str(path).translate(_ESCAPED)}" for name, path in parts]
            _mount("overlay", folder, 0, ",".join([*named, *options]), kind="overlay")
        for folder in read_only:
            _mount(str(folder), folder, _MS_BIND)
            _mount("none", folder, _MS_BIND | _MS_REMOUNT | _MS_RDONLY | _flags(folder))
    except OSError:
        return None
    return View(layers)


def possible() -> bool:
    """Whether the system allows views at all; for a process with one thread."""
    if (pid := os.fork()) == 0:
        try:
            os._exit(0 if enter([], [], Path("/")) is not None else 1)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _unshare() -> list[str]:
    """Leave the machine's mounts; the options that an overlay of this process needs."""
    user, group = os.getuid(), os.getgid()
    with suppress(PermissionError):
        _call("unshare", _CLONE_NEWNS)
        return []
    _call("unshare", _CLONE_NEWNS | _CLONE_NEWUSER)
    processes.be_readable(True)  # else nobody finds by its variables whose process this is
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    return ["userxattr"]


def _mount(source: str, target: Path, flags: int, options: str = "", kind: str = "") -> None:
    texts = (source, str(target), kind, options)
    encoded = [os.fsencode(text) if text else None for text in texts]
    _call("mount", encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])


def _call(name: str, *arguments: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _flags(folder: Path) -> int:
    """Those of its mount, which only its owner may take away."""
    flags = os.statvfs(folder).f_flag
    return flags & _MS_KEPT | (_MS_RELATIME if flags & _ST_RELATIME else 0)


def _outermost(folders: Sequence[Path]) -> list[Path]:
    """Those that are there and within no other one, by their real paths."""
    found: list[Path] = []
    for folder in sorted({folder.resolve() for folder in folders if folder.is_dir()}):
        if not any(folder.is_relative_to(outer) for outer in found):
            found.append(folder)
    return found


def _mounts() -> list[Path]:
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        path = line.split()[4]
        for escaped, char in _UNESCAPED:
            path = path.replace(escaped, char)
        found.append(Path(path))
    return found


def _is_below(mount: Path, folders: Sequence[Path]) -> bool:
    return any(mount != folder and mount.is_relative_to(folder) for folder in folders)
