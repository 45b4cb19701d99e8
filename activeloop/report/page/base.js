// What all parts of the page share: elements, numbers as text, and how a strategy looks.

const SVG = "http://www.w3.org/2000/svg";
const NONE = "–";

/** Give an element its attributes, its listeners (`onclick: f`) and its children. Children are
 * nodes or text; text never becomes markup. */
function furnish(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

const h = (tag, attributes = {}, ...children) =>
  furnish(document.createElement(tag), attributes, children);

const svg = (tag, attributes = {}, ...children) =>
  furnish(document.createElementNS(SVG, tag), attributes, children);

let made = 0;
const newId = () => `id${++made}`;

// -- numbers as text ---------------------------------------------------------------------------

const formats = new Map();

function fixed(number, digits) {
  if (number === null || number === undefined) return NONE;
  if (!formats.has(digits)) {
    const both = { minimumFractionDigits: digits, maximumFractionDigits: digits };
    formats.set(digits, new Intl.NumberFormat("en", both));
  }
  const text = formats.get(digits).format(number);
  return (/[1-9]/.test(text) ? text : text.replace("-", "")).replace("-", "−");
}

const whole = (number) => fixed(number, 0);
const isKnown = (value) => value !== null && value !== undefined;
const isNumber = (value) => typeof value === "number";
const percent = (share, digits = 1) => (isNumber(share) ? `${fixed(100 * share, digits)}%` : NONE);
const percents = (number) => (isNumber(number) ? `${fixed(number, 0)}%` : NONE);
const signed = (number, digits) =>
  isNumber(number) && /[1-9]/.test(fixed(number, digits)) && number > 0
    ? `+${fixed(number, digits)}`
    : fixed(number, digits);
const points = (share) => (isNumber(share) ? signed(100 * share, 2) : NONE);

/** Three significant digits, without an exponent where that is readable. */
function plain(number) {
  if (!isNumber(number)) return NONE;
  const size = Math.abs(number);
  if (number !== 0 && (size < 1e-4 || size >= 1e7)) return number.toExponential(2);
  return fixed(number, size >= 100 || number === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(size))));
}

function probability(p) {
  if (!isNumber(p)) return NONE;
  if (p < 0.001) return "< 0.001";
  // What is settled does not read as if it were not.
  return p < 0.05 && fixed(p, 3) === "0.050" ? "< 0.050" : fixed(p, 3);
}

function duration(seconds) {
  if (!isNumber(seconds)) return NONE;
  if (seconds < 60) return `${plain(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${whole(Math.floor(minutes / 60))} h ${minutes % 60} min`;
}

const plural = (count, one, many = `${one}s`) => `${whole(count)} ${count === 1 ? one : many}`;

const between = (estimate, format) =>
  isNumber(estimate.low) && isNumber(estimate.high)
    ? `${format(estimate.low)} to ${format(estimate.high)}`
    : null;

// -- metrics -----------------------------------------------------------------------------------

const SHARES = new Set(["accuracy", "macro_f1", "worst_class_accuracy", "audit_accuracy"]);
const NAMES = { macro_f1: "macro-F1", worst_class_accuracy: "worst-class accuracy" };
const metricName = (metric) => NAMES[metric] ?? metric.replaceAll("_", " ");
// What is measured on the test set.
const TESTED = new Set(["accuracy", "macro_f1", "worst_class_accuracy", "calibration_error", "loss"]);
const titleOf = (metric) => {
  const name = metricName(metric);
  return TESTED.has(metric) ? `Test ${name}` : name[0].toUpperCase() + name.slice(1);
};
const WORK = { train: "training", predict: "predicting", select: "selecting", test: "testing", stop: "the stop set" };
const metricFormat = (metric) => (SHARES.has(metric) ? (share) => percent(share) : plain);

// -- how a strategy looks ----------------------------------------------------------------------

// Of each strategy, the same as in the figures beside this page: hue, dashes and marker.
const LOOKS = new Map(Object.entries(JSON.parse(document.getElementById("looks").textContent)));
const UNKNOWN = { hue: "grey", dashes: [], marker: "circle" };
const lookOf = (name) => LOOKS.get(name) ?? UNKNOWN;

const WIDTH = 2; // of a line, in which its dashes are measured
const dashOf = ({ dashes }) => dashes.map((length) => WIDTH * length).join(" ");

// Markers around 0, 0 with about the same area.
const SHAPES = {
  dot: "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",
  circle: "M-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0-6.4 0z",
  square: "M-2.9-2.9h5.8v5.8h-5.8z",
  triangle: "M0-3.9L3.7 2.6H-3.7z",
  diamond: "M0-4.1L4.1 0L0 4.1L-4.1 0z",
  "triangle down": "M0 3.9L3.7-2.6H-3.7z",
  plus: "M-1.2-4h2.4v2.8H4v2.4H1.2V4h-2.4V1.2H-4v-2.4h2.8z",
  pentagon: "M-4-1L0-4L4-1L2.5 3.6h-5z",
};

const markerAt = (look, x, y) =>
  svg("path", { class: "marker", d: SHAPES[look.marker], transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` });

function swatch(name) {
  const look = lookOf(name);
  return svg(
    "svg",
    { class: `swatch hue-${look.hue}`, viewBox: "0 0 30 12", "aria-hidden": "true" },
    svg("path", { class: "line", d: "M1 6H29", "stroke-dasharray": dashOf(look) }),
    markerAt(look, 15, 6),
  );
}

/** A name that may be broken after the signs in it, not within a word. */
const breakable = (name) => name.split(/(?<=[_,(=/])/).flatMap((piece, n) => (n ? [h("wbr"), piece] : [piece]));

const strategyLabel = (name) => h("span", { class: "strategy" }, swatch(name), h("span", {}, breakable(name)));
