"""One-shot evaluation as a benchmark's own code does it: frames, a prompt, one reply, no zoom.

Wraps any policy that answers single observations. What the environment says is replaced by the benchmark's one-shot
prompt or by a template of the user's, with the subtitles of the frames that are shown where the episode has any, and
with the question's picture after the video where the question is about one; the whole reply is the answer.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vz_agents.policy import Observation, Policy, fingerprint, needs_frames, policy_name, reads_key
from vz_env.episode import Episode, SubtitleFile
from vz_env.errors import VideoDecodeError
from vz_env.subtitles import SubtitleTrack, load_subtitles
from vz_env.video.access import resolve_video
from vz_env.video.frames import fit_size
from vz_env.video.opening import open_reader

from .adapters.benchmark import plain_prompt
from .adapters.catalogue import BENCHMARKS
from .prompt_template import PromptTemplate

if TYPE_CHECKING:
    from vz_env.budget import Budget

__all__ = ["OneShot", "question_picture"]

SUBTITLES: Final = "Said at the frames of the video:"
_MAX_PICTURE_BYTES: Final = 32 << 20
_PICTURES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp"})


class OneShot:
    """A policy that answers one-shot prompts.

    Args:
        policy: whose `act` replies; it is shown one observation a question.
        dataset: name of the benchmark whose prompt is used; any other gets question, options and a closing sentence.
        template: a prompt in place of the benchmark's.
        root: folder that the pictures of questions must lie in.
        frames: how many frames are shown.
        max_pixels: of the question's picture, when no frame beside it says the size.
    """

    def __init__(
        self,
        policy: Policy,
        dataset: str,
        *,
        template: PromptTemplate | None = None,
        root: Path | None = None,
        frames: int = 32,
        max_pixels: int = 100_352,
    ) -> None:
        """Keep the policy and the prompt."""
        self.policy, self.root, self.frames, self.max_pixels = policy, root, frames, max_pixels
        self.template = template
        self.prompt: Callable[[Episode], str] = getattr(BENCHMARKS.get(dataset), "prompt", plain_prompt)
        self.name = f"{policy_name(policy)}, {'own' if template else 'one-shot'} prompt"
        self.needs_frames, self.reads_key = needs_frames(policy), reads_key(policy)
        self.fingerprint = (
            f"one-shot-2-{frames}-{dataset}-{template.fingerprint if template else ''}-{fingerprint(policy)}"
        )

    def budget_for(self, budget: Budget) -> Budget:
        """One turn, no zooms, an overview of `frames` frames."""
        own = {"overview_frames": self.frames, "max_turns": 1, "max_zooms": 0, "max_frames": self.frames}
        return dataclasses.replace(budget, **own, min_overview_frames=None)

    def act(self, observations: Sequence[Observation]) -> list[str]:
        """Ask the policy in one shot; what it says is the answer, inside tags where it has put none."""
        replies = self.policy.act([self._asked(observation) for observation in observations])
        return [reply if "<answer>" in reply else f"<answer>{reply}</answer>" for reply in replies]

    def _asked(self, observation: Observation) -> Observation:
        episode = observation.episode
        said = _said(_track(episode.subtitles), observation.timestamps) if episode.subtitles is not None else []
        if self.template is not None:
            text = self.template.fill(episode, said)
        else:
            text = "\n".join([SUBTITLES, *said, self.prompt(episode)] if said else [self.prompt(episode)])
        frames, timestamps = observation.frames, observation.timestamps
        if self.needs_frames:
            for path in episode.question_images:
                size = (frames.shape[2], frames.shape[1]) if len(frames) else None
                picture = question_picture(path, self.root, size=size, max_pixels=self.max_pixels)
                frames = np.concatenate([frames, picture[None]]) if len(frames) else picture[None]
                end = episode.duration_seconds or float(timestamps[-1] if len(timestamps) else 0.0)
                timestamps = np.append(timestamps, end)
        return dataclasses.replace(observation, text=text, frames=frames, timestamps=timestamps)


def _said(track: SubtitleTrack, timestamps: NDArray[np.float64]) -> list[str]:
    """What is said at each frame, without saying one line twice in a row."""
    lines = [track.at(time) for time in timestamps.tolist()]
    return [line for line, before in zip(lines, ["", *lines], strict=False) if line and line != before]


@functools.lru_cache(maxsize=32)
def _track(file: SubtitleFile) -> SubtitleTrack:
    return load_subtitles(file)


def question_picture(
    path: Path, root: Path | None, *, size: tuple[int, int] | None, max_pixels: int
) -> NDArray[np.uint8]:
    """The picture that belongs to a question, from a picture file or the first frame of a video.

    Args:
        path: of the file.
        root: folder it must lie in.
        size: (width, height) to fit into, with black bars, so that it stacks with frames; its own size when None.
        max_pixels: most pixels when no size is given.

    Returns:
        uint8 (height, width, 3).

    Raises:
        VideoError: no such file, outside the root, or not a picture.
    """
    if path.suffix.lower() in _PICTURES:
        picture = _read_picture(path, root)
    else:
        picture = Image.fromarray(np.asarray(open_reader(path, root).frames_at([0.0], max_pixels=max_pixels).frames[0]))
    width, height = size or fit_size(picture.width, picture.height, max_pixels)
    scale = min(width / picture.width, height / picture.height)
    fitted = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    canvas = Image.new("RGB", (width, height))
    canvas.paste(fitted, ((width - fitted.width) // 2, (height - fitted.height) // 2))
    return np.asarray(canvas)


def _read_picture(path: Path, root: Path | None) -> Image.Image:
    identity = resolve_video(path, root)
    if identity.size > _MAX_PICTURE_BYTES:
        raise VideoDecodeError(f"{path}: a picture of {identity.size} bytes, the limit is {_MAX_PICTURE_BYTES}")
    try:
        with Image.open(identity.path) as picture:
            return picture.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as fault:
        raise VideoDecodeError(f"{path}: not a picture that can be read: {fault}") from fault
