from __future__ import annotations

import threading
import time

import pytest

from vz_agents.policy import as_policy
from vz_agents.rollout import EpisodeRun, collect_rollouts, episode_seed, run_episode
from vz_agents.trajectory import TokenRecord
from vz_env.errors import ConfigError, UnknownEpisode

ANSWER = "<answer>B</answer>"


def zoom_once(observation):
    return "zoom" if observation.turn == 0 else ANSWER


def test_run_episode_records_turns_and_outcome(scripted_env):
    trajectory = run_episode(scripted_env("a"), as_policy(zoom_once), "a", 5)
    assert (
        trajectory.episode_id,
        trajectory.dataset,
        trajectory.split,
        trajectory.policy,
        trajectory.seed,
    ) == ("a", "Scripted", "test", "zoom_once", 5)
    assert [turn.action for turn in trajectory.turns] == ["zoom", ANSWER]
    assert trajectory.turns[0].timestamps == [0.0, 10.0]
    assert trajectory.turns[1].observation == "Zoom 1"
    assert trajectory.turns[0].info == {"action": "zoom", "frames_new": 2}
    assert (trajectory.status, trajectory.score, trajectory.reward) == ("answered", 1.0, 1.0)
    assert trajectory.metrics == {"frames_used": 4.0, "zooms": 1.0, "evidence_hit": 0.0, "reward_accuracy": 1.0}


def test_run_episode_out_of_turns_is_out_of_budget(scripted_env):
    trajectory = run_episode(scripted_env("a"), as_policy(lambda _: "zoom"), "a", 0)
    assert (trajectory.status, trajectory.score, len(trajectory.turns)) == ("out_of_budget", 0.0, 3)


def test_history_holds_the_earlier_turns(scripted_env):
    seen = []

    def watch(observation):
        seen.append([past.action for past in observation.history])
        return f"zoom {observation.turn}"

    run_episode(scripted_env("a"), as_policy(watch), "a", 0)
    assert seen == [[], ["zoom 0"], ["zoom 0", "zoom 1"]]


def test_a_broken_video_is_a_typed_error_and_the_others_go_on(scripted_env):
    ids = ["a", "broken", "c"]
    played = collect_rollouts(lambda: scripted_env(*ids), as_policy(zoom_once), ids, seed=0)
    assert [trajectory.status for trajectory in played] == ["answered", "error:VideoDecodeError", "answered"]
    assert None is played[1].score
    assert played[1].error == "broken.mp4 is empty"


def test_a_video_that_breaks_in_the_middle_is_a_typed_error(scripted_env):
    trajectory = run_episode(scripted_env("a"), as_policy(lambda _: "tear"), "a", 0)
    assert (trajectory.status, trajectory.score, len(trajectory.turns)) == ("error:VideoDecodeError", None, 1)


def test_a_policy_that_raises_spoils_only_its_own_episode(scripted_env):
    class Moody:
        batch_size = 3

        def act(self, observations):
            if any(observation.episode.id == "b" for observation in observations):
                raise ZeroDivisionError("b again")
            return [ANSWER for _ in observations]

    ids = ["a", "b", "c"]
    played = collect_rollouts(lambda: scripted_env(*ids), Moody(), ids, seed=0)
    assert [trajectory.status for trajectory in played] == ["answered", "error:ZeroDivisionError", "answered"]
    assert played[1].error == "the policy failed: b again"


@pytest.mark.parametrize("result", [[None], [], ["a", "b"], [b"bytes"]])
def test_a_policy_that_returns_no_string_is_a_typed_error(scripted_env, result):
    class Wrong:
        def act(self, observations):
            return result

    trajectory = run_episode(scripted_env("a"), Wrong(), "a", 0)
    assert trajectory.status == "error:TypeError"
    assert "wanted act() to return 1 strings" in trajectory.error


def test_a_callers_mistake_is_raised(scripted_env):
    with pytest.raises(UnknownEpisode, match="no episode 'zzz'"):
        collect_rollouts(lambda: scripted_env("a"), as_policy(zoom_once), ["zzz"], seed=0)

    def refuse():
        raise ConfigError("no such describer")

    with pytest.raises(ConfigError, match="describer"):
        collect_rollouts(refuse, as_policy(zoom_once), ["a"], seed=0)


@pytest.mark.parametrize("workers", [1, 3])
def test_collect_keeps_the_order_and_closes_every_env(scripted_env, workers):
    ids = [f"e{number}" for number in range(10)]
    envs, seen = [], []

    def make_env():
        envs.append(scripted_env(*ids))
        return envs[-1]

    played = collect_rollouts(
        make_env,
        as_policy(zoom_once),
        ids,
        seed=0,
        workers=workers,
        on_trajectory=lambda one: seen.append(one.episode_id),
    )
    assert ids == [trajectory.episode_id for trajectory in played]
    assert set(ids) == set(seen)
    assert workers == len(envs)
    assert all(env.is_closed for env in envs)


def test_the_policy_is_called_from_one_thread_with_batches(scripted_env):
    sizes, threads = [], set()

    class Batched:
        batch_size = 4

        def act(self, observations):
            sizes.append(len(observations))
            threads.add(threading.get_ident())
            return [ANSWER for _ in observations]

    ids = [f"e{number}" for number in range(10)]
    collect_rollouts(lambda: scripted_env(*ids), Batched(), ids, seed=0, workers=2)
    assert sizes == [4, 4, 2]
    assert {threading.get_ident()} == threads


def test_seeds_do_not_depend_on_what_else_is_played(scripted_env):
    def seeds(ids):
        played = collect_rollouts(lambda: scripted_env("a", "b"), as_policy(zoom_once), ids, seed=3)
        return [trajectory.seed for trajectory in played]

    assert seeds(["b"]) == seeds(["a", "b"])[1:]
    first, again = seeds(["a", "a"])
    assert first != again
    assert 0 <= episode_seed(3, "a") < 2**31


def test_a_deadline_ends_a_slow_episode(scripted_env):
    def dawdle(observation):
        time.sleep(0.05)
        return "zoom"

    played = collect_rollouts(lambda: scripted_env("a"), as_policy(dawdle), ["a"], seed=0, deadline_seconds=0.01)
    assert played[0].status == "error:TimeoutError"


def test_should_stop_returns_what_has_ended(scripted_env):
    ids = [f"e{number}" for number in range(6)]
    ended = []
    played = collect_rollouts(
        lambda: scripted_env(*ids),
        as_policy(zoom_once),
        ids,
        seed=0,
        on_trajectory=ended.append,
        should_stop=lambda: len(ended) == 2,
    )
    assert ids[:2] == [trajectory.episode_id for trajectory in played]


def test_no_episodes_is_no_trajectories(scripted_env):
    assert collect_rollouts(lambda: scripted_env("a"), as_policy(zoom_once), [], seed=0) == []


def test_run_episodes_gets_groups_of_equal_length(scripted_env):
    groups = []

    class Whole:
        name, batch_size = "Whole", 2

        def act(self, observations):
            raise AssertionError("plays whole episodes")

        def run_episodes(self, envs, episode_ids, seeds):
            groups.append((len(envs), list(episode_ids), len(seeds)))
            return [self.play(*one) for one in zip(envs, episode_ids, seeds, strict=True)]

        def play(self, env, episode_id, seed):
            run = EpisodeRun(env, policy=self.name, episode_id=episode_id, seed=seed)
            run.reset()
            while not run.is_over:
                run.step(zoom_once(run.observation))
            return run.finish(tokens=TokenRecord([1], [1], [-0.5], [0]))

    ids = ["a", "b", "broken"]
    played = collect_rollouts(lambda: scripted_env(*ids), Whole(), ids, seed=0)
    assert groups == [(2, ["a", "b"], 2), (1, ["broken"], 1)]
    assert [trajectory.status for trajectory in played] == ["answered", "answered", "error:VideoDecodeError"]
    assert played[0].tokens.ids == [1]


def test_a_run_refuses_steps_outside_the_episode(scripted_env):
    run = EpisodeRun(scripted_env("a"), policy="p", episode_id="a", seed=0)
    with pytest.raises(RuntimeError, match="under way"):
        run.step("zoom")
