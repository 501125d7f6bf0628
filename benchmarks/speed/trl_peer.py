"""The other side of `vs_trl`: steps of TRL's `GRPOTrainer` over our environment. Runs in TRL's own environment.

TRL draws replies with `generate()`; they have a fixed length and then stand for scripted actions, as on our side. Every
line on stdin asks for a step, and a JSON line on stdout says what it cost.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from tempfile import TemporaryDirectory
from typing import Any, Final

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

from vz_benchmarks.speed.group_task import GroupTask, StepCost
from vz_benchmarks.speed.scripted import scripted_reply
from vz_env.datasets.dataset import Dataset
from vz_env.datasets.needle import load_needle

# The model's own template, told apart by role: TRL wants to see calls of tools, their results, and what was generated.
_TEMPLATE: Final = """{%- for message in messages %}
{%- if message.role == 'assistant' %}
{{- '<|im_start|>assistant\\n' }}{% generation %}{{ message.content or '' }}
{%- for call in message.tool_calls or [] %}{% set given = call.function.arguments %}
{{- '<' + call.function.name + '>' + (given.request or given | tojson) + '</' + call.function.name + '>' }}
{%- endfor %}{{ '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}
{%- else %}
{{- '<|im_start|>' + ('user' if message.role == 'tool' else message.role) }}
{{- '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

_CALL: Final = {"type": "function", "function": {"name": "video_zoom", "arguments": {"request": "{content}"}}}
_RESPONSE: Final = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "tool_calls": {
            "open": "<video_zoom>",
            "close_pattern": r"</video_zoom>\s*",
            "repeats": True,
            "content": "text",
            "transform": _CALL,
        },
        "content": {"close_pattern": r"<\|im_end\|>\s*", "content": "text"},
    },
}


class Steps(TrainerCallback):
    """Waits before every step until it is asked for, and says afterwards what it cost."""

    def __init__(self, device: str) -> None:
        """Begin with nothing measured, on this device."""
        self.device = device
        self.tokens: list[int] = []
        self.sampled: list[int] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """A step begins with its episodes."""
        if not sys.stdin.readline():
            raise SystemExit
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """It ends with the optimiser's."""
        if self.device != "cpu":
            torch.cuda.synchronize()
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        sys.stdout.write(json.dumps(asdict(StepCost(wall, cpu, self.tokens, self.sampled))) + "\n")
        sys.stdout.flush()


def zooming(task: GroupTask, dataset: Dataset) -> type:
    """TRL's view of the environment: a class whose public methods are its tools."""

    class Zooming:
        def __init__(self) -> None:
            self._env = task.make_env(dataset)

        def reset(self, **row: Any) -> str:
            """Begin the row's episode."""
            return str(self._env.reset(seed=0, options={"episode_id": row["id"]})[0]["text"])

        def video_zoom(self, request: str) -> str:
            """Look at a segment of the video.

            Args:
                request: the segment and its rate, as JSON.
            """
            return self._play(f"<video_zoom>{request}</video_zoom>")

        def _play(self, action: str) -> str:
            return str(self._env.step(action)[0]["text"])

    return Zooming


def rewards(task: GroupTask, environments: list[Any]) -> list[float]:
    """Answer in every environment, and pay as scripted."""
    for env in environments:
        env._play(task.actions[-1])
    return [task.reward(number) for number in range(len(environments))]


def script(trainer: Any, steps: Steps, task: GroupTask) -> None:
    """Let the trainer draw replies of a fixed length, and go on with scripted ones of that length.

    TRL has no way of telling it what was sampled, so this replaces the method that draws the replies of one turn.
    """
    tokenizer, draw = trainer.processing_class, trainer._generate_single_turn
    filler, end = tokenizer("a", add_special_tokens=False).input_ids[0], tokenizer.eos_token_id
    replies = [
        scripted_reply(
            tokenizer(action, add_special_tokens=False).input_ids, filler=filler, end=end, length=task.reply_tokens
        )
        for action in task.actions
    ]
    trainer.generation_config.max_new_tokens = trainer.generation_config.min_new_tokens = task.reply_tokens
    turn = 0

    def scripted(prompts: Any, *given: Any, **options: Any) -> tuple[list[list[int]], None]:
        nonlocal turn
        draw(prompts, *given, **options)
        reply = replies[turn % len(replies)]
        steps.tokens = [len(prompt) + len(reply) for prompt in prompts]
        steps.sampled = [task.reply_tokens * (turn % len(replies) + 1) for _ in prompts]
        turn += 1
        return [list(reply) for _ in prompts], None

    trainer._generate_single_turn = scripted


def main(task: GroupTask, scratch: str) -> None:
    """Train for as many steps as are asked for."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"  # of `environment_factory`
    from datasets import Dataset as Rows
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(task.threads)
    dataset = load_needle(split="test", root=task.videos)
    tokenizer = AutoTokenizer.from_pretrained(task.model, chat_template=_TEMPLATE)
    tokenizer.response_template = _RESPONSE
    settings = GRPOConfig(
        output_dir=scratch,
        per_device_train_batch_size=task.episodes,
        num_generations=task.episodes,
        max_steps=task.steps,
        max_completion_length=4096,  # of all turns, the environment's words included
        max_tool_calling_iterations=task.zooms,
        learning_rate=task.lr,
        lr_scheduler_type="constant",
        adam_beta1=task.beta1,
        adam_beta2=task.beta2,
        weight_decay=task.weight_decay,
        epsilon=task.clip_low,
        epsilon_high=task.clip_high,
        delta=task.dual_clip,
        beta=task.kl_coef,
        temperature=task.temperature,
        use_cpu=task.device == "cpu",
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    steps = Steps(task.device)
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(task.model),
        reward_funcs=[lambda environments, **_: rewards(task, environments)],
        args=settings,
        train_dataset=Rows.from_list(
            [{"prompt": [{"role": "user", "content": ""}], "id": dataset.ids[0]}] * task.episodes
        ),
        processing_class=tokenizer,
        environment_factory=zooming(task, dataset),
        callbacks=[steps],
    )
    script(trainer, steps, task)
    trainer.train()


if __name__ == "__main__":
    with TemporaryDirectory(prefix="vs-trl-") as folder:
        main(GroupTask(**json.loads(sys.argv[1])), folder)
