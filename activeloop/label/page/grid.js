// A screenful of images that the network takes for one class: confirmed or corrected at once.

import { Failure, post } from "./api.js";
import { ClassButtons } from "./classes.js";
import { button, fileName, h, nameOf, plural, refill, sure } from "./dom.js";
import { thumbnail } from "./hints.js";
import { orGone } from "./words.js";

export class Grid {
  #tiles = []; // {card, kind, label, element, said}; kind "out": no answer
  #focus = 0;
  #since = 0;
  #label = null;
  #loading = false;
  #turn = 0;

  /** When the screenful that is on its way is there. */
  filled = Promise.resolve();

  constructor(app) {
    this.app = app;
    this.select = h("select", { id: "grid-class", onchange: () => this.load(this.select.value) });
    this.list = h("div", { class: "tiles", role: "group", "aria-label": "Images" });
    this.empty = h("p", { class: "empty", role: "status" });
    this.confirm = button("Confirm", () => this.send(), { key: "Enter", class: "main" });
    this.classes = new ClassButtons((label) => this.mark("label", label));
    this.chosen = h("p", { class: "quiet" });
    this.palette = h(
      "div",
      { class: "palette" },
      this.chosen,
      this.classes.element,
      h(
        "div",
        { class: "actions", role: "group", "aria-label": "Other answers" },
        button("Leave out", () => this.mark("out"), { key: "Space" }),
        button("Skip", () => this.mark("skip"), { key: "s" }),
        button("None of these", () => this.mark("none"), { key: "n" }),
        button("New class", () => app.orders.addClass(), { key: "+" }),
      ),
    );
    this.element = h(
      "section",
      { class: "grid", "aria-label": "Grid" },
      h("h1", { class: "unseen" }, "Grid"),
      h(
        "div",
        { class: "controls" },
        h("label", { for: "grid-class" }, "The network says"),
        this.select,
        this.confirm,
        button("Other images", () => this.load(this.#label)),
        button("Undo", () => app.views.work.undo.once(), { key: "u" }),
      ),
      h("p", { class: "quiet" }, "First come those that the round asks for, then what the network is surest of. Click on what is wrong to leave it out, or choose its class: all others are taken as they are marked."),
      this.list,
      this.empty,
      this.palette,
    );
  }

  /** `again`: what was taken back, each `{card, kind, label}`, instead of others. */
  show({ again = null } = {}) {
    this.#options();
    if (again) this.#showAgain(again);
    else this.load(this.#label ?? this.app.status.classes[0]);
  }

  hide() {}

  /** The server was gone, and is there again. */
  back() {
    if (!this.#tiles.length) this.load(this.#label);
  }

  load(label) {
    const { running } = this.app.views.work.undo;
    // What an undo takes back is shown instead; others that were asked for now would give it back.
    if (running) running.then((taken) => taken || this.app.view !== this || this.load(label));
    else if (label && !this.#loading) this.filled = this.#load(label).catch(reportError);
  }

  async #load(label) {
    const turn = ++this.#turn;
    this.#loading = true;
    this.#label = label;
    this.select.value = label;
    try {
      // What is answered already must be known before others are asked for.
      await this.app.outbox.empty(3000);
      if (turn !== this.#turn) return; // a screenful came back meanwhile
      const { cards } = await post("/api/grid", { who: this.app.who, label, count: this.app.options.grid });
      if (turn !== this.#turn) return;
      const pending = this.app.outbox.ids;
      this.#tiles = cards.filter(({ id }) => !pending.has(id)).map((card, n) => this.#tile(card, n));
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      if (turn !== this.#turn) return;
      this.app.complainOf("The grid cannot be filled", failure);
      this.#tiles = [];
    } finally {
      if (turn === this.#turn) this.#loading = false;
    }
    this.#begin();
    if (this.app.view === this) this.app.announce(plural(this.#tiles.length, `image taken for ${label}`, `images taken for ${label}`));
  }

  /** Show what was taken back, each image as it was marked. */
  #showAgain(taken) {
    this.#turn++; // what is on its way comes too late
    this.#loading = false;
    const labels = taken.filter(({ kind }) => kind === "label").map(({ label }) => label);
    const times = (label) => labels.filter((other) => other === label).length;
    // Most were what the network took them all for.
    this.#label = [...new Set(labels)].sort((a, b) => times(b) - times(a))[0] ?? this.#label ?? this.app.status.classes[0];
    this.select.value = this.#label;
    this.#tiles = taken.map(({ card, kind, label }, n) => ({ ...this.#tile(card, n), kind, label }));
    this.#begin();
  }

  /** From now on the person looks at the tiles. */
  #begin() {
    const label = this.#label;
    this.#since = performance.now();
    this.#focus = 0;
    this.list.replaceChildren(...this.#tiles.map(({ element }) => element));
    const none = orGone(`The network takes no more images for ${label}, or it has not been trained yet.`, this.app.server);
    this.empty.textContent = this.#tiles.length ? "" : none;
    this.#draw();
    if (this.app.view === this) this.#tiles[0]?.element.focus({ preventScroll: true });
  }

  #tile(card, n) {
    const said = h("span", { class: "said" });
    const element = h(
      "button",
      {
        type: "button",
        class: "tile",
        onclick: () => {
          this.#focus = n;
          this.mark("out");
        },
        onfocus: () => {
          this.#focus = n;
          this.#draw();
        },
      },
      thumbnail(card, ""),
      said,
    );
    return { card, kind: "label", label: this.#label, element, said };
  }

  /** Say what the focused image is; "out" leaves it out or takes it in again. */
  mark(kind, label = null) {
    const tile = this.#tiles[this.#focus];
    if (!tile) return;
    const again = kind === "out" && tile.kind === "out";
    tile.kind = again ? "label" : kind;
    tile.label = again ? this.#label : label;
    this.#draw();
    tile.element.focus({ preventScroll: true });
  }

  #draw() {
    const { hints } = this.app;
    this.#tiles.forEach((tile, n) => {
      const { card, kind, label, element, said } = tile;
      const text = kind === "label" ? label : { out: "left out", skip: "skipped", none: "none of these" }[kind];
      const confidence = hints && card.opinion ? ` ${sure(card.opinion.confidence)}` : "";
      said.textContent = text + (kind === "label" && label === this.#label ? confidence : "");
      element.className = `tile ${kind === "label" ? (label === this.#label ? "same" : "other") : kind}`;
      element.setAttribute("aria-label", `${nameOf(card)}: ${text}`);
      element.tabIndex = n === this.#focus ? 0 : -1;
    });
    const focused = this.#tiles[this.#focus];
    this.chosen.textContent = focused ? `${fileName(focused.card.key)} is` : "";
    this.classes.show(this.app.status.classes, focused?.kind === "label" ? focused.label : null);
    this.palette.hidden = this.#tiles.length === 0;
    const sent = this.#tiles.filter(({ kind }) => kind !== "out").length;
    this.confirm.firstChild.textContent = `Confirm ${plural(sent, "image")}`;
    this.confirm.disabled = this.#tiles.length === 0;
  }

  #options() {
    const { classes, counts } = this.app.status;
    refill(this.select, [classes, counts], () =>
      classes.map((name) => h("option", { value: name }, `${name} (${plural(counts[name] ?? 0, "label")})`)),
    );
    if (this.#label) this.select.value = this.#label;
  }

  /** Answer the screenful in one request, and show the next. */
  send() {
    if (this.app.server.elsewhere || this.app.views.work.undo.running) return;
    const said = this.#tiles.filter(({ kind }) => kind !== "out");
    if (said.length) {
      const seconds = Math.round((performance.now() - this.#since) / said.length) / 1000;
      const answers = said.map(({ card, kind, label }) => ({
        id: card.id,
        kind,
        label: kind === "label" ? label : null,
        seconds,
        replaces: card.given?.event ?? null,
      }));
      const cards = said.map(({ card }) => card);
      const { work } = this.app.views;
      work.answered(cards.map(({ id }) => id));
      work.screen.recent.add(this.app.outbox.add(this.app.who, cards, answers), "small");
    }
    this.#tiles = [];
    this.load(this.#label);
  }

  key({ label, command, search }, event) {
    if (label !== undefined) this.mark("label", label);
    else if (command === "skip" || command === "none") this.mark(command);
    else if (command === "filter" || search !== undefined) this.classes.search();
    else if (command === "leave") this.app.go({ view: "work" });
    else return false;
    if (search === undefined) event.preventDefault();
    return true;
  }

  /** Enter confirms, wherever on the grid the focus is. */
  enter() {
    this.send();
    return true;
  }

  /** Arrows move among the images. */
  arrow(key) {
    if (!this.#tiles.length) return false;
    const columns = getComputedStyle(this.list).gridTemplateColumns.split(" ").length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -Infinity, End: Infinity }[key];
    const last = this.#tiles.length - 1;
    const next = this.#focus + step;
    if (Math.abs(step) === columns && columns > 1 && (next < 0 || next > last)) return true;
    this.#focus = Math.min(last, Math.max(0, next));
    this.#draw();
    this.#tiles[this.#focus].element.focus();
    return true;
  }

  status() {
    this.#options();
    this.#draw();
  }
}
