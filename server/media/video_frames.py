"""Program that draws frames of a video: `python -m server.media.video_frames FILE SIDE FRAMES BYTES PARENT`.

It prints up to FRAMES frames, as `server.media.pdf_pages` prints pages: two per second, or as many at equal distances.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from server.media.pdf_pages import SIZE, side_of, size_within
from server.media.pictures import MAX_PIXELS, MAX_SIDE
from server.retrieval.texts.confined import confine, refuse

if TYPE_CHECKING:
    from PIL import Image

FRAMES_PER_SECOND = 2
SEARCHED = 300
"""Frames that are decoded after a key frame in search of a time."""


def main(path: str, side: int, frames: int, most: int, parent: int) -> int:
    """Returns the exit status. On a failure, the last line of standard error is the reason."""
    confine(parent)
    try:
        import av
    except ImportError:
        return refuse("PyAV is not installed; pip install 'mlx-openai-server-lab[transcription]'")
    av.logging.set_level(av.logging.PANIC)
    try:
        with av.open(path) as container:
            if not container.streams.video:
                return refuse("it has no picture")
            stream = container.streams.video[0]
            width, height = stream.codec_context.width, stream.codec_context.height
            if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS):
                return refuse(f"its frames have {width:,} by {height:,} pixels")
            chosen = side_of([(width, height)] * frames, min(side, max(width, height)), most)
            if chosen is None:
                return refuse("its frames have too many pixels together with the other pictures")
            drawn = 0
            for image in _images(container, stream, frames):
                drawn += 1
                _print(image, chosen)
            return 0 if drawn else refuse("it has no frame that can be decoded")
    except Exception as error:
        return refuse(f"it is damaged, or no video ({type(error).__name__})")


def _images(container: Any, stream: Any, frames: int) -> Iterator[Image.Image]:
    length = _seconds(container, stream)
    count = min(frames, max(1, round(length * FRAMES_PER_SECOND)))
    for number in range(count):
        if (frame := _frame_at(container, stream, (number + 0.5) * length / count)) is not None:
            image: Image.Image = frame.to_image()
            turned = int(getattr(frame, "rotation", 0) or 0)
            yield image.rotate(turned, expand=True) if turned % 360 else image


def _seconds(container: Any, stream: Any) -> float:
    """The length of a video; 0 if it is not known."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return float(container.duration or 0) / 1e6


def _frame_at(container: Any, stream: Any, second: float) -> Any:
    """The first frame at or after a time, or the last one before it."""
    start = stream.start_time or 0
    if second:
        container.seek(start + int(second / stream.time_base), stream=stream)
    found = None
    for number, frame in enumerate(container.decode(stream)):
        found = frame
        reached = frame.pts is None or (frame.pts - start) * stream.time_base >= second
        if reached or number >= SEARCHED:
            break
    return found


def _print(image: Image.Image, side: int) -> None:
    size = size_within(image.size, side)
    drawn = image.convert("RGB").resize(size)
    sys.stdout.buffer.write(SIZE.pack(*size) + drawn.tobytes())


if __name__ == "__main__":
    path, *numbers = sys.argv[1:]
    sys.exit(main(path, *map(int, numbers)))
