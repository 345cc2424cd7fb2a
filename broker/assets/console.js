// Live charts and figures, and times in the reader's own zone.
"use strict";

// Times are written in UTC; the reader's own time is told when the pointer rests on one.
for (const time of document.querySelectorAll("time[data-at]")) {
  const at = new Date(Number(time.dataset.at));
  time.dateTime = at.toISOString();
  time.title = at.toLocaleString();
}

// One menu or question is open at a time; Escape closes it.
const opened = () => document.querySelectorAll("details[open]");
document.addEventListener("click", (event) => {
  for (const details of opened()) if (!details.contains(event.target)) details.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const details of opened()) details.open = false;
});

// As much as there is, of these.
const SPANS_MS = [60_000, 120_000, 300_000];
const SPAN_MAX_MS = SPANS_MS.at(-1);
const WIDTH = 300;
const HEIGHT = 90;
const samples = [];

function number(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)} k`;
  return Number.isInteger(value) || value >= 100 ? Math.round(value).toString() : value.toFixed(1);
}

// The smallest of 1, 2, 5 times a power of ten that is not below the value.
function ceiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 5, 10].find((step) => step * power >= value);
}

function span() {
  const age = samples.length > 0 ? samples.at(-1).at - samples[0].at : 0;
  return SPANS_MS.find((one) => one >= age) ?? SPAN_MAX_MS;
}

function place(at, now) {
  return WIDTH * (1 - (now - at) / span());
}

// Points with gaps where there is nothing to say.
function path(figure, top, now) {
  let text = "";
  let isDrawing = false;
  for (const sample of samples) {
    const value = sample[figure];
    if (value === null) { isDrawing = false; continue; }
    const x = place(sample.at, now);
    const y = HEIGHT * (1 - value / top);
    text += `${isDrawing ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    // A value without neighbours is a short stroke.
    if (!isDrawing) text += `h0.6`;
    isDrawing = true;
  }
  return text;
}

function shape(name, d) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", "path");
  element.setAttribute("class", name);
  element.setAttribute("d", d);
  return element;
}

function draw(chart, now) {
  const lines = [...chart.querySelectorAll("[data-line]")];
  const values = lines.flatMap((line) => samples.map((sample) => sample[line.dataset.line] ?? 0));
  const top = ceiling(Math.max(0, ...values));
  const shapes = lines.map((line, n) => shape(`l${n}`, path(line.dataset.line, top, now)));
  if (lines.length === 1 && samples.length > 1 && samples.every((sample) => sample[lines[0].dataset.line] !== null)) {
    const first = place(samples[0].at, now);
    shapes.unshift(shape("a0", `${path(lines[0].dataset.line, top, now)}L${WIDTH} ${HEIGHT}L${first.toFixed(1)} ${HEIGHT}Z`));
  }
  chart.querySelector("svg").replaceChildren(...shapes);
  chart.querySelector(".axis span").textContent = `${span() / 60_000} min ago`;
  const unit = chart.dataset.unit;
  chart.querySelector(".top").textContent = `${number(top)}${unit ? ` ${unit}` : ""}`;
  for (const line of lines) {
    const last = samples.at(-1)?.[line.dataset.line];
    line.querySelector("b").textContent = number(last);
  }
}

function show() {
  const last = samples.at(-1);
  if (!last) return;
  for (const chart of document.querySelectorAll(".chart")) draw(chart, last.at);
  for (const figure of document.querySelectorAll("[data-figure]")) figure.textContent = last[figure.dataset.figure];
}

function take(fresh) {
  // After a reconnection the past comes again.
  const newest = samples.at(-1)?.at ?? 0;
  samples.push(...fresh.filter((sample) => sample.at > newest));
  const end = samples.at(-1)?.at ?? 0;
  while (samples.length > 0 && samples[0].at <= end - SPAN_MAX_MS) samples.shift();
  show();
}

// Numbers come as people read them, and exactly.
function write(texts) {
  for (const element of document.querySelectorAll("[data-statistic]")) {
    const told = texts[element.dataset.statistic];
    if (told) [element.textContent, element.title] = [told.text, told.exact];
  }
}

function listen(stream) {
  const state = document.querySelector("[data-live-state]");
  state.hidden = false;
  const say = (text, name) => { state.textContent = text; state.className = `live ${name}`; };
  say("connecting", "");
  const events = new EventSource(stream);
  events.onopen = () => say("live", "on");
  events.onerror = () => say("reconnecting", "off");
  events.addEventListener("figures", (event) => take(JSON.parse(event.data)));
  events.addEventListener("statistics", (event) => {
    const { sample, texts } = JSON.parse(event.data);
    write(texts);
    take([sample]);
  });
  addEventListener("pagehide", () => events.close());
}

const charts = document.querySelector("[data-stream]");
if (charts) listen(charts.dataset.stream);
