// Makes a drawing larger and smaller: by three buttons, and by the keys + - 0 where it has the focus.
const STEP = 1.25, LEAST = 0.2, MOST = 5;

export class Zoom {
  // paper: what scrolls; group: buttons with the values in, out and fit, and an output for the size.
  constructor(paper, group) {
    [this.paper, this.shown] = [paper, group.querySelector("output")];
    const actions = { in: () => this.by(STEP), out: () => this.by(1 / STEP), fit: () => this.fit() };
    const keys = { "+": "in", "=": "in", "-": "out", 0: "fit" };
    group.addEventListener("click", (event) => {
      actions[event.target.closest("button")?.value]?.();
    });
    paper.addEventListener("keydown", (event) => {
      const action = keys[event.key];
      if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      actions[action]();
    });
    addEventListener("resize", () => this.isFit && this.fit());
  }

  // A new drawing: as wide as the paper at most, or in its own size.
  take(svg, fits) {
    this.svg = svg;
    this.width = svg.viewBox.baseVal.width;
    if (fits) this.fit();
    else this.to(1);
  }

  fit() {
    if (!this.svg) return;
    const style = getComputedStyle(this.paper);
    const room = this.paper.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    this.to(Math.min(1, room / this.width));
    this.isFit = true;
  }

  by(factor) {
    if (this.svg) this.to(Math.min(MOST, Math.max(LEAST, this.scale * factor)));
  }

  // Keeps in the middle what is there.
  to(scale) {
    const { paper } = this;
    const share = (start, seen, whole) => (start + seen / 2) / whole;
    const x = share(paper.scrollLeft, paper.clientWidth, paper.scrollWidth);
    const y = share(paper.scrollTop, paper.clientHeight, paper.scrollHeight);
    [this.scale, this.isFit] = [scale, false];
    this.svg.style.width = `${this.width * scale}px`;
    this.shown.textContent = `${Math.round(100 * scale)} %`;
    paper.scrollLeft = x * paper.scrollWidth - paper.clientWidth / 2;
    paper.scrollTop = y * paper.scrollHeight - paper.clientHeight / 2;
  }
}
