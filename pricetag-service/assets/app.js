// Parts of the page that follow what happens.
"use strict";

// Times are written in UTC; the reader's own time is told when the pointer rests on one.
function nameOwnTimes(root) {
  for (const time of root.querySelectorAll("time[data-at]")) {
    if (time.dataset.at === "") continue;
    const at = new Date(Number(time.dataset.at));
    time.dateTime = at.toISOString();
    time.title = at.toLocaleString();
  }
}

// A part is asked for again at most once at a time, and once more when something came meanwhile.
const PAUSE_MS = 250;

function follower(read) {
  let running = false;
  let again = false;
  return async function follow() {
    if (running) { again = true; return; }
    running = true;
    do {
      again = false;
      try { await read(); } catch { /* The next event tries again. */ }
      await new Promise((done) => setTimeout(done, PAUSE_MS));
    } while (again);
    running = false;
  };
}

async function fetchText(path) {
  const response = await fetch(path, { headers: { accept: "text/html" } });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.text();
}

// A part without an address of its own is cut from this page, read again.
function partOf(html, id) {
  if (id === "") return html;
  return new DOMParser().parseFromString(html, "text/html").getElementById(id).innerHTML;
}

function fragments() {
  return [...document.querySelectorAll("[data-fragment]")].map((element) => ({
    events: new Set(element.dataset.on.split(" ")),
    follow: follower(async () => {
      const html = partOf(await fetchText(element.dataset.fragment), element.id);
      if (html.trim() === element.dataset.last) return;
      element.dataset.last = html.trim();
      element.innerHTML = html;
      nameOwnTimes(element);
    }),
  }));
}

// Tiles are many: each is asked for by itself, a few at a time.
const TILES_AT_ONCE = 4;
const waiting = new Map();
let reading = 0;

function refreshTile(tag, hasNewFace) {
  if (!document.getElementById(`tile-${tag}`)) return;
  waiting.set(tag, (waiting.get(tag) || false) || hasNewFace);
  pump();
}

async function pump() {
  if (reading >= TILES_AT_ONCE || waiting.size === 0) return;
  const [tag, hasNewFace] = waiting.entries().next().value;
  waiting.delete(tag);
  reading += 1;
  try {
    const html = await fetchText(`/fragments/tags/${tag}`);
    const template = document.createElement("template");
    template.innerHTML = html.trim();
    const tile = template.content.firstElementChild;
    if (hasNewFace) tile.classList.add("changed");
    document.getElementById(`tile-${tag}`)?.replaceWith(tile);
  } catch { /* The next event tries again. */ }
  reading -= 1;
  pump();
}

function listen() {
  const state = document.querySelector("[data-live-state]");
  const parts = fragments();
  const hasTiles = document.querySelector("[data-tile]") !== null;
  if (parts.length === 0 && !hasTiles) { state.hidden = true; return; }
  const say = (text, name) => { state.textContent = text; state.className = `live ${name}`; };
  const events = new EventSource("/api/v1/events");
  const everything = () => {
    for (const part of parts) part.follow();
    for (const tile of document.querySelectorAll("[data-tile]")) refreshTile(tile.dataset.tile, false);
  };
  let wasLost = false;
  events.onopen = () => { say("live", "on"); if (wasLost) everything(); wasLost = false; };
  events.onerror = () => { say("reconnecting", "off"); wasLost = true; };
  events.addEventListener("behind", everything);
  for (const name of ["change", "task", "tag", "operation", "access-point", "till", "store"]) {
    events.addEventListener(name, (event) => {
      for (const part of parts) if (part.events.has(name)) part.follow();
      if (name === "task" || name === "tag") refreshTile(JSON.parse(event.data).tag, name === "tag");
    });
  }
  addEventListener("pagehide", () => events.close());
}

// What somebody typed before signing in is there again after it.
const TYPED = "typed:";

function keepTyped(form) {
  const key = TYPED + form.getAttribute("action");
  const fields = [...form.querySelectorAll("input[name]")];
  const kept = JSON.parse(sessionStorage.getItem(key) || "null");
  sessionStorage.removeItem(key);
  if (form.dataset.keep === "signed-out") {
    form.addEventListener("submit", () => {
      sessionStorage.setItem(key, JSON.stringify(Object.fromEntries(fields.map((field) => [field.name, field.value]))));
    });
  } else if (kept) {
    for (const field of fields) if (field.value === "" && kept[field.name]) field.value = kept[field.name];
  }
}

for (const form of document.querySelectorAll("form[data-keep]")) keepTyped(form);
nameOwnTimes(document);
listen();
