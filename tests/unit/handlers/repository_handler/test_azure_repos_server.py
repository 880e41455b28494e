"""The stand-in of Azure Repos refuses what the service refuses."""

from __future__ import annotations

import base64
import gzip
import io
import json
import subprocess
import zipfile
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.contract.handlers.repository_handler.origins import TREE, Origin, demo
from tests.servers.azure_repos import AzureReposServer, Tokens, azure_repos_server
from tests.servers.git_http import NEUTRAL

GIT, REST = "/contoso/flowers/_git/demo", "/contoso/flowers/_apis/git/repositories/demo"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    return demo(tmp_path_factory.mktemp("origins") / "demo.git")


@pytest.fixture
def service(origin: Origin) -> Iterator[AzureReposServer]:
    with azure_repos_server(origin.path.parent) as running:
        yield running


def ask(
    service: AzureReposServer, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    connection = HTTPConnection(urlsplit(service.url).netloc, timeout=30)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET" if body is None else "POST", path, body, named)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


def rest(service: AzureReposServer, below: str, /, **query: str) -> Any:
    status, body, _ = ask(service, f"{REST}{below}?{urlencode({**query, 'api-version': '7.1'})}")
    return json.loads(body) | {"status": status}


def packet(line: bytes) -> bytes:
    return b"%04x%s" % (len(line) + 4, line)


def wanting(sha: str, capabilities: str) -> bytes:
    return packet(f"want {sha}{capabilities}\n".encode()) + b"0000" + packet(b"done\n")


def test_protocol_2_is_not_spoken(service: AzureReposServer) -> None:
    status, body, _ = ask(
        service, f"{GIT}/info/refs?service=git-upload-pack", Git_Protocol="version=2"
    )
    assert status == 200
    assert b"version 2" not in body
    assert b"refs/heads/main" in body
    assert b"\0multi_ack " in body
    command = packet(b"command=ls-refs\n") + b"0001" + b"0000"
    status, body, _ = ask(service, f"{GIT}/git-upload-pack", command)
    assert status == 400
    assert body.startswith(b"TF401041: The Git protocol sent is not as expected")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        (" side-band-64k ofs-delta agent=git/2.39.5", 400),
        (" side-band-64k", 400),
        (" agent=git/2.39.5", 400),
        ("", 400),  # 200 in the service, which no client makes use of
        (" multi_ack side-band-64k ofs-delta agent=git/2.39.5", 200),
        (" multi_ack_detailed side-band-64k ofs-delta", 200),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_client_must_support_multi_ack(
    service: AzureReposServer, origin: Origin, capabilities: str, expected: int, packed: bool
) -> None:
    body = wanting(origin.commits["main"], capabilities)
    kind = "application/x-git-upload-pack-request"
    if packed:
        headers = {"Content_Type": kind, "Content_Encoding": "gzip"}
        status, said, _ = ask(service, f"{GIT}/git-upload-pack", gzip.compress(body), **headers)
    else:
        status, said, _ = ask(service, f"{GIT}/git-upload-pack", body, Content_Type=kind)
    assert status == expected
    assert (b"Clients must support multi-ack" in said) == (expected == 400)
    assert (b"PACK" in said) == (expected == 200)


@pytest.mark.parametrize(("name", "there"), [("second", True), ("dangling", False)])
def test_a_commit_is_had_by_its_sha_at_any_depth_when_a_ref_leads_to_it(
    service: AzureReposServer, origin: Origin, tmp_path: Path, name: str, there: bool
) -> None:
    """As the agent asks for it."""
    url, sha = f"{service.url}{GIT}", origin.commits[name]
    subprocess.run(["git", "init", "-q", tmp_path], check=True, env=NEUTRAL)
    fetched = subprocess.run(
        ["git", "fetch", "-q", "--force", "--no-tags", url, "--depth=1", f"+{sha}"],
        cwd=tmp_path,
        env=NEUTRAL,
        capture_output=True,
        check=False,
    )
    assert (fetched.returncode == 0) is there
    assert (b"TF401035" in fetched.stderr) is not there
    assert service.rejected == []


def test_who_is_let_in_and_who_is_not(service: AzureReposServer) -> None:
    service.tokens = Tokens(
        basic={"job": {"other"}, "pat": None}, bearer={"host": None}, strangers={"stranger"}
    )

    def status(scheme: str, token: str, path: str) -> tuple[int, str]:
        value = base64.b64encode(f":{token}".encode()).decode() if scheme == "Basic" else token
        code, body, _ = ask(service, path, Authorization=f"{scheme} {value}")
        return code, body.decode()[:400]

    for path in (f"{GIT}/info/refs?service=git-upload-pack", f"{REST}?api-version=7.1"):
        assert status("Basic", "pat", path)[0] == 200
        assert status("Bearer", "host", path)[0] == 200
        code, said = status("Basic", "job", path)
        assert (code, "TF401019" in said) == (404, True)
        code, said = status("Bearer", "stranger", path)
        assert (code, "TF401444" in said) == (401, True)
        assert status("Basic", "host", path)[0] == 401
        assert ask(service, path)[0] == 401
        service.refusal = 203
        assert "Sign In" in status("Basic", "expired", path)[1]
        service.refusal = 302
        assert status("Basic", "expired", path)[0] == 302
        service.refusal = 401
    missing = status("Basic", "pat", GIT.replace("demo", "nowhere") + "/info/refs")
    assert missing[0] == 404
    assert "TF401019" in missing[1]


def test_refs_are_found_by_how_they_begin_a_page_at_a_time(
    service: AzureReposServer, origin: Origin
) -> None:
    found = rest(service, "/refs", filter="heads/ma")
    assert [ref["name"] for ref in found["value"]] == ["refs/heads/main"]
    (tag,) = rest(service, "/refs", filter="tags/v1", peelTags="true")["value"]
    assert tag["peeledObjectId"] == origin.commits["second"]
    assert tag["objectId"] != tag["peeledObjectId"]
    assert rest(service, f"/annotatedtags/{tag['objectId']}")["taggedObject"]["objectId"]
    query = urlencode({"$top": "2", "filter": "heads/", "api-version": "7.1"})
    _, body, headers = ask(service, f"{REST}/refs?{query}")
    assert len(json.loads(body)["value"]) == 2
    more = headers["x-ms-continuationtoken"]
    rest_of_it = rest(service, "/refs", filter="heads/", continuationToken=more)
    assert [ref["name"] for ref in rest_of_it["value"]] == ["refs/heads/main"]


def test_a_tree_lists_modes_and_a_zip_has_them_only_for_unix(
    service: AzureReposServer, origin: Origin
) -> None:
    commit = rest(service, f"/commits/{origin.commits['main']}")
    entries = rest(service, f"/trees/{commit['treeId']}", recursive="true")["treeEntries"]
    modes = {entry["relativePath"]: entry["mode"] for entry in entries}
    assert modes["run.sh"] == "100755"
    assert modes["project"] == "40000"
    assert modes["project/common"] == "120000"
    query = {
        "scopePath": "/",
        "recursionLevel": "full",
        "versionDescriptor.version": origin.commits["main"],
        "versionDescriptor.versionType": "commit",
        "$format": "zip",
        "api-version": "7.1",
    }
    for unix, names in (("false", set(TREE) - {"project/common"}), ("true", set(TREE))):
        _, body, _ = ask(service, f"{REST}/items?{urlencode(query | {'zipForUnix': unix})}")
        archive = zipfile.ZipFile(io.BytesIO(body))
        assert set(archive.namelist()) == names
        executable = archive.getinfo("run.sh").external_attr >> 16 & 0o100
        assert bool(executable) is (unix == "true")


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/commits/" + "0" * 40, {}, "TF401035"),
        ("/trees/" + "0" * 40, {}, "TF401035"),
        ("/commits/main", {}, "not valid"),
        ("/items", {"path": "/", "recursionLevel": "full"}, "Cannot specify"),
        ("/items", {"versionDescriptor.versionType": "branch"}, "not valid"),
    ],
)
def test_what_is_not_there_or_not_understood_is_told(
    service: AzureReposServer, path: str, query: dict[str, str], expected: str
) -> None:
    answer = rest(service, path, **query)
    assert answer["status"] in (400, 404)
    assert expected in answer["message"]


def test_an_unversioned_request_is_refused(service: AzureReposServer) -> None:
    assert ask(service, f"{REST}/refs")[0] == 400
