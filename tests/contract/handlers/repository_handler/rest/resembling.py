"""Repositories made to resemble public ones, each for something that a zip or a server may lose."""

from __future__ import annotations

import random

from tests.contract.handlers.repository_handler.origins import Content, link

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 3\n" % (b"a" * 64)
NOISE = random.Random(7).randbytes(3 << 20)

REPOSITORIES: dict[str, dict[str, Content]] = {
    "package": {
        "setup.py": (0o100755, b"#!/usr/bin/env python\n"),
        "src/pkg/__init__.py": b"",
        "src/pkg/_native/build.sh": (0o100755, b"#!/bin/sh\nmake\n"),
        "src/pkg/py.typed": b"",
        "tools/latest": link("../src/pkg"),
        "docs/README.md": link("../README.md"),
        "README.md": b"# pkg\n",
    },
    "unicode": {
        "Übung/größe.ipynb": b"{}",
        "Ubung\u0308/n\u0303.txt": b"decomposed",
        "データ/学習 一.csv": b"1\n",
        "😀/a b#c%20d?e&f=g+h.txt": b"x",
        "back\\slash": b"\\",
        "tab\tand\nline": b"t",
        "trailing. ": b"dot and space",
        "quote\"'.md": b"q",
    },
    "empty files": {
        "data/.gitkeep": b"",
        "models/.gitkeep": b"",
        "a/b/c/.gitkeep": b"",
        "same-1": b"same",
        "same-2": (0o100755, b"same"),
    },
    "line ends": {
        ".gitattributes": (
            b"*.txt text eol=crlf\n*.bat text eol=crlf\n*.py text=auto\n*.u16 "
            b"working-tree-encoding=UTF-16LE eol=crlf\nsecret export-ignore\nversion export-subst\n"
            b"*.ident ident\n"
        ),
        "unix.txt": b"one\ntwo\n",
        "dos.txt": b"one\r\ntwo\r\n",
        "mixed.py": b"one\r\ntwo\nthree\r",
        "run.bat": b"@echo\n",
        "x.u16": "läuft\n".encode(),
        "secret": b"not ignored",
        "version": b"$Format:%H$\n",
        "x.ident": b"$Id$\n",
        "sub/.gitattributes": b"* export-ignore\n",
        "sub/file": b"here",
    },
    "submodule": {
        ".gitmodules": b'[submodule "lib"]\n\tpath = vendor/lib\n\turl = ../lib\n',
        "vendor/lib": (0o160000, b"1" * 40),
        "vendor/README": b"vendored\n",
        "main.py": b"import lib\n",
    },
    "pointers": {
        ".gitattributes": b"*.bin filter=lfs diff=lfs merge=lfs -text\n",
        "weights/model.bin": POINTER,
        "weights/none.bin": b"",
        "train.py": b"x = 1\n",
    },
    "large": {
        "noise.bin": NOISE,
        "zeros.bin": bytes(9 << 20),
        "small.py": b"pass\n",
        "noise-again.bin": (0o100755, NOISE),
    },
    "many": {
        **{f"data/{n % 7}/{n % 31}/{n}.csv": b"%d\n" % (n // 2) for n in range(120)},
        "/".join("d" * 60) + "/deep.txt": b"deep",
    },
    "names": {
        "README": b"1",
        "readme": b"2",
        "ReadMe": b"3",
        "con": b"windows",
        "aux.txt": b"windows",
        "..a": b"dots",
        "...": b"dots",
        "a.": b"dot",
        "-rf": b"option",
        "~": b"home",
        "git~1": b"short",
        ".github/workflows/ci.yml": b"on: push\n",
        ".gitignore": b"*.pyc\n",
        "x" * 250: b"long",
        "foo.bar": b"sorted before",
        "foo/bar": b"a folder",
        "foo-bar": b"sorted between",
    },
    "links": {
        "real/file": (0o100755, b"x"),
        "real/deep/inner": b"y",
        "to-file": link("real/file"),
        "to-folder": link("./real/"),
        "chain": link("to-folder/deep/inner"),
        "absolute": link("/proc/self/environ"),
        "out": link("../../../etc/passwd"),
        "dangling": link("nowhere"),
        "loop": link("loop"),
        "unicode-ä": link("real/deep"),
    },
    "nothing": {},
}
