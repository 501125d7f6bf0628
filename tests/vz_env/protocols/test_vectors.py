"""Every row of what was seen of the published system, and what each protocol makes of it: zooms, answers, rewards.

The video has 500 frames at 25 fps, 20 s; a zoom shows at most 16 frames; the right answer is B, red.
"""

from __future__ import annotations

from typing import Any

import pytest

from vz_env.env import VideoZoomEnv

RIGHT, WRONG = "<think>t</think><answer>B</answer>", "<think>t</think><answer>A</answer>"


def zoom(body: str) -> str:
    return f"<think>t</think><video_zoom>{body}</video_zoom>"


def numbered(*numbers: int) -> list[float]:
    """Times of frames by their numbers."""
    return [number / 25 for number in numbers]


# Request, what the published tool shows or which error it is, what the strict protocol does.
ZOOMS: list[tuple[str, list[float] | str, list[float] | str]] = [
    ('{"segment":[4,6],"fps":2}', [4.0, 4.64, 5.32, 6.0], [4.0, 4.5, 5.0, 5.5]),
    ('{"segment":[4,6],"fps":0.5}', [4.0], [4.0]),  # one frame is the first
    ('{"segment":[5,5.2],"fps":2}', [], "EMPTY_CLIP"),
    ('{"segment":[4,6],"fps":0}', [], "BAD_RANGE"),
    ('{"segment":[6,4],"fps":2}', "BAD_RANGE", "BAD_RANGE"),
    ('{"segment":[6,4],"fps":-4}', [6.0] * 8, "BAD_RANGE"),
    ('{"segment":[30,38],"fps":2}', [19.96] * 16, "OUT_OF_RANGE"),
    (
        '{"segment":[18,24],"fps":2}',
        numbered(450, 454, 458, 463, 467, 472, 476, 481, 485, 490, 494, 499),
        [18.0, 18.5, 19.0, 19.5],
    ),
    ('{"segment":[-2,2],"fps":2}', numbered(0, 7, 14, 21, 28, 35, 42, 50), [0.0, 0.5, 1.0, 1.5]),
    ('{"segment":[0,0.2],"fps":50}', numbered(0, 0, 1, 1, 2, 2, 3, 3, 4, 5), [k / 50 for k in range(10)]),
    ('{"segment":[NaN,6],"fps":2}', "BAD_RANGE", "BAD_JSON"),
    ('{"segment":[4,Infinity],"fps":2}', "BAD_RANGE", "BAD_JSON"),
    ('{"segment":[4,6],"fps":NaN}', "BAD_RANGE", "BAD_JSON"),
    ('{"segment":[4.3,4.6],"fps":10}', numbered(107, 114), [4.3, 4.4, 4.5]),  # three frames in mathematics
    (
        '{"segment":[9.4,12.6],"fps":5}',  # sixteen in mathematics
        numbered(235, 240, 246, 252, 257, 263, 269, 275, 280, 286, 292, 297, 303, 309, 315),
        [9.4 + k / 5 for k in range(16)],
    ),
    ('{"segment":[0,1],"fps":16.9}', numbered(*(int(k * 25 / 15) for k in range(16))), [k / 16.9 for k in range(16)]),
    ('{"segment":"12","fps":2}', [1.0, 2.0], "BAD_TYPE"),
    ('{"segment":[4,6,9],"fps":2}', [4.0, 4.64, 5.32, 6.0], "BAD_TYPE"),
    ('{"segment":[4,6],"fps":2,"why":"x"}', [4.0, 4.64, 5.32, 6.0], "BAD_TYPE"),
    ('{"segment":[4,6],\n"fps":2}', "BAD_JSON", [4.0, 4.5, 5.0, 5.5]),
    ('{"segment":[0,20],"fps":1}', "OVER_BUDGET", "OVER_BUDGET"),
]


@pytest.fixture
def both(tiny) -> tuple[VideoZoomEnv, VideoZoomEnv]:
    """The published protocol and the strict one, both with the paper's weights."""
    return (
        VideoZoomEnv(tiny, protocol="videozoomer", describe="none", with_frames=False),
        VideoZoomEnv(tiny, reward="videozoomer", describe="none", with_frames=False),
    )


@pytest.mark.parametrize(("body", "published", "strict"), ZOOMS, ids=range(len(ZOOMS)))
def test_zooms(both, body, published, strict):
    for env, expected in zip(both, (published, strict), strict=True):
        env.reset(options={"episode_id": "q0"})
        observation, _, terminated, truncated, info = env.step(zoom(body))
        seen = observation["timestamps"].tolist()

        assert not terminated
        assert not truncated
        assert (info["invalid_code"] or seen) == (expected if isinstance(expected, str) else pytest.approx(expected))
        assert (info["frames_used"] - 10 if env.protocol.name == "videozoomer" else info["frames_used"] - 32) == len(
            seen
        )


def outcome(env: VideoZoomEnv, actions: tuple[str, ...]) -> tuple[float, dict[str, Any]]:
    """The return of an episode, and the last info."""
    env.reset(options={"episode_id": "q0"})
    rewards, info = 0.0, {}
    for action in actions:
        _, reward, _, _, info = env.step(action)
        rewards += reward
    return rewards, info


@pytest.mark.parametrize(
    ("reply", "published", "strict"),
    [
        ("<answer>B</answer>", 1.0, 1.0),
        ("<answer>B.</answer>", 1.0, 1.0),
        ("<answer>B. red</answer>", 1.0, 1.0),
        ("<answer>B. foo</answer>", 1.0, 0.0),
        (r"<answer>\boxed{B}</answer>", 1.0, 1.0),
        ("<answer>(B)</answer>", 0.0, 1.0),
        ("<answer>B) red</answer>", 0.0, 1.0),
        ("<answer>B: red</answer>", 0.0, 1.0),
        ("<answer>b</answer>", 0.0, 1.0),
        ("<answer>red</answer>", 0.0, 1.0),
        ("<answer>A. or B.</answer>", 1.0, 0.0),
        ("<answer>A</answer> no <answer>B</answer>", 1.0, "TWO_ACTIONS"),
        ("<think>It is B.</think>", 1.0, "NO_ACTION"),
        ("Plugged into the USB.", 1.0, "NO_ACTION"),
        ("<answer>B", 1.0, "NO_ACTION"),
        ("<answer></answer>", 0.0, "NO_ACTION"),
    ],
)
def test_grading_of_choices(both, reply, published, strict):
    found = [outcome(env, (reply,))[1] for env in both]

    assert [info["invalid_code"] or info["score"] for info in found] == [published, strict]


GOOD = zoom('{"segment":[4,6],"fps":2}')
FORMATS = [
    ((RIGHT,), 1, 1),
    ((f"\n{RIGHT}\n",), 1, 1),  # a single turn is stripped
    (("<answer>B</answer>",), 0, 1),
    ((f"{RIGHT} so",), 0, 1),
    (("<think>a</think> then <think>b</think> so <answer>B</answer>",), 1, 1),
    ((GOOD, RIGHT), 1, 1),
    ((f"\n{GOOD}\n", RIGHT), 1, 1),
    ((GOOD, f"\n{RIGHT}"), 0, 1),  # the last of several is not
    ((GOOD, f"{RIGHT}\n"), 1, 1),
    (("<video_zoom>" + GOOD.split("<video_zoom>")[1], RIGHT), 0, 1),  # no thought before the zoom
    ((GOOD + "<answer>B</answer>", RIGHT), 1, 0),  # generation ends with the zoom, so the answer is never said
    ((zoom("4 to 6"), RIGHT), 0, 0),
    ((zoom('{"segment":[4,6],\n"fps":2}'), RIGHT), 1, 1),  # which the published tool cannot read
    ((zoom('{"segment":[0,20],"fps":1}'), RIGHT), 0, 0),
    ((zoom('{"segment":[5,5.2],"fps":2}'), RIGHT), 1, 0),  # no frame
    ((zoom('{"segment":[6,4],"fps":2}'), RIGHT), 1, 0),  # turned round
    ((zoom('{"segment":[4,6],"fps":-5}'), RIGHT), 1, 0),
    ((zoom('{"segment":[90,91],"fps":5}'), RIGHT), 1, 0),  # beyond the video
    ((GOOD, GOOD, RIGHT), 1, 0),  # the same again
]


@pytest.mark.parametrize(("actions", "published", "strict"), FORMATS, ids=range(len(FORMATS)))
def test_format(both, actions, published, strict):
    found = [outcome(env, actions)[1]["reward_terms"]["format"] for env in both]

    assert found == pytest.approx([0.1 * published, 0.1 * strict])


@pytest.mark.parametrize(
    ("actions", "published", "strict"),
    [
        ((RIGHT,), 1.0, 1.0),
        ((GOOD, RIGHT), 1.5, 1.5),
        ((zoom('{"segment":[5,5.2],"fps":2}'), RIGHT), 1.5, 0.9),  # a zoom of no frame
        ((zoom("4 to 6"), RIGHT), 1.4, 0.9),  # one that cannot be read
        ((zoom('{"segment":[90,91],"fps":5}'), RIGHT), 1.5, 0.9),  # copies of the last frame
        ((GOOD, GOOD, RIGHT), 1.5, 1.4),  # the number does not matter; the same again is a mistake in one of them
        ((GOOD, WRONG), 0.1, 0.1),
        (("I think A",), 0.0, 0.0),
    ],
)
def test_rewards_with_the_weights_of_the_paper(both, actions, published, strict):
    assert [outcome(env, actions)[0] for env in both] == pytest.approx([published, strict])


@pytest.mark.parametrize(
    ("protocol", "code", "reason"), [("videozoomer", "LAST_TURN", "exceeded"), ("strict", "LAST_TURN", "out_of_turns")]
)
def test_a_zoom_in_round_five(tiny, protocol, code, reason):
    env = VideoZoomEnv(tiny, protocol=protocol, budget={"max_turns": 5, "max_zooms": 4}, with_frames=False)
    env.reset(options={"episode_id": "q0"})
    for start in range(4):
        env.step(zoom(f'{{"segment":[{start},{start + 1}],"fps":2}}'))
    _, _, terminated, truncated, info = env.step(GOOD)

    assert (terminated, truncated, info["invalid_code"], info["end_reason"]) == (False, True, code, reason)
