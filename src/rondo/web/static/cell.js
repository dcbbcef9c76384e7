// The tab of the cells: folded, unrolled, planned, compiled.
import { ask, byId, choice, fill, make, tell } from "./page.js";
import { Zoom } from "./zoom.js";

const WORDS = {
  graph: "One step. Data runs upward; a black square is a delay of one step, which closes a loop.",
  unrolled: "The same step T times, time running to the right: the graph without loops.",
  plan: "Grey: once, from the parameters alone. Blue: before the loop, for all steps together. "
    + "Red: in the loop, step by step. Green: after it, for all steps together.",
  backward: "The backward pass is a graph with loops too: it runs from the last step to the first, "
    + "and the gradients of the weights come after its loop, in one product each.",
  source: "What Rondo writes in C, compiles and runs. Here begins what it does for this cell; above "
    + "stand functions such as exp and tanh, below what calls it.",
};

// The source, scrolled to the part that differs from cell to cell.
function showSource(place, text) {
  const begin = Math.max(0, text.indexOf("static void opening("));
  const mark = make("span");
  place.replaceChildren(text.slice(0, begin), mark, text.slice(begin));
  place.scrollTop = mark.offsetTop - place.offsetTop;
}

export function startCell(about) {
  const name = byId("cell-name");
  const steps = byId("steps");
  fill(name, about.cells, "gru");
  steps.max = about.max_steps;
  const zoom = new Zoom(byId("drawing"), byId("zoom"));
  let stage = "graph";
  let last = 0;

  async function draw() {
    const number = ++last;
    const isText = stage === "source";
    const place = byId(isText ? "source" : "drawing");
    byId("source").hidden = !isText;
    byId("drawing").hidden = isText;
    byId("zoom").hidden = isText;
    byId("steps-label").hidden = stage !== "unrolled";
    byId("stage-words").textContent = WORDS[stage];
    place.classList.add("busy");
    tell(byId("cell-message"), "");
    try {
      const address = `/api/cell/${encodeURIComponent(name.value)}`;
      const answer = await ask(`${address}/${stage}?steps=${steps.value}`);
      const text = await answer.text();
      if (number !== last) return;
      if (isText) showSource(place, text);
      else place.innerHTML = text; // drawn by the server from the names in the cell's own code
      if (!isText) zoom.take(place.querySelector("svg"), stage !== "unrolled");
      place.setAttribute("aria-label", `${name.value}: ${WORDS[stage]}`);
      place.dataset.shows = `${name.value} ${stage} ${stage === "unrolled" ? steps.value : ""}`.trim();
    } catch (error) {
      if (number === last) tell(byId("cell-message"), error.message);
    } finally {
      if (number === last) place.classList.remove("busy");
    }
  }

  async function explain() {
    const wanted = name.value;
    const answer = await ask(`/api/cell/${encodeURIComponent(wanted)}/equations`);
    const text = await answer.text();
    if (name.value === wanted) byId("equations").innerHTML = text; // escaped by the server
  }

  const choose = choice(byId("cell-stage"), (value) => {
    stage = value;
    draw();
  });
  name.addEventListener("change", () => {
    draw();
    explain();
  });
  let wait = null;
  steps.addEventListener("input", () => {
    byId("steps-value").textContent = steps.value;
    clearTimeout(wait);
    wait = setTimeout(draw, 120);
  });
  choose("graph");
  explain();
}
