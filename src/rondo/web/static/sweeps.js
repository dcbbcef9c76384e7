// The four sweeps of a layer as an animation over the photo, in the order in which they visit blocks.
import { byId, choice, heatColour, make, paint } from "./page.js";

const ARROWS = { down: "↓", up: "↑", right: "→", left: "←" };
const MOMENT_MS = 260;
const isRow = (direction) => direction === "down" || direction === "up";
const isBackward = (direction) => direction === "up" || direction === "left";

export class Sweeps {
  constructor() {
    this.timer = null;
    this.choose = choice(byId("layer"), (value) => this.turnTo(Number(value)));
    byId("play").addEventListener("click", () => (this.timer ? this.stop() : this.begin()));
    byId("moment").addEventListener("input", () => {
      this.stop();
      this.draw();
    });
    byId("four").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      byId("moment").value = this.starts[Number(button.value)];
      this.begin();
    });
  }

  take(layers) {
    this.stop();
    this.layers = layers;
    byId("no-sweeps").hidden = layers.length > 0;
    byId("sweep-controls").hidden = layers.length === 0;
    byId("layer").replaceChildren(...layers.map((layer, i) => {
      const { strength } = layer.sweeps[0];
      const blocks = `${strength.length} x ${strength[0].length}`;
      return make("button", { value: String(i), title: layer.name }, `Layer ${i + 1}: ${blocks}`);
    }));
    if (layers.length) this.choose("0");
  }

  turnTo(number) {
    this.four = this.layers[number].sweeps;
    this.moments = this.four.flatMap((sweep, which) => {
      const { strength, direction } = sweep;
      const count = isRow(direction) ? strength.length : strength[0].length;
      return Array.from({ length: count }, (_, step) => ({ which, step, count }));
    });
    this.starts = this.four.map((_, which) => this.moments.findIndex((m) => m.which === which));
    byId("four").replaceChildren(...this.four.map((sweep, which) => {
      const canvas = make("canvas");
      paint(canvas, sweep.strength, (value) => [...heatColour(value / 255), 255]);
      const words = `${ARROWS[sweep.direction]} ${sweep.direction}`;
      return make("button", { value: String(which) }, canvas, words);
    }));
    byId("moment").max = this.moments.length - 1;
    byId("moment").value = 0;
    this.draw();
  }

  // Begins by itself, but not for those who want no motion: they see the end of the first sweep.
  play() {
    if (!this.layers.length) return;
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) return this.begin();
    byId("moment").value = this.moments[0].count - 1;
    this.draw();
  }

  begin() {
    this.stop();
    byId("play").textContent = "❚❚";
    byId("play").ariaLabel = "Pause";
    this.timer = setInterval(() => {
      const next = (Number(byId("moment").value) + 1) % this.moments.length;
      byId("moment").value = next;
      this.draw();
    }, MOMENT_MS);
    this.draw();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    byId("play").textContent = "▶";
    byId("play").ariaLabel = "Play";
  }

  draw() {
    const { which, step, count } = this.moments[Number(byId("moment").value)];
    const { strength, direction, low, high } = this.four[which];
    const visited = (i, j) => {
      const place = isRow(direction) ? i : j;
      return isBackward(direction) ? count - 1 - place : place;
    };
    paint(byId("heat"), strength, (value, i, j) => {
      const when = visited(i, j);
      if (when > step) return [0, 0, 0, 120];
      return [...heatColour(value / 255), when === step ? 235 : 165];
    });
    byId("four").querySelectorAll("button").forEach((button, i) => {
      button.setAttribute("aria-pressed", i === which);
    });
    const line = isRow(direction) ? "row" : "column";
    const place = isBackward(direction) ? count - step : step + 1;
    byId("caption").textContent = `${ARROWS[direction]} ${direction}: ${line} ${place} of ${count}; `
      + `mean |h| from ${low.toFixed(2)} to ${high.toFixed(2)}`;
  }
}
