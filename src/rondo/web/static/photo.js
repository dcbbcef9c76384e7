// The tab of the photo: where it comes from, what is sent, and what is shown of the answer.
import { startCamera } from "./camera.js";
import { ask, byId, choice, make, tell } from "./page.js";
import { Sweeps } from "./sweeps.js";

export function startPhoto(about) {
  byId("no-run").hidden = Boolean(about.photo);
  byId("photo-columns").hidden = !about.photo;
  if (!about.photo) return;
  byId("limits").textContent = about.photo.limits;
  byId("notes").replaceChildren(...about.photo.notes.map((text) => make("li", {}, text)));
  byId("of-people").hidden = byId("uses").hidden = !about.photo.is_of_people;
  byId("of-classes").hidden = about.photo.is_of_people;
  byId("classes").textContent = classesOf(about.photo);
  byId("try").hidden = !about.photo.has_drawings;
  byId("least").min = byId("least").value = Math.floor(100 / about.photo.num_classes);
  const view = new View();
  const send = sender(about.photo, view);
  listen(send);
  startCamera(send, (words) => tell(byId("photo-message"), words));
  let number = Math.floor(Math.random() * 1000);
  byId("try").addEventListener("click", async () => {
    const answer = await ask(`/api/drawing/${number++}`);
    send(await answer.blob());
  });
}

// For example "cat, dog and 8 more".
function classesOf({ classes, num_classes: number }) {
  const more = number - classes.length;
  return classes.join(", ") + (more > 0 ? ` and ${more} more` : "");
}

// What sends a file; of two that overlap, the later one is shown.
function sender(limits, view) {
  let last = 0;
  return async (file) => {
    const number = ++last;
    const message = byId("photo-message");
    if (file.size > limits.num_bytes) {
      view.clear();
      const megabytes = Math.ceil(file.size / 1e5) / 10;
      return tell(message, `This file has ${megabytes} MB; at most ${limits.num_bytes / 1e6} MB are `
        + "taken. Save a smaller copy.");
    }
    tell(message, "");
    byId("empty").textContent = "Looking …";
    byId("stage").classList.add("busy");
    try {
      const headers = { "Content-Type": "application/octet-stream" };
      const answer = await ask("/api/photo", { method: "POST", headers, body: file });
      const found = await answer.json();
      if (number === last) view.show(found);
    } catch (error) {
      if (number !== last) return;
      view.clear();
      tell(message, error.message);
      message.scrollIntoView({ block: "nearest" });
    } finally {
      if (number === last) byId("stage").classList.remove("busy");
    }
  };
}

function listen(send) {
  const stage = byId("stage");
  const firstImage = (files) => [...files].find((file) => file.type.startsWith("image/")) || files[0];
  byId("choose").addEventListener("click", () => byId("file").click());
  for (const id of ["file", "capture"]) {
    byId(id).addEventListener("change", (event) => {
      if (event.target.files.length) send(event.target.files[0]);
      event.target.value = "";
    });
  }
  document.addEventListener("paste", (event) => {
    if (!byId("photo").hidden && event.clipboardData.files.length) {
      send(firstImage(event.clipboardData.files));
    }
  });
  for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
  stage.addEventListener("dragover", () => stage.classList.add("over"));
  for (const kind of ["dragleave", "drop"]) {
    stage.addEventListener(kind, () => stage.classList.remove("over"));
  }
  addEventListener("drop", (event) => {
    if (!byId("photo").hidden && event.dataTransfer.files.length) {
      send(firstImage(event.dataTransfer.files));
    }
  });
}

const share = (value) => `${(100 * value).toFixed(1)} %`;

function meter(word, value) {
  const bar = make("i");
  bar.style.width = `${100 * value}%`;
  const whole = make("div", { className: "meter", role: "meter", ariaLabel: word }, bar);
  Object.assign(whole, { ariaValueMin: 0, ariaValueMax: 1, ariaValueNow: value });
  return whole;
}

// The answer, and what lies over the photo.
class View {
  constructor() {
    this.sweeps = new Sweeps();
    this.choose = choice(byId("view"), (name) => this.turnTo(name));
    byId("least").addEventListener("input", () => this.say());
  }

  clear() {
    this.sweeps.stop();
    for (const id of ["shown", "heat", "answer", "views"]) byId(id).hidden = true;
    byId("nothing").hidden = false;
    byId("empty").hidden = false;
    byId("empty").innerHTML = "Drop a photo here,<br>or paste one";
    byId("stage").classList.remove("full");
  }

  show(found) {
    this.found = found;
    this.say();
    byId("bars").replaceChildren(...found.probabilities.flatMap(([word, value]) => [
      make("span", {}, word),
      meter(word, value),
      make("span", {}, share(value)),
    ]));
    byId("seen").src = found.seen;
    byId("seen-size").textContent = `${found.size} x ${found.size} pixels`;
    for (const id of ["nothing", "empty"]) byId(id).hidden = true;
    for (const id of ["answer", "views"]) byId(id).hidden = false;
    byId("stage").classList.add("full");
    byId("stage").scrollIntoView({ block: "nearest" });
    this.sweeps.take(found.layers);
    this.choose(this.name || "sweeps");
  }

  // The answer, unless it is less sure than the reader asks for.
  say() {
    const least = byId("least").valueAsNumber;
    const sure = this.found.probability;
    byId("least-shown").textContent = `${least} %`;
    byId("word").textContent = 100 * sure < least ? "no answer" : this.found.answer;
    byId("confidence").textContent = share(sure);
  }

  turnTo(name) {
    this.name = name;
    byId("shown").hidden = false;
    byId("shown").src = name === "saliency" ? this.found.saliency : this.found.photo;
    byId("shown").alt = name === "saliency" ? "The photo, bright where the network looked" : "The photo";
    for (const part of document.querySelectorAll("[data-view]")) part.hidden = part.dataset.view !== name;
    byId("heat").hidden = name !== "sweeps" || !this.found.layers.length;
    if (name === "sweeps") this.sweeps.play();
    else this.sweeps.stop();
  }
}
