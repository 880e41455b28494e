"""Gives a run its own view of folders that it shares with others.

If Linux allows it (mount_namespaces(7), as root or with user namespaces), an overlay sends what a
run changes in such a folder to a folder of its own: installed or removed packages, and files
written in place. Only the run and its processes see the overlay, and it ends with the last of them.
Paths stay the same, so warm and cold runs don't differ.
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
_MS_KEPT = 2 | 4 | 8 | 1 << 10 | 1 << 11  # flags kept in a remount, the same as in statvfs(3)
_ST_RELATIME, _MS_RELATIME = 1 << 12, 1 << 21
_ESCAPED = str.maketrans({char: f"\\{char}" for char in "\\:,"})  # in the options of an overlay
_UNESCAPED = (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\"))  # proc(5)


class View(NamedTuple):
    """The folders that this process sees through a layer, with the layer that has their changes."""

    layers: Mapping[Path, Path]

    def leave(self) -> None:
        """Let this process see the folders themselves again. Raises OSError."""
        for folder in self.layers:
            _call("umount2", os.fsencode(folder), _MNT_DETACH)

    def compiled(self) -> list[Path]:
        """The sources whose bytecode was written to a layer."""
        sources = []
        for folder, upper in self.layers.items():
            for directory, _, names in os.walk(upper):
                here = folder / Path(directory).relative_to(upper).parent
                if os.path.basename(directory) == "__pycache__":  # noqa: PTH119 -- there are many
                    found = (here / f"{name.partition('.')[0]}.py" for name in names)
                    sources += [source for source in found if source.is_file()]
        return sources


def enter(shared: Sequence[Path], read_only: Sequence[Path], changes: Path) -> View | None:
    """Keep what this process, and all that it starts from now on, changes in `shared` to itself.

    The changes go below `changes`. `read_only` folders that are not inside of shared ones cannot be
    changed at all. The process must have only one thread. Returns None if the system doesn't allow
    this, a shared folder has another file system below it, or any has `changes` in it; then a part
    of it may have been done.
    """
    folders = _outermost(shared)
    fixed = [each for each in _outermost([*folders, *read_only]) if each not in folders]
    changes = changes.resolve()
    if sys.platform != "linux" or any(map(changes.is_relative_to, (*folders, *fixed))):
        return None
    layers = {folder: changes / str(n) for n, folder in enumerate(folders)}
    try:
        below = tuple(f"{folder}".rstrip("/") + "/" for folder in folders)
        if any(mount.startswith(below) for mount in _mounts()):
            return None
        options = _unshare()
        _mount("none", Path("/"), _MS_REC | _MS_PRIVATE)
        changes.mkdir(exist_ok=True)  # without parents: an attempt that is gone must stay gone
        for folder, upper in layers.items():
            work = upper.with_name(f"{upper.name}-work")
            work.mkdir()
            upper.mkdir()
            upper.chmod(folder.stat().st_mode & 0o7777)  # the view shows this mode as the folder's
            parts = (("lowerdir", folder), ("upperdir", upper), ("workdir", work))
            named = [f"{name}={str(path).translate(_ESCAPED)}" for name, path in parts]
            _mount("overlay", folder, 0, ",".join([*named, *options]), kind="overlay")
        for folder in fixed:
            _mount(str(folder), folder, _MS_BIND)
            _mount("none", folder, _MS_BIND | _MS_REMOUNT | _MS_RDONLY | _flags(folder))
    except OSError:
        return None
    return View(layers)


def possible() -> bool:
    """Whether the system allows views at all. The process must have only one thread."""
    if (pid := os.fork()) == 0:
        try:
            os._exit(0 if enter([], [], Path("/")) is not None else 1)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _unshare() -> list[str]:
    """Leave the machine's mounts; returns the options that overlays of this process need."""
    user, group = os.getuid(), os.getgid()
    with suppress(PermissionError):
        _call("unshare", _CLONE_NEWNS)
        return []
    _call("unshare", _CLONE_NEWNS | _CLONE_NEWUSER)
    processes.be_readable(True)  # else `marked` could not read its variables
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
    """The flags of the folder's mount that only the mount's owner may clear."""
    flags = os.statvfs(folder).f_flag
    return flags & _MS_KEPT | (_MS_RELATIME if flags & _ST_RELATIME else 0)


def _outermost(folders: Sequence[Path]) -> list[Path]:
    """The real paths of the folders that exist and are not inside another one."""
    found: list[Path] = []
    for folder in sorted({folder.resolve() for folder in folders if folder.is_dir()}):
        if not any(folder.is_relative_to(outer) for outer in found):
            found.append(folder)
    return found


def _mounts() -> list[str]:
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        path = line.split()[4]
        for escaped, char in _UNESCAPED:
            path = path.replace(escaped, char)
        found.append(path)
    return found
