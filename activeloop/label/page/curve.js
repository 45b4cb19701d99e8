// Accuracy against labels, with its interval, as a picture and as a table.

import { h, percent, plural, svg, whole } from "./dom.js";

const [WIDTH, HEIGHT] = [300, 150];
const AREA = { left: 36, right: WIDTH - 8, top: 8, bottom: HEIGHT - 34 };

const known = (point) => typeof point.accuracy === "number";
const at = (x, y) => `${x.toFixed(1)} ${y.toFixed(1)}`;

/** A step of 1, 2 or 5 times a power of ten that gives at most so many. */
function step(range, most) {
  const power = 10 ** Math.floor(Math.log10(range / most));
  return [1, 2, 5, 10].map((lead) => lead * power).find((size) => range / size <= most);
}

function ticks(low, high, size) {
  const list = [];
  for (let value = Math.max(0, Math.ceil(low / size - 1e-9)) * size; value <= high + 1e-9; value += size) list.push(value);
  return list;
}

export function curveOf(points) {
  const list = points.filter(known);
  if (list.length === 0) return [h("p", { class: "quiet" }, "The curve begins when the accuracy can be estimated.")];
  return [picture(list), table(points)];
}

function picture(list) {
  const lows = list.map((p) => p.low ?? p.accuracy);
  const floor = Math.max(0, Math.floor(10 * Math.min(...lows) - 1e-9) / 10);
  const most = Math.max(...list.map((p) => p.labels));
  const x = (labels) => AREA.left + ((AREA.right - AREA.left) * labels) / Math.max(1, most);
  const y = (share) => AREA.bottom - ((AREA.bottom - AREA.top) * (share - floor)) / (1 - floor || 1);
  const line = list.map((p) => at(x(p.labels), y(p.accuracy))).join("L");
  const highs = list.map((p) => at(x(p.labels), y(p.high ?? p.accuracy)));
  const band = [...highs, ...list.map((p) => at(x(p.labels), y(p.low ?? p.accuracy))).reverse()].join("L");
  const last = list.at(-1);
  return svg(
    "svg",
    { class: "curve", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Estimated accuracy against labels: ${percent(last.accuracy)} with ${plural(last.labels, "label")}` },
    ticks(floor, 1, step(1 - floor || 1, 5)).map((share) => [
      svg("path", { class: "rule", d: `M${AREA.left} ${y(share).toFixed(1)}H${AREA.right}` }),
      svg("text", { x: AREA.left - 5, y: y(share) + 4, "text-anchor": "end" }, percent(share)),
    ]),
    ticks(0, most, Math.max(1, step(Math.max(1, most), 5))).map((labels) =>
      svg("text", { x: x(labels), y: AREA.bottom + 15, "text-anchor": "middle" }, whole(labels)),
    ),
    svg("text", { x: (AREA.left + AREA.right) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, "labels"),
    svg("path", { class: "band", d: `M${band}Z` }),
    svg("path", { class: "line", d: `M${line}` }),
    list.map((p) => svg("circle", { cx: x(p.labels).toFixed(1), cy: y(p.accuracy).toFixed(1), r: 2.6 })),
  );
}

function table(points) {
  const row = (p) =>
    h(
      "tr",
      {},
      h("td", {}, whole(p.round)),
      h("td", {}, whole(p.labels)),
      h("td", {}, known(p) ? percent(p.accuracy) : "not known"),
      h("td", {}, typeof p.low === "number" && typeof p.high === "number" ? `${percent(p.low)} to ${percent(p.high)}` : ""),
    );
  return h(
    "details",
    {},
    h("summary", {}, "The curve as a table"),
    h(
      "table",
      {},
      h("caption", { class: "unseen" }, "Estimated accuracy by round"),
      h("thead", {}, h("tr", {}, ["Round", "Labels", "Accuracy", "95% interval"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, points.map(row)),
    ),
  );
}
