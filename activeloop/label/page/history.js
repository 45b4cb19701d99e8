// Answered images, newest first: looked up by class and person, corrected by a click.

import { Failure, get } from "./api.js";
import { button, clock, fileName, h, nameOf, refill, saidOf, whole } from "./dom.js";
import { thumbnail } from "./hints.js";
import { orGone } from "./words.js";

const PAGE = 48;

export class History {
  #cards = [];
  #turn = 0;
  #place = [0, 0];

  constructor(app) {
    this.app = app;
    this.label = h("select", { id: "history-class", onchange: () => this.load() });
    this.who = h("select", { id: "history-who", onchange: () => this.load() });
    this.number = h("input", { id: "history-id", type: "number", min: 0, step: 1, inputmode: "numeric", required: true });
    this.hint = h("p", { class: "quiet" }, "Click on an image to correct its answer.");
    this.jump = h(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          app.go({ view: "work", image: Number(this.number.value), back: { view: "history", keep: true } });
        },
      },
      h("label", { for: "history-id" }, "Image number"),
      this.number,
      h("button", { type: "submit" }, "Go"),
    );
    this.list = h("ul", { class: "tiles" });
    this.empty = h("p", { class: "empty", role: "status" });
    this.more = button("Older answers", () => this.load({ more: true }));
    this.element = h(
      "section",
      { class: "history", "aria-label": "History" },
      h("h1", {}, "History"),
      h(
        "div",
        { class: "controls" },
        h("div", { class: "field" }, h("label", { for: "history-class" }, "Class"), this.label),
        h("div", { class: "field" }, h("label", { for: "history-who" }, "By"), this.who),
        this.jump,
      ),
      this.hint,
      this.list,
      this.empty,
      this.more,
    );
  }

  async show({ keep = false } = {}) {
    this.#options();
    await this.load({ count: keep ? Math.max(PAGE, this.#cards.length) : PAGE });
    if (keep) this.app.scrollTo(this.#place);
  }

  hide() {
    this.#place = this.app.scrolled();
  }

  /** The server was gone, and is there again. */
  back() {
    return this.load({ count: Math.max(PAGE, this.#cards.length) });
  }

  async load({ more = false, count = PAGE } = {}) {
    const turn = ++this.#turn;
    try {
      await this.app.outbox.empty(3000);
      const before = more ? this.#cards.at(-1)?.given?.event : null;
      const { cards } = await get("/api/history", { who: this.who.value || null, label: this.label.value || null, before, count: Math.min(200, count) });
      if (turn !== this.#turn) return; // another filter was chosen meanwhile
      this.#cards = more ? [...this.#cards, ...cards] : cards;
      this.more.hidden = cards.length < count;
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      this.app.complainOf("The history cannot be shown", failure);
    }
    refill(this.list, this.#cards, () => this.#cards.map((card) => this.#item(card)));
    this.empty.textContent = this.#cards.length ? "" : orGone("No answers yet.", this.app.server);
    this.hint.hidden = !this.#cards.length;
    if (!this.#cards.length) this.more.hidden = true;
  }

  #item(card) {
    const { given } = card;
    const open = () => this.app.go({ view: "work", image: card.id, back: { view: "history", keep: true } });
    return h(
      "li",
      {},
      h(
        "button",
        { type: "button", class: "tile", onclick: open, "aria-label": `${nameOf(card)}: ${saidOf(given)}, by ${given.who}. Correct it` },
        thumbnail(card, ""),
        h("span", { class: "said" }, saidOf(given)),
        h("span", { class: "small-print" }, fileName(card.key)),
        h("span", { class: "small-print" }, `${given.who}, ${clock(given.at)}`),
      ),
    );
  }

  #options() {
    const { classes, counts, people, labels, skipped, none, unlabelled } = this.app.status;
    this.number.max = labels + skipped + none + unlabelled - 1;
    this.number.placeholder = `0 to ${whole(this.number.max)}`;
    const fill = (select, value, all, names) => {
      const chosen = select.value;
      refill(select, value, () => [h("option", { value: "" }, all), names]);
      select.value = chosen;
    };
    fill(this.label, [classes, counts], "all answers", classes.map((name) => h("option", { value: name }, `${name} (${counts[name] ?? 0})`)));
    fill(this.who, people.map(({ name }) => name), "everybody", people.map(({ name }) => h("option", { value: name }, name)));
  }

  key({ command }, event) {
    if (command !== "leave") return false;
    event.preventDefault();
    this.app.go({ view: "work" });
    return true;
  }

  status() {
    this.#options();
  }
}
