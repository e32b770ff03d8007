"""Hugging Face ids without a network: a cache in huggingface_hub's layout, and a local hub that also fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from providers.weights import WeightsError, list_local, resolve

COMMIT = "0123456789abcdef0123456789abcdef01234567"
COMMIT_OF_V2 = "b" * 40
FILES = {"config.json": b'{"model_type": "llama"}', "tokenizer.json": b"{}", "model.safetensors": b"w" * 5000}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "hub"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


class Hub(ThreadingHTTPServer):
    """A hub of one repository, `org/good`; `org/gated` is gated, `org/broken` answers 500, others do not exist."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if "/org/gated" in self.path:
            self._answer(403, {"error": "gated"}, {"X-Error-Code": "GatedRepo"})
        elif "/org/broken" in self.path:
            self._answer(500, {"error": "on fire"}, {})
        elif self.path.startswith("/api/models/org/good/tree/"):
            files = {**FILES, "pytorch_model.bin": b"unwanted"}
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": f"{len(content):040x}"}
                for name, content in files.items()
            ]
            self._answer(200, tree, {})
        elif self.path.startswith("/api/models/org/good/revision/gone"):
            self._answer(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
        elif self.path.startswith("/api/models/org/good/revision/v2"):
            self._answer(200, {"id": "org/good", "sha": COMMIT_OF_V2, "siblings": []}, {})
        elif self.path.startswith("/api/models/org/good"):
            self._answer(200, {"id": "org/good", "sha": COMMIT, "siblings": []}, {})
        elif self.path.startswith("/org/good/resolve/"):
            content = FILES[self.path.rsplit("/", 1)[1]]
            commit = COMMIT_OF_V2 if COMMIT_OF_V2 in self.path else COMMIT
            self._send(200, content, {"ETag": f'"{len(content):040x}"', "X-Repo-Commit": commit})
        else:
            self._answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})

    def _answer(self, status: int, body: object, headers: dict[str, str]) -> None:
        self._send(status, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Generator[Hub]:
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        use_endpoint(monkeypatch, server.url)
        yield server
        server.shutdown()
        thread.join()


def use_endpoint(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Set the hub's URL as HF_ENDPOINT does at import."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    from huggingface_hub import hf_api

    monkeypatch.setattr(hf_api.api, "endpoint", url)


def lay_out(cache: Path, repo_id: str, files: dict[str, bytes]) -> Path:
    """Write a snapshot in huggingface_hub's layout: blobs, and links to them in the folder of `main`'s commit."""
    repo = cache / f"models--{repo_id.replace('/', '--')}"
    snapshot = repo / "snapshots" / COMMIT
    for folder in (repo / "blobs", repo / "refs", snapshot):
        folder.mkdir(parents=True)
    (repo / "refs" / "main").write_text(COMMIT)
    for number, (name, content) in enumerate(files.items()):
        (repo / "blobs" / str(number)).write_bytes(content)
        (snapshot / name).parent.mkdir(exist_ok=True)
        (snapshot / name).symlink_to(repo / "blobs" / str(number))
    return snapshot


def test_a_repository_is_downloaded_with_progress_and_without_other_formats(cache: Path, hub: Hub) -> None:
    told: list[tuple[str, float | None]] = []

    folder = resolve("org/good", lambda stage, fraction: told.append((stage, fraction)))

    assert {file.name for file in folder.iterdir()} == set(FILES)
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert told[0] == ("Looking up org/good", None)
    assert told[-1][0].startswith("Downloading org/good")
    assert told[-1][1] == 1.0


def test_a_revision_is_downloaded_beside_the_others(cache: Path, hub: Hub) -> None:
    newest, tagged = resolve("org/good"), resolve("org/good@v2")

    assert (newest.name, tagged.name) == (COMMIT, COMMIT_OF_V2)
    assert {file.name for file in tagged.iterdir()} == set(FILES)


def test_a_revision_that_does_not_exist_is_named(cache: Path, hub: Hub) -> None:
    with pytest.raises(WeightsError, match=r"org/good has no revision `gone` at http"):
        resolve("org/good@gone")


def test_a_folder_with_the_name_of_a_revision_comes_first(
    cache: Path, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    local = tmp_path / "org" / "good@v2"
    local.mkdir(parents=True)
    (local / "config.json").write_text("{}")

    assert resolve("org/good@v2") == local


def test_a_cached_repository_needs_no_network(cache: Path, offline: None) -> None:
    snapshot = lay_out(cache, "org/name", FILES)

    assert resolve("org/name") == snapshot


def test_offline_without_a_cache_the_message_shows_the_places_and_the_next_step(cache: Path, offline: None) -> None:
    with pytest.raises(WeightsError) as raised:
        resolve("org/name")
    message = str(raised.value)
    assert "org/name" in message
    assert str(cache) in message
    assert "Unset HF_HUB_OFFLINE" in message


def test_a_hub_that_cannot_be_reached_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_endpoint(monkeypatch, "http://127.0.0.1:9")

    with pytest.raises(WeightsError, match=r"Looked for org/name in .*http://127\.0\.0\.1:9, which cannot be reached"):
        resolve("org/name")


@pytest.mark.parametrize(
    ("repo_id", "says"),
    [
        ("org/gated", r"org/gated is gated\. Accept its terms .* HF_TOKEN"),
        ("org/nothing", r"org/nothing does not exist .* or is private"),
        ("org/broken", r"Looked for org/broken .*500"),
        ("org/two--dashes", "not a valid Hugging Face id"),
    ],
)
def test_a_refusal_of_the_hub_is_explained(cache: Path, hub: Hub, repo_id: str, says: str) -> None:
    with pytest.raises(WeightsError, match=says):
        resolve(repo_id)


def test_an_interrupted_download_is_not_served(cache: Path, offline: None) -> None:
    index = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}).encode()
    lay_out(cache, "org/half", {**FILES, "model.safetensors.index.json": index, "model-1.safetensors": b"w"})

    with pytest.raises(WeightsError, match=r"not a complete MLX model: model-2\.safetensors missing"):
        resolve("org/half")


PARTS = {
    "vae/0.safetensors": b"w",
    "vae/model.safetensors.index.json": b'{"weight_map": {"a": "0.safetensors"}}',
    "transformer/0.safetensors": b"w",
    "transformer/model.safetensors.index.json": b'{"weight_map": {"a": "0.safetensors", "b": "1.safetensors"}}',
}


def test_an_image_model_is_complete_with_all_files_of_its_parts(cache: Path, offline: None) -> None:
    lay_out(cache, "org/half", PARTS)
    complete = lay_out(cache, "org/whole", {**PARTS, "transformer/1.safetensors": b"w"})

    with pytest.raises(WeightsError, match=r"not a complete MLX model: transformer/1\.safetensors missing"):
        resolve("org/half")
    assert resolve("org/whole") == complete
    assert resolve(str(complete)) == complete.resolve()


def test_files_are_chosen_by_patterns(cache: Path, hub: Hub) -> None:
    folder = resolve("org/good", patterns=["config.json", "*.safetensors"])

    assert {file.name for file in folder.iterdir()} == {"config.json", "model.safetensors"}


def test_the_list_shows_the_cache(cache: Path, offline: None) -> None:
    snapshot = lay_out(cache, "org/name", FILES)
    lay_out(cache, "org/half", {"config.json": b"{}"})

    found = {model.id: model for model in list_local() if model.source == "hub"}

    assert found["org/name"].pulled
    assert found["org/name"].path == snapshot
    assert found["org/name"].size == sum(map(len, FILES.values()))
    assert not found["org/half"].pulled


def test_the_list_without_a_cache_has_only_embedded_models(cache: Path) -> None:
    assert {model.source for model in list_local()} == {"embedded"}
