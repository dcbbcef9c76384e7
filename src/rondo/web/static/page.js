// What all tabs use: elements, requests, messages, groups of buttons.
export const byId = (id) => document.getElementById(id);

// The response of the server; an Error with words for the user where it has none to give.
export async function ask(address, options = {}) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The program that serves this page does not answer; is it still running?");
  }
  if (answer.ok) return answer;
  const text = await answer.text();
  let words = text;
  try {
    words = JSON.parse(text).error;
  } catch { /* plain text */ }
  throw new Error(words || `The server answered with ${answer.status}.`);
}

export function tell(element, words) {
  element.hidden = !words;
  element.textContent = words || "";
}

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// Marks one button of a group as pressed whenever one is clicked; returns what chooses by value.
export function choice(group, onChange) {
  const choose = (value) => {
    for (const button of group.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", button.value === value);
    }
    onChange(value);
  };
  group.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) choose(button.value);
  });
  return choose;
}

export function fill(select, names, chosen) {
  select.replaceChildren(...names.map((name) => make("option", { value: name, textContent: name })));
  if (chosen) select.value = chosen;
}

// A colour from dark (0) over violet and orange to bright (1), as [red, green, blue].
const RAMP = [[0, 0, 4], [60, 9, 105], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]];
export function heatColour(share) {
  const place = Math.min(1, Math.max(0, share)) * (RAMP.length - 1);
  const low = Math.min(RAMP.length - 2, Math.floor(place));
  return RAMP[low].map((from, i) => from + (RAMP[low + 1][i] - from) * (place - low));
}

// Paints a matrix of values on a canvas, a pixel for each; colour(value, row, column) gives [r, g, b, a].
export function paint(canvas, rows, colour) {
  canvas.width = rows[0].length;
  canvas.height = rows.length;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  rows.forEach((row, i) => row.forEach((value, j) => {
    image.data.set(colour(value, i, j), 4 * (i * canvas.width + j));
  }));
  context.putImageData(image, 0, 0);
}
