from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from av.codec.codec import UnknownCodecError

from vz_env.datasets.needle_config import NeedleConfig
from vz_env.datasets.needle_encode import encode_video
from vz_env.datasets.needle_paint import CanvasBackdrop, Picture, Planes, paint_pictures, to_planes
from vz_env.datasets.needle_questions import needle_script
from vz_env.datasets.needle_script import VideoScript
from vz_env.errors import ConfigError
from vz_env.video.palette import NEUTRALS, PALETTE, VIVID, name_pixels

NAMES = tuple(PALETTE)


def named_shares(frame: np.ndarray) -> dict[str, float]:
    counts = np.bincount(name_pixels(frame).ravel(), minlength=len(NAMES))
    return {NAMES[i]: counts[i] / counts.sum() for i in np.argsort(-counts) if counts[i]}


def decoded(path: Path, script: VideoScript) -> Iterator[tuple[float, dict[str, float]]]:
    """Every frame that shows a card, and every eighth of the others."""
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            assert frame.time == pytest.approx(number / 24)
            if number % 8 == 0 or script.card_at(frame.time) is not None:
                yield frame.time, named_shares(frame.to_ndarray(format="rgb24"))


def test_every_vivid_color_is_named_right_after_coding(tmp_path: Path) -> None:
    config = NeedleConfig(seed=1, overview_frames=12, spacings_seconds=(8,))
    scenes_seen, cards_seen = set(), set()
    for index in range(10):
        script = needle_script(config, "test", index).script
        encode_video(tmp_path / "v.mp4", paint_pictures(script, config, CanvasBackdrop(config)), config)
        for seconds, shares in decoded(tmp_path / "v.mp4", script):
            scene, card = script.scene_at(seconds), script.card_at(seconds)
            scenes_seen.add(scene.color)
            if card is None:
                assert next(iter(shares)) == scene.color
                assert shares[scene.color] == pytest.approx(scene.fill, abs=0.15)
                assert max((shares.get(c, 0.0) for c in VIVID if c != scene.color), default=0.0) < 0.02
            else:
                cards_seen.add(card.color)
                assert shares[card.color] == pytest.approx(card.area, abs=0.03)
                assert shares[scene.color] > 0.3
                assert set(list(shares)[:2]) == {scene.color, card.color}
            assert all(
                c in NEUTRALS for c, s in shares.items() if s > 0.04 and c not in {scene.color, card and card.color}
            )
    assert scenes_seen == cards_seen == set(VIVID)


def test_same_pictures_give_the_same_bytes(tmp_path: Path) -> None:
    config = NeedleConfig(overview_frames=6, spacings_seconds=(8,))
    script = needle_script(config, "train", 0).script
    for name in ("a.mp4", "b.mp4"):
        assert (
            encode_video(tmp_path / name, paint_pictures(script, config, CanvasBackdrop(config)), config) == 6 * 8 * 24
        )
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_interrupted_video_leaves_no_file(tmp_path: Path) -> None:
    def stop() -> Iterator[Picture]:
        yield Picture(0, 3, to_planes(np.zeros((96, 160, 3), np.uint8)))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_video(tmp_path / "a.mp4", stop(), NeedleConfig())
    assert list(tmp_path.iterdir()) == []


def test_rows_that_the_encoder_pads_stay_straight(tmp_path: Path) -> None:
    config = NeedleConfig(width=98, height=66)
    ramp = np.repeat(np.arange(66, dtype=np.uint8)[:, None] * 3 + 20, 98, axis=1)
    grey = np.full((33, 49), 128, np.uint8)
    encode_video(tmp_path / "a.mp4", [Picture(0, 24, Planes(ramp, grey, grey))], config)
    with av.open(str(tmp_path / "a.mp4")) as container:
        luma = next(container.decode(video=0)).to_ndarray(format="gray").astype(int)
    assert np.abs(luma - luma[:, :1]).max() <= 8


def test_missing_encoder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise UnknownCodecError("libx264")

    monkeypatch.setattr("av.container.OutputContainer.add_stream", refuse, raising=True)
    with pytest.raises(ConfigError, match="want PyAV with the libx264 encoder"):
        encode_video(tmp_path / "a.mp4", [], NeedleConfig())
    assert list(tmp_path.iterdir()) == []
