// The tab of the training: one stream of JSON lines, drawn as it comes.
import { drawChart } from "./chart.js";
import { ask, byId, fill, make, paint, tell } from "./page.js";

const NUMBERS = ["length", "hidden_size", "learning_rate"];

export function startTraining(about) {
  fill(byId("task"), Object.keys(about.tasks), "temporal-order-6a");
  fill(byId("train-cell"), about.cells);
  for (const name of NUMBERS) [byId(name).min, byId(name).max] = about.ranges[name];
  const suggest = () => {
    const task = about.tasks[byId("task").value];
    byId("task-summary").textContent = task.summary;
    byId("train-cell").value = task.cell;
    for (const name of NUMBERS) byId(name).value = task[name] ?? "";
    byId("length").disabled = task.length === null;
  };
  byId("task").addEventListener("change", suggest);
  suggest();
  const progress = new Progress();
  progress.draw();
  addEventListener("resize", () => progress.draw());
  let running = null;
  byId("stop").addEventListener("click", () => running?.abort());
  byId("train-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    running?.abort();
    const mine = (running = new AbortController());
    byId("stop").disabled = false;
    byId("start").disabled = true;
    tell(byId("train-message"), "");
    progress.begin();
    try {
      await train(settings(), mine.signal, (piece) => progress.take(piece));
    } catch (error) {
      if (error.name === "AbortError") progress.end("stopped");
      else {
        progress.end(progress.diverged ? "Diverged" : "");
        tell(byId("train-message"), error.message);
      }
    } finally {
      byId("stop").disabled = true;
      byId("start").disabled = false;
    }
  });
}

function settings() {
  const values = { task: byId("task").value, cell: byId("train-cell").value };
  for (const name of NUMBERS) if (byId(name).value !== "") values[name] = Number(byId(name).value);
  return values;
}

async function train(values, signal, take) {
  const headers = { "Content-Type": "application/json" };
  const body = JSON.stringify(values);
  const answer = await ask("/api/train", { method: "POST", headers, body, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const piece = JSON.parse(line);
      if (piece.error) throw new Error(piece.error);
      take(piece);
    }
  }
}

class Progress {
  constructor() {
    this.reset();
  }

  reset() {
    [this.losses, this.checks, this.first, this.flow, this.words] = [[], [], null, null, ""];
    this.diverged = false;
  }

  begin() {
    this.reset();
    byId("train-status").textContent = "Compiling the loop …";
    byId("gates").replaceChildren();
    this.draw();
  }

  end(words) {
    byId("train-status").textContent = [words, this.words].filter(Boolean).join(" · ");
  }

  take(piece) {
    if (piece.description) return (byId("train-status").textContent = piece.description);
    byId("loss-caption").textContent = `Training loss, and ${piece.unit} of the checks, over the `
      + "sequences seen";
    if (piece.loss !== null) this.losses.push([piece.sequences, piece.loss]);
    this.diverged = Boolean(piece.diverged);
    if (this.diverged) this.losses.push([piece.sequences, null]);
    this.checks.push(...piece.checks);
    if (piece.flow) {
      this.first ??= piece.flow;
      this.flow = piece.flow;
      this.drawGates();
    }
    const right = this.checks.at(-1)?.right;
    this.words = [
      `${piece.sequences.toLocaleString("en")} of at most ${piece.budget.toLocaleString("en")} sequences`,
      piece.loss !== null && `loss ${piece.loss.toPrecision(3)}`,
      right != null && `${(100 * right).toFixed(1)} % right`,
      piece.sequences > 0 && `${Math.round(piece.speed).toLocaleString("en")} sequences/s`,
    ].filter(Boolean).join(" · ");
    const isOver = piece.solved || piece.sequences >= piece.budget;
    this.end(this.diverged ? "Diverged" : piece.solved ? "Solved" : isOver ? "Not solved" : "");
    this.draw();
  }

  draw() {
    const curve = (values) => values.map((value, t) => [t, value]);
    const flows = Object.entries(this.flow?.norms ?? {}).flatMap(([name, norms], i) => [
      { name: `${name} before`, points: curve(this.first.norms[name]), look: `c${i % 4} old` },
      { name: `${name} now`, points: curve(norms), look: `c${i % 4}` },
    ]);
    drawChart(byId("flow-chart"), flows, "step t", `Gradient over the steps. ${this.words}`);
    const checks = this.checks.map((check) => [check.sequences, check.loss]);
    drawChart(byId("loss-chart"), [
      { name: "training", points: this.losses, look: "c0" },
      { name: "checks", points: checks, look: "c1", dots: true },
    ], "sequences", `Loss over the sequences seen. ${this.words}`);
  }

  drawGates() {
    const figures = Object.entries(this.flow.gates).map(([name, lines]) => {
      const canvas = make("canvas");
      paint(canvas, lines, (value) => [42, 125, 225, 255 * (value / 100)]);
      canvas.role = "img";
      canvas.ariaLabel = `Gate ${name} over the steps`;
      const words = `Gate ${name}: a line for each unit, time to the right; blue is open`;
      return make("figure", { className: "card gate" }, make("figcaption", {}, words), canvas);
    });
    byId("gates").replaceChildren(...figures);
  }
}
