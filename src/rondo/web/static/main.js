// The three tabs, and what the server says of itself.
import { startPhoto } from "./photo.js";
import { startCell } from "./cell.js";
import { startTraining } from "./training.js";
import { ask, byId } from "./page.js";

const TABS = ["photo", "cell", "training"];
const begun = new Set();
const about = ask("/api/about").then((answer) => answer.json());
const starts = { photo: startPhoto, cell: startCell, training: startTraining };

function show() {
  const wanted = location.hash.slice(1);
  const name = TABS.includes(wanted) ? wanted : wanted === "uses" ? "photo" : TABS[0];
  for (const tab of TABS) {
    byId(tab).hidden = tab !== name;
    byId(`tab-${tab}`).setAttribute("aria-selected", tab === name);
    byId(`tab-${tab}`).tabIndex = tab === name ? 0 : -1;
  }
  if (!begun.has(name)) {
    begun.add(name);
    about.then(starts[name]);
  }
  if (wanted === "uses") byId("uses").scrollIntoView();
}

for (const tab of TABS) byId(`tab-${tab}`).addEventListener("click", () => (location.hash = tab));
byId("tab-photo").parentElement.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const now = TABS.findIndex((tab) => !byId(tab).hidden);
  const next = TABS[(now + step + TABS.length) % TABS.length];
  location.hash = next;
  byId(`tab-${next}`).focus();
});
addEventListener("hashchange", show);
about.then((answer) => {
  if (!answer.photo && !location.hash) location.hash = "cell";
  show();
}, (error) => document.querySelector("main").prepend(error.message));
