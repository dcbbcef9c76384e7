// Lines over a horizontal axis, in the colours of the page, as wide as there is room.
const SVG = "http://www.w3.org/2000/svg";
const LEFT = 52, RIGHT = 12, BOTTOM = 34, HEIGHT = 240, NAME_HEIGHT = 17;
const LEAST = 1e-30; // what is below it is not drawn

function element(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

const short = (value) => {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e4) return `${+(value / 1e3).toPrecision(3)}k`;
  return size < 1e-2 ? value.toExponential(0) : String(+value.toPrecision(3));
};

// Numbers at which lines of the grid stand, some five of them.
function ticks(low, high) {
  const rough = (high - low) / 5;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * unit).find((n) => n >= rough);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(k * step);
  return found;
}

// lines: [{ name, points: [[x, y], ...], look: "c0", dots: false }]; y logarithmic. A y of null is not
// finite: a cross at the upper edge.
export function drawChart(place, lines, xLabel, words) {
  const width = Math.max(240, place.clientWidth);
  const drawn = lines.map((line) => ({ ...line, points: line.points.filter(([, y]) => y >= LEAST) }))
    .filter((line) => line.points.length);
  const lost = lines.map((line) => ({ ...line, name: `${line.name}: not finite`, cross: true,
    points: line.points.filter(([, y]) => y === null) })).filter((line) => line.points.length);
  const svg = element("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "img",
    "aria-label": words });
  place.replaceChildren(svg);
  const all = [...drawn, ...lost].flatMap((line) => line.points);
  const logs = drawn.flatMap((line) => line.points).map(([, y]) => Math.log10(y));
  let [low, high] = logs.length ? [Math.min(...logs), Math.max(...logs)] : [-1, 0];
  if (high - low < 0.5) [low, high] = [(low + high) / 2 - 0.25, (low + high) / 2 + 0.25];
  const right = Math.max(...all.map(([x]) => x), 1);
  const top = 6 + NAME_HEIGHT * drawNames(svg, [...drawn, ...lost], width);
  const x = (value) => LEFT + (value / right) * (width - LEFT - RIGHT);
  const y = (value) => top + ((high - Math.log10(value)) / (high - low))
    * (HEIGHT - top - BOTTOM);
  drawAxes(svg, { x, y, low, high, right, width, xLabel });
  for (const line of drawn) drawLine(svg, line, x, y);
  for (const { points, look } of lost) for (const [px] of points) svg.append(cross(look, x(px), top + 6));
}

const cross = (look, x, y) => element("path", { class: `${look} lost`,
  d: `M${x - 4},${y - 4}l8,8m0,-8l-8,8` });

function drawAxes(svg, { x, y, low, high, right, width, xLabel }) {
  const bottom = HEIGHT - BOTTOM;
  const powers = high - low > 1.2
    ? ticks(low, high).filter(Number.isInteger).map((power) => 10 ** power)
    : ticks(10 ** low, 10 ** high);
  for (const value of powers) {
    svg.append(element("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }));
    svg.append(element("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, short(value)));
  }
  for (const value of ticks(0, right)) {
    svg.append(element("text", { x: x(value), y: bottom + 16, "text-anchor": "middle" }, short(value)));
  }
  svg.append(element("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: bottom, y2: bottom }));
  svg.append(element("text", { x: width - RIGHT, y: HEIGHT - 3, "text-anchor": "end" }, xLabel));
}

function drawLine(svg, line, x, y) {
  if (line.dots || line.points.length === 1) {
    for (const [px, py] of line.points) {
      svg.append(element("circle", { class: line.look, cx: x(px), cy: y(py), r: 3.5 }));
    }
    return;
  }
  const places = line.points.map(([px, py]) => `${x(px).toFixed(1)},${y(py).toFixed(1)}`);
  svg.append(element("path", { class: line.look, d: `M${places.join("L")}` }));
}

// The names of the lines, in as many rows as they need; returns how many these are.
function drawNames(svg, lines, width) {
  let left = LEFT, row = 0;
  for (const { name, look, dots, cross: isCross } of lines) {
    const room = 36 + 7 * name.length;
    if (left > LEFT && left + room > width) [left, row] = [LEFT, row + 1];
    const middle = 8 + NAME_HEIGHT * row;
    svg.append(isCross ? cross(look, left + 8, middle) : dots
      ? element("circle", { class: look, cx: left + 8, cy: middle, r: 3.5 })
      : element("path", { class: look, d: `M${left},${middle}h16` }));
    svg.append(element("text", { x: left + 21, y: middle + 4 }, name));
    left += room;
  }
  return row + 1;
}
