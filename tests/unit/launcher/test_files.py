"""Which files a pattern means, and which are made executable."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlgate.launcher.outputs import matching_files
from mlgate.launcher.records import make_executable
from mlgate.launcher.values import Place

FILES = ["a.csv", ".b.csv", "sub/c.csv", "sub/.deep/d.csv", "sub/deep/e.txt", "out/log.txt"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (("*.csv",), {"a.csv", ".b.csv"}),
        (("sub", "**"), {"sub/c.csv", "sub/.deep/d.csv", "sub/deep/e.txt"}),
        (("**", "*.csv"), {"a.csv", ".b.csv", "sub/c.csv", "sub/.deep/d.csv", "link/c.csv"}
         | {"link/.deep/d.csv"}),
        (("**", "deep", "*"), {"sub/deep/e.txt", "link/deep/e.txt"}),
        (("*", "[!d]*"), {"sub/c.csv", "link/c.csv"}),
        (("**",), {*FILES, "link/c.csv", "link/.deep/d.csv", "link/deep/e.txt"} - {"out/log.txt"}),
        (("sub",), set()),
        (("none", "*"), set()),
        ((), set()),
    ],
)  # a row a line # fmt: skip
def test_hidden_files_and_links_count_but_no_loop_and_no_own_output(
    tmp_path: Path, pattern: tuple[str, ...], expected: set[str]
) -> None:
    root = tmp_path.resolve() / "root"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "link").symlink_to("sub")
    for name in ("loop", "sub/loop"):
        (root / name).symlink_to(root)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key.csv").touch()
    (root / "outside").symlink_to(tmp_path / "secret")
    (root / "outside.csv").symlink_to(tmp_path / "secret" / "key.csv")
    place = Place(root, root, root / "out", None, {}, None)

    found = matching_files(root, pattern, place)

    assert {path.relative_to(root).as_posix() for path in found} == expected


def test_files_are_executable_again_and_what_is_not_there_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("a.sh", "deep/b", "data"):
        (tmp_path / name).touch(mode=0o644)
    listed = tmp_path / "executable.json"
    listed.write_text('["a.sh", "missing", "deep/b"]')
    make_executable(tmp_path, listed)
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("a.sh", "deep/b", "data")}
    assert modes == {"a.sh": 0o755, "deep/b": 0o755, "data": 0o644}
