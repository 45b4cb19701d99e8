// Elements, and numbers as text. Text never becomes markup: children are nodes or text.

const SVG = "http://www.w3.org/2000/svg";

function furnish(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** An element with its attributes, its listeners (`onclick: f`) and its children. */
export const h = (tag, attributes = {}, ...children) =>
  furnish(document.createElement(tag), attributes, children);

export const svg = (tag, attributes = {}, ...children) =>
  furnish(document.createElementNS(SVG, tag), attributes, children);

const shown = new WeakMap();

/** Replace what is in an element, if what it shows has changed: focus and screen readers stay. */
export function refill(element, value, make) {
  const text = JSON.stringify(value);
  if (shown.get(element) === text) return;
  element.replaceChildren(...[make()].flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  shown.set(element, text);
}

/** Fetch the images again that failed to load, whether the element is on the page now or not. */
export function fetchAgain(element) {
  const failed = (image) => image.complete && !image.naturalWidth;
  for (const image of element.querySelectorAll("img")) if (failed(image)) image.src = image.getAttribute("src");
}

/** A button with the key that does the same. */
export const button = (text, onclick, { key = null, ...attributes } = {}) =>
  h("button", { type: "button", onclick, ...attributes }, h("span", {}, text), key && h("kbd", { "aria-hidden": "true" }, key));

/** A bar as long as a share of its room. */
export function bar(share) {
  const fill = h("span", { class: "fill" });
  fill.style.width = `${Math.min(100, Math.max(0, 100 * share)).toFixed(1)}%`;
  return h("span", { class: "bar", "aria-hidden": "true" }, fill);
}

const counts = new Intl.NumberFormat("en");
export const whole = (number) => counts.format(Math.round(number));
export const percent = (share) => `${whole(100 * share)}%`;
export const plural = (count, one, many = `${one}s`) => `${whole(count)} ${count === 1 ? one : many}`;

/** A probability in percent. None is certain, whatever it is rounded to. */
export function sure(share) {
  if (share > 0.99) return "> 99%";
  return share < 0.01 ? "< 1%" : percent(share);
}

/** A text as a sentence: with a capital and an end. */
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");

/** Three significant digits. */
export const plain = (number) => String(Number(number.toPrecision(3)));

export const fileName = (key) => key.split("/").at(-1);

/** What an image is called: never by its class. */
export const nameOf = (card) => `Image ${card.id}, ${fileName(card.key)}`;

/** What was said of an image, in words. */
export function saidOf({ kind, label }) {
  if (kind === "label") return label;
  return kind === "skip" ? "skipped" : "none of these";
}

/** A time of the server (UTC) as the person's clock shows it, with the day if it is not today. */
export function clock(at) {
  const when = new Date(/[Zz]|[+-]\d\d:?\d\d$/.test(at) ? at : `${at}Z`);
  if (Number.isNaN(when.getTime())) return at;
  const time = when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return when.toDateString() === new Date().toDateString() ? time : `${when.toLocaleDateString()} ${time}`;
}
