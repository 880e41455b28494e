"""What is installed for what environment files say."""

from __future__ import annotations

from pathlib import Path

import pytest

from handlers.local_handler.requirements import (
    FOR_NOTEBOOKS,
    FOR_SKINNY_MLFLOW,
    Plan,
    plan,
)
from mlgate.orchestration.backends.requirement_lines import Unusable
from mlgate.orchestration.runs import Environment


def planned(root: Path, file: str, content: str, *, notebook: bool = False) -> Plan:
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(content)
    conda = file.endswith(".yml")
    asked = Environment(conda_file=file) if conda else Environment(requirements=file)
    found = plan(asked, root, notebook=notebook)
    assert found is not None
    return found


def conda(root: Path, *dependencies: str) -> Plan:
    listed = "".join(f"- {line}\n" for line in dependencies)
    return planned(root, "conda.yml", f"dependencies:\n{listed}")


def test_comments_blank_lines_and_continuations_are_no_difference(tmp_path: Path) -> None:
    one = planned(tmp_path, "one.txt", "# all\n\nnumpy==1.26 # why\npandas \\\n  >=2\n")
    other = planned(tmp_path, "other.txt", "\ufeffnumpy==1.26\npandas    >=2\n")
    assert one.requirements == ("numpy==1.26", "pandas    >=2") == other.requirements


def test_included_files_are_merged_once_wherever_they_are(tmp_path: Path) -> None:
    (tmp_path / "base.txt").write_text("--requirement=sub/a.txt\nnumpy\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_text("-r ../base.txt\n-c limits.txt\npandas\n")
    (tmp_path / "sub" / "limits.txt").write_text("numpy<2\n")
    found = planned(tmp_path, "sub/all.txt", "-ra.txt\n-r ../base.txt\nscipy\n")
    assert found.requirements == ("numpy", "pandas", "scipy")
    assert found.constraints == ("numpy<2",)
    assert found.folder == "."


@pytest.mark.parametrize(
    "line",
    [
        "numpy", "numpy==1.26", "numpy[extra]>=1 ; python_version > '3'", "numpy (>=1)",
        "numpy @ https://example.org/numpy.whl", "git+https://example.org/numpy.git",
        "--index-url https://example.org/simple", "-i https://example.org", "--pre",
        "--find-links https://example.org", "-e git+https://example.org/numpy.git#egg=numpy",
        "numpy==1 --hash=sha256:00", "-r https://example.org/requirements.txt",
    ],
)  # a row a line # fmt: skip
def test_lines_that_mean_the_same_in_every_commit(tmp_path: Path, line: str) -> None:
    assert not planned(tmp_path, "requirements.txt", line).local


@pytest.mark.parametrize(
    "line",
    [
        ".", "./package", "../package", "package/", "-e .", "--editable=package",
        "tiny-1.0-py3-none-any.whl", "wheels/tiny.whl", "--find-links wheels", "-f wheels",
        "tiny @ file:///tiny.whl", "tiny @ ./tiny.whl", "file:tiny.whl", "--something-new",
    ],
)  # a row a line # fmt: skip
def test_lines_that_may_mean_files_of_the_commit(tmp_path: Path, line: str) -> None:
    assert planned(tmp_path, "requirements.txt", line).local


def test_what_notebooks_need_is_added_for_them(tmp_path: Path) -> None:
    assert planned(tmp_path, "r.txt", "numpy").added == ()
    assert planned(tmp_path, "r.txt", "numpy", notebook=True).added == FOR_NOTEBOOKS
    assert planned(tmp_path, "r.txt", "MLflow_Skinny>2").added == FOR_SKINNY_MLFLOW


@pytest.mark.parametrize(
    ("asked", "installed"),
    [
        ("numpy", "numpy"),
        ("numpy=1.26", "numpy==1.26.*"),
        ("numpy=1.26.*", "numpy==1.26.*"),
        ("numpy==1.26.4", "numpy==1.26.4"),
        ("numpy=1.26.4=py311h_0", "numpy==1.26.4.*"),
        ("numpy==1.26.4=py311h_0", "numpy==1.26.4"),
        ("numpy 1.26.4", "numpy==1.26.4"),
        ("numpy 1.26.* py311h_0", "numpy==1.26.*"),
        ('"numpy>=1.20,<2"', "numpy>=1.20,<2"),
        ('"numpy >=1.20, <2.*"', "numpy>=1.20,<2"),
        ("conda-forge::numpy", "numpy"),
        ("pytorch=2.1", "torch==2.1.*"),
    ],
)
def test_a_conda_package_with_a_plain_version_comes_from_pip(
    tmp_path: Path, asked: str, installed: str
) -> None:
    assert conda(tmp_path, asked).requirements == (installed,)


@pytest.mark.parametrize(
    "asked", ["_libgcc_mutex=0.1", "numpy=1.2|1.3", "numpy[version='>1']", "3"]
)
def test_a_conda_package_that_pip_has_no_word_for_is_left_out_and_named(
    tmp_path: Path, asked: str
) -> None:
    found = conda(tmp_path, asked)
    assert found.requirements == ()
    assert asked.strip("'\"")[:6] in found.warnings[0]


@pytest.mark.parametrize(
    ("asked", "python"),
    [
        ("python=3.12", "==3.12.*"),
        ("python==3.12", "==3.12.*"),
        ("python 3.12.1", "==3.12.1"),
        ('"python>=3.11,<3.13"', ">=3.11,<3.13"),
        ("python", None),
    ],
)
def test_the_python_of_a_conda_file(tmp_path: Path, asked: str, python: str | None) -> None:
    found = conda(tmp_path, asked, "pip")
    assert (found.python, found.requirements) == (python, ())


def test_the_pip_part_and_what_was_ignored_of_a_conda_file(tmp_path: Path) -> None:
    content = (
        "channels: [defaults]\ndependencies:\n- numpy\n- pip:\n  - pandas>=2\n  - -r more.txt\n"
    )
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "more.txt").write_text("scipy")
    found = planned(tmp_path, "env/conda.yml", content)
    assert found.requirements == ("numpy", "pandas>=2", "scipy")
    assert "channels" in found.warnings[0]


def test_the_host_s_python_is_used_when_no_file_is_named(tmp_path: Path) -> None:
    assert plan(Environment(azureml="sklearn:1"), tmp_path, notebook=True) is None


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("conda.yml", "dependencies: ["),
        ("conda.yml", "just text"),
        ("conda.yml", "name: x"),
        ("conda.yml", "dependencies: numpy"),
        ("conda.yml", "[" * 100_000),
        ("requirements.txt", "-r absent.txt"),
        ("requirements.txt", "-r ../outside.txt"),
        ("requirements.txt", "-r /etc/passwd"),
        ("requirements.txt", "numpy\n" * 300_000),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, file: str, content: str) -> None:
    (tmp_path / "outside.txt").write_text("numpy")
    (tmp_path / "root").mkdir()
    with pytest.raises(Unusable, match=r"\.$|YAML"):
        planned(tmp_path / "root", file, content)


@pytest.mark.parametrize("file", ["absent.txt", "folder", "../outside.txt", "latin.txt"])
def test_a_path_that_is_no_file_of_the_repository(tmp_path: Path, file: str) -> None:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (tmp_path / "outside.txt").write_text("numpy")
    (root / "latin.txt").write_bytes(b"# caf\xe9")
    with pytest.raises(Unusable):
        plan(Environment(requirements=file), root, notebook=False)


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffcafé\n".encode(),
        "\ufeffcafé\r\n".encode("utf-16-le"),
        "\ufeffcafé\n".encode("utf-16-be"),
        "\ufeffcafé\n".encode("utf-32-le"),
        "\ufeffcafé\n".encode("utf-32-be"),
        "# -*- coding: latin-1 -*-\ncafé\n".encode("latin-1"),
        "# ours\n# vim: set fileencoding=cp1252 :\ncafé\n".encode("cp1252"),
    ],
)
@pytest.mark.parametrize("included", [False, True])
def test_a_file_is_read_in_the_encoding_that_it_tells(
    tmp_path: Path, content: bytes, included: bool
) -> None:
    (tmp_path / "more.txt").write_bytes(content)
    if included:
        assert planned(tmp_path, "all.txt", "-r more.txt").requirements == ("café",)
    else:
        found = plan(Environment(requirements="more.txt"), tmp_path, notebook=False)
        assert found is not None
        assert found.requirements == ("café",)


@pytest.mark.parametrize(
    "content", [b"# coding: nothing\nnumpy", b"# coding: hex\n00", b"\xff\xfen\0u", b"\n\n\n# \xe9"]
)
def test_a_file_in_no_encoding_that_it_tells_is_refused_with_a_remedy(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "r.txt").write_bytes(content)
    with pytest.raises(Unusable, match="save it as UTF-8"):
        plan(Environment(requirements="r.txt"), tmp_path, notebook=False)


def test_find_links_are_from_their_file_where_they_lead_to_something(tmp_path: Path) -> None:
    """As pip has it; any other path is of the root."""
    (tmp_path / "env" / "wheels").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    text = "--find-links wheels\n-f other\n-f ..\n--find-links=https://a.b/c\n./package\n-e .\n"
    assert planned(tmp_path, "env/r.txt", text).requirements == (
        "--find-links env/wheels", "-f other", "--find-links .", "--find-links=https://a.b/c",
        "./package", "-e .",
    )  # fmt: skip


def test_several_options_in_a_line_are_read_as_pip_reads_them(tmp_path: Path) -> None:
    (tmp_path / "env" / "our wheels").mkdir(parents=True)
    (tmp_path / "env" / "more.txt").write_text("six")
    (tmp_path / "env" / "pins.txt").write_text("six==1")
    text = (
        "--no-index --find-links 'our wheels' --pre\n"
        "-i https://a.b/c --trusted-host a.b\n"
        "-r more.txt -c pins.txt\n"
        "-e ./package --config-settings=a=b\n"
        "--find-links 'not closed\n"
    )
    found = planned(tmp_path, "env/r.txt", text)
    assert found.requirements == (
        "--no-index", "--find-links env/our wheels", "--pre",
        "-i https://a.b/c", "--trusted-host a.b",
        "six",
        "-e ./package --config-settings=a=b",
        "--find-links 'not closed",
    )  # fmt: skip
    assert found.constraints == ("six==1",)


def test_a_conda_file_of_aliases_is_as_small_as_it_looks(tmp_path: Path) -> None:
    aliases = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    aliases += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    text = "\n".join(aliases)
    found = planned(tmp_path, "c.yml", f"{text}\ndependencies: [numpy, *a11, {{odd: *a11}}]\n")
    assert found.requirements == ("numpy",)
    assert found.warnings == (
        "Left out of c.yml because pip cannot install them: "
        "an entry that is a list, an entry that is a mapping.",
    )
    with pytest.raises(Unusable, match="not a list of requirements"):
        planned(tmp_path, "d.yml", f"{text}\ndependencies: [{{pip: *a11}}]\n")


def test_warnings_of_a_conda_file_are_few_and_short(tmp_path: Path) -> None:
    found = conda(tmp_path, *(f"_{n}=1|{'2' * 500}" for n in range(500)))
    assert len(found.warnings) == 1
    assert len(found.warnings[0]) < 1200
    assert "and 490 more" in found.warnings[0]
    with pytest.raises(Unusable, match="more than 5,000"):
        conda(tmp_path, *["numpy"] * 6000)
