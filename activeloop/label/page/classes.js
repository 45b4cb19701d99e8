// Buttons for the classes, with their keys, and a search among them.

import { h, refill } from "./dom.js";
import { classKeys } from "./keys.js";

const SEARCHED = 12; // more classes than this: the search is always there
const LONG = 28; // characters: longer names have the room of two

export class ClassButtons {
  /** `chosen(name)`: a class was chosen by its button or by the search. */
  constructor(chosen) {
    this.chosen = chosen;
    this.classes = [];
    this.field = h("input", {
      type: "search",
      "aria-label": "Search for a class; Enter takes the first",
      placeholder: "Search for a class",
      autocomplete: "off",
      spellcheck: "false",
      oninput: () => this.#draw(),
      onkeydown: (event) => this.#key(event),
      onblur: () => this.#settle(),
    });
    this.list = h("div", { class: "classes", role: "group", "aria-label": "Classes" });
    this.found = h("p", { class: "unseen", role: "status" });
    this.element = h("div", { class: "choice" }, this.field, this.list, this.found);
  }

  /** Show these classes; `marked` is the one that is chosen already. */
  show(classes, marked = null) {
    Object.assign(this, { classes, marked });
    this.#settle();
    this.#draw();
  }

  /** Begin a search, with what was typed already. */
  search(text = "") {
    this.field.hidden = false;
    this.field.value = text;
    this.field.focus();
    this.#draw();
  }

  /** Show that a class was chosen. */
  flash(name) {
    const pressed = this.list.children[this.#names().indexOf(name)];
    if (!pressed) return;
    pressed.classList.remove("pressed");
    void pressed.offsetWidth; // begins the animation anew
    pressed.classList.add("pressed");
  }

  /** Those that match, best first: by their beginning, then anywhere. */
  #names() {
    const wanted = this.field.value.trim().toLowerCase();
    if (!wanted) return this.classes;
    const place = (name) => name.toLowerCase().indexOf(wanted);
    const found = this.classes.filter((name) => place(name) >= 0);
    const rank = (name) => (name.toLowerCase() === wanted ? 0 : place(name) === 0 ? 1 : 2);
    return found.sort((a, b) => rank(a) - rank(b));
  }

  #draw() {
    const names = this.#names();
    const keys = new Map(classKeys(this.classes).map((key, n) => [this.classes[n], key]));
    const searching = this.field.value.trim() !== "";
    refill(this.list, [names, this.classes.length, this.marked, searching], () =>
      names.map((name, n) =>
        h(
          "button",
          {
            type: "button",
            "aria-pressed": name === this.marked ? "true" : null,
            class: [searching && n === 0 && "first", name.length > LONG && "long"].filter(Boolean).join(" ") || null,
            onclick: () => this.#take(name),
          },
          h("kbd", { "aria-hidden": "true" }, searching && n === 0 ? "⏎" : (keys.get(name) ?? "")),
          h("span", {}, name),
        ),
      ),
    );
    if (searching && !names.length) this.list.replaceChildren(h("p", { class: "quiet" }, "No class is called so. Add one with +."));
    this.found.textContent = searching ? `${names.length} found${names.length ? `, Enter takes ${names[0]}` : ""}` : "";
  }

  #take(name) {
    this.field.value = "";
    this.field.blur();
    this.#draw();
    this.chosen(name);
  }

  #settle() {
    this.field.hidden = this.classes.length <= SEARCHED && this.field.value === "" && document.activeElement !== this.field;
  }

  #key(event) {
    if (event.key === "Enter") {
      event.preventDefault();
      const [first] = this.#names();
      if (first !== undefined && this.field.value.trim()) this.#take(first);
    } else if (event.key === "Escape") {
      event.preventDefault();
      this.field.value = "";
      this.field.blur();
      this.#draw();
    }
  }
}
