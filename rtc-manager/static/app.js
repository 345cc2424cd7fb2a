// Keeps a page live: fetches its fragment again on news, and lets durations run in between.
"use strict";

const box = document.querySelector("[data-fragment]");
let clockOffset = 0;
let pending = null;
let pressed = false;

function readClock() {
  const marked = document.querySelector("[data-now]");
  if (marked) clockOffset = Number(marked.dataset.now) - Date.now();
}

function duration(millis) {
  const secs = Math.max(0, Math.floor(millis / 1000));
  const two = (n) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(secs / 3600), Math.floor(secs / 60) % 60, secs % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

function ago(millis) {
  const secs = Math.max(0, Math.floor(millis / 1000));
  if (secs < 60) return `${secs} s ago`;
  if (secs < 3600) return `${Math.floor(secs / 60)} min ago`;
  if (secs < 86400) return `${Math.floor(secs / 3600)} h ago`;
  return `${Math.floor(secs / 86400)} d ago`;
}

function tick() {
  const now = Date.now() + clockOffset;
  for (const node of document.querySelectorAll("[data-since]")) node.textContent = duration(now - Number(node.dataset.since));
  for (const node of document.querySelectorAll("[data-ago]")) node.textContent = ago(now - Number(node.dataset.ago));
}

async function refresh() {
  pending = null;
  try {
    const answer = await fetch(box.dataset.fragment);
    if (!answer.ok) return;
    const html = await answer.text();
    // A button that is replaced under the pointer would swallow the click.
    if (pressed) return soon();
    const key = box.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    box.innerHTML = html;
    if (key) box.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
    readClock();
    tick();
  } catch {
    // The event stream reconnects by itself, and then asks again.
  }
}

function soon() {
  if (pending === null) pending = setTimeout(refresh, 200);
}

function concerns(event) {
  const only = box.dataset.only;
  return !only || JSON.parse(event.data).call === only;
}

if (box) {
  box.addEventListener("pointerdown", () => { pressed = true; });
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => setTimeout(() => { pressed = false; }, 0));
  box.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
  });
  const pulse = document.getElementById("pulse");
  const news = new EventSource("/api/v1/events");
  for (const kind of box.dataset.on.split(" ")) news.addEventListener(kind, (event) => { if (concerns(event)) soon(); });
  news.addEventListener("missed", soon);
  news.onopen = () => { pulse.classList.add("on"); pulse.textContent = "live"; soon(); };
  news.onerror = () => { pulse.classList.remove("on"); pulse.textContent = "connecting"; };
}
readClock();
tick();
setInterval(tick, 500);
