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

// What a chart shows: samples, and the times at its left and its right end.
function place(at, { begin, end }) {
  return WIDTH * (at - begin) / (end - begin);
}

// Points with gaps where there is nothing to say.
function path(figure, top, shown) {
  let text = "";
  let isDrawing = false;
  for (const sample of shown.samples) {
    const value = sample[figure];
    if (value === null) { isDrawing = false; continue; }
    const x = place(sample.at, shown);
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

function draw(chart, shown) {
  const { samples } = shown;
  const lines = [...chart.querySelectorAll("[data-line]")];
  const values = lines.flatMap((line) => samples.map((sample) => sample[line.dataset.line] ?? 0));
  const top = ceiling(Math.max(0, ...values));
  const shapes = lines.map((line, n) => shape(`l${n}`, path(line.dataset.line, top, shown)));
  if (lines.length === 1 && samples.length > 1 && samples.every((sample) => sample[lines[0].dataset.line] !== null)) {
    const first = place(samples[0].at, shown);
    const last = place(samples.at(-1).at, shown).toFixed(1);
    shapes.unshift(shape("a0", `${path(lines[0].dataset.line, top, shown)}L${last} ${HEIGHT}L${first.toFixed(1)} ${HEIGHT}Z`));
  }
  chart.querySelector("svg").replaceChildren(...shapes);
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
  for (const chart of document.querySelectorAll("[data-charts] .chart")) {
    draw(chart, { samples, begin: last.at - span(), end: last.at });
    chart.querySelector(".axis span").textContent = `${span() / 60_000} min ago`;
  }
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

// The last hours or days, minute by minute.
function showTrend(shown) {
  for (const chart of document.querySelectorAll("[data-trends] .chart")) {
    chart.shown = shown;
    draw(chart, shown);
  }
}

// The pointer asks a chart of hours or days what it says there.
function readTrend(event) {
  const chart = event.currentTarget;
  const shown = chart.shown;
  if (!shown || shown.samples.length === 0) return;
  const box = chart.querySelector("svg").getBoundingClientRect();
  const at = shown.begin + (shown.end - shown.begin) * (event.clientX - box.left) / box.width;
  const near = shown.samples.reduce((a, b) => Math.abs(a.at - at) < Math.abs(b.at - at) ? a : b);
  for (const line of chart.querySelectorAll("[data-line]")) {
    line.querySelector("b").textContent = number(near[line.dataset.line]);
  }
  chart.querySelector(".axis span:last-child").textContent = `until ${new Date(near.at).toLocaleString()}`;
}

for (const chart of document.querySelectorAll("[data-trends] .chart")) {
  chart.addEventListener("pointermove", readTrend);
  chart.addEventListener("pointerleave", () => {
    if (chart.shown) draw(chart, chart.shown);
    chart.querySelector(".axis span:last-child").textContent = "now";
  });
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
  events.addEventListener("trend", (event) => showTrend(JSON.parse(event.data)));
  addEventListener("pagehide", () => events.close());
}

const charts = document.querySelector("[data-stream]");
if (charts) listen(charts.dataset.stream);
