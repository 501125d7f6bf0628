// The page of `vz play --web`. The server holds the episode; this draws its state and sends commands.
// Everything that a dataset says is set as text, never as markup.
"use strict";

const $ = (id) => document.getElementById(id);
let state = null;
let selection = null; // [start, end] in seconds
let isBusy = false;

const seconds = (time) => String(Math.round(time * 100) / 100);

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

async function ask(command) {
  if (isBusy) return;
  isBusy = true;
  document.body.setAttribute("aria-busy", "true");
  try {
    const reply = await fetch("api/play", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(command),
    });
    const told = await reply.json();
    if (!reply.ok) say(told.error);
    else {
      state = told;
      say("");
      draw();
    }
  } catch {
    say("The server does not answer. Is vz play still running?");
  } finally {
    isBusy = false;
    document.body.removeAttribute("aria-busy");
  }
}

function say(text) {
  $("message").textContent = text;
  $("message").hidden = !text;
}

function draw() {
  const isOver = state.outcome !== null;
  if (isOver) selection = null;
  $("episode").textContent = `${state.episode_id}, ${seconds(state.duration_seconds)} s`;
  $("question").textContent = state.question;
  $("context").textContent = state.context;
  $("context").hidden = !state.context;
  drawAnswers(isOver);
  drawBudget(isOver);
  drawTimeline();
  drawOutcome();
  drawTurns();
}

function drawAnswers(isOver) {
  const rights = isOver ? state.outcome.right_letters : [];
  $("options").replaceChildren(
    ...state.options.map((option) => {
      const label = `${option.letter}. ${option.text}`;
      const button = make("button", "", label);
      button.type = "button";
      button.disabled = isOver;
      if (rights.includes(option.letter)) button.classList.add("right");
      else if (isOver && state.outcome.answer === option.letter) button.classList.add("wrong");
      button.addEventListener("click", () => ask({ do: "answer", text: option.letter }));
      return button;
    }),
  );
  $("free").hidden = state.options.length > 0 || isOver;
}

function drawBudget(isOver) {
  const { turns, zooms, frames } = state.budget;
  $("budget").textContent = isOver
    ? ""
    : `left: ${turns} turns, ${zooms} zooms of up to ${state.frames_per_zoom} frames, ${frames} frames in all`;
  $("zoom-button").disabled = isOver || zooms === 0;
  const last = state.turns[state.turns.length - 1];
  if (last.kind === "invalid" && !isOver) say(last.text);
}

function bar(className, start, end) {
  const node = make("div", className);
  const scale = 100 / state.duration_seconds;
  node.style.left = `${Math.min(100, start * scale)}%`;
  if (end !== undefined) node.style.width = `${Math.min(100, (end - start) * scale)}%`;
  return node;
}

function drawTimeline() {
  const nodes = [make("div", "time", "0 s"), make("div", "time end", `${seconds(state.duration_seconds)} s`)];
  for (const frame of state.turns[0].frames) nodes.push(bar("tick", frame.time));
  for (const turn of state.turns) if (turn.segment) nodes.push(bar("zoomed", ...turn.segment));
  for (const span of state.outcome ? state.outcome.evidence : []) {
    nodes.push(bar("evidence", span.start_seconds, span.end_seconds));
  }
  if (selection) nodes.push(bar("selection", ...selection));
  $("timeline").replaceChildren(...nodes);
}

function drawOutcome() {
  const outcome = state.outcome;
  $("outcome").hidden = outcome === null;
  if (outcome === null) return;
  const verdicts = new Map([[null, "Not graded."], [1, "Right."], [0, "Wrong."]]);
  $("verdict").textContent = verdicts.get(outcome.score) ?? "Partly right.";
  const seen = outcome.is_evidence_hit === null ? "" : outcome.is_evidence_hit ? " You saw the evidence." : " You did not see the evidence.";
  const answered = outcome.answer === null ? `You gave no answer (${outcome.end_reason}).` : `You answered ${outcome.answer}.`;
  $("details").textContent =
    `${answered} The answer is ${outcome.truth}. Reward ${seconds(outcome.reward)}, ${outcome.frames_used} frames.${seen}`;
}

function message(turn) {
  const details = make("details");
  details.append(make("summary", "", "what a policy reads"), make("pre", "", turn.text));
  return details;
}

function drawTurns() {
  $("turns").replaceChildren(
    ...state.turns
      .filter((turn) => turn.frames.length > 0)
      .map((turn) => {
        const card = make("article", "turn");
        card.append(
          make("h2", "", turn.segment ? `Zoom ${seconds(turn.segment[0])} s to ${seconds(turn.segment[1])} s` : "Overview"),
        );
        const grid = make("div", "frames");
        for (const frame of turn.frames) {
          const figure = make("figure");
          const image = make("img");
          image.src = frame.source;
          image.alt = `frame at ${seconds(frame.time)} s`;
          figure.append(image, make("figcaption", "", `${seconds(frame.time)} s`));
          grid.append(figure);
        }
        card.append(grid, message(turn));
        return card;
      })
      .reverse(),
  );
}

function select(start, end) {
  selection = [Math.min(start, end), Math.max(start, end)];
  $("start").value = seconds(selection[0]);
  $("end").value = seconds(selection[1]);
  drawTimeline();
}

function timeAt(event) {
  const box = $("timeline").getBoundingClientRect();
  return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * state.duration_seconds;
}

let dragFrom = null;
$("timeline").addEventListener("pointerdown", (event) => {
  if (!state || state.outcome) return;
  $("timeline").setPointerCapture(event.pointerId);
  dragFrom = timeAt(event);
  select(dragFrom, dragFrom);
});
$("timeline").addEventListener("pointermove", (event) => {
  if (dragFrom !== null) select(dragFrom, timeAt(event));
});
$("timeline").addEventListener("pointerup", (event) => {
  if (dragFrom === null) return;
  const end = timeAt(event);
  // A click without a drag selects what one zoom shows well around it.
  if (Math.abs(end - dragFrom) < state.duration_seconds / 500) {
    const half = Math.min(5, state.duration_seconds / 20);
    select(Math.max(0, end - half), Math.min(state.duration_seconds, end + half));
  } else select(dragFrom, end);
  dragFrom = null;
});

function fromFields() {
  const [start, end] = [Number($("start").value), Number($("end").value)];
  if ($("start").value && $("end").value && start < end) {
    selection = [start, end];
    drawTimeline();
  }
}
$("start").addEventListener("input", fromFields);
$("end").addEventListener("input", fromFields);

$("zoom").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!$("start").value || !$("end").value) {
    say("Drag over the part of the video to zoom into, or write its times.");
    return;
  }
  const fps = $("fps").value.trim();
  const command = { do: "zoom", start: Number($("start").value), end: Number($("end").value) };
  if (fps) command.fps = Number(fps);
  ask(command);
});

$("free").addEventListener("submit", (event) => {
  event.preventDefault();
  ask({ do: "answer", text: $("free-text").value });
  $("free-text").value = "";
});

$("again").addEventListener("click", () => {
  selection = null;
  for (const id of ["start", "end", "fps"]) $(id).value = "";
  ask({ do: "begin" });
});

fetch("api/state")
  .then((reply) => reply.json())
  .then((told) => {
    state = told;
    draw();
  })
  .catch(() => say("The server does not answer. Is vz play still running?"));
