// What a person must know: banners that stay while something is so, and messages to be put away.

import { button, h } from "./dom.js";

export class Notices {
  #banners = new Map();
  #said = [];

  constructor() {
    this.element = h("div", { class: "notices" });
    this.live = h("p", { class: "unseen", "aria-live": "polite" });
    this.toast = h("p", { class: "toast", "aria-hidden": "true", hidden: true });
  }

  /** Say that something is so; the same again changes nothing. `text` null: it is over. */
  banner(name, text, ...actions) {
    const old = this.#banners.get(name);
    if (old?.text === text || (!old && text === null)) return;
    old?.element.remove();
    this.#banners.delete(name);
    if (text === null) return;
    const element = h("div", { class: "notice banner", role: "alert" }, h("p", {}, text), actions);
    this.#banners.set(name, { text, element });
    this.element.append(element);
  }

  /** A message that stays until it is put away. */
  message(text, ...actions) {
    for (const old of this.element.querySelectorAll(".message")) if (old.firstChild.textContent === text) old.remove();
    const element = h("div", { class: "notice message", role: "alert" }, h("p", {}, text), actions);
    element.append(button("Dismiss", () => element.remove()));
    this.element.append(element);
  }

  /** For screen readers, all that is said at once as one text; `seen`: for the others, too, for a while. */
  announce(text, { seen = false } = {}) {
    this.#said.push(text);
    if (this.#said.length === 1) setTimeout(() => (this.live.textContent = this.#said.splice(0).join(". ")));
    if (!seen) return;
    this.toast.textContent = text;
    this.toast.hidden = false;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (this.toast.hidden = true), 3000);
  }
}
