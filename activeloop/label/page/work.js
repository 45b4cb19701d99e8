// One image at a time: those that the loop asks for, those of a second look, or one that was asked
// for.

import { Failure, get, post } from "./api.js";
import { Ahead, loaded } from "./ahead.js";
import { ClassButtons } from "./classes.js";
import { button, fileName, h, nameOf, refill, saidOf, sentence } from "./dom.js";
import { hintsOf, reasonOf } from "./hints.js";
import { Recent } from "./recent.js";
import { askedOf, emptyWords } from "./words.js";
import { Stage } from "./zoom.js";

const LENT = 240_000; // ms: what is left alone for longer may have gone to others
const GUARD = 400; // ms without keys after an image was replaced by no one's doing

export class Work {
  #shown = null; // {card, image, ready, source}
  #since = 0;
  #away = 0;
  #hiddenAt = null;
  #deafUntil = 0;
  #undoing = null;
  #asking = false; // what the network thinks by now
  #source = "queue"; // or "looks"
  #back = null; // where to go after an image that was asked for

  constructor(app) {
    this.app = app;
    const of = (path, source) => ({
      ask: async (count, keep) => (await post(path, { who: app.who, count, ...(source === "queue" ? { keep } : {}) })).cards,
      pending: () => app.outbox.ids,
      current: () => (this.#shown?.source === source ? this.#shown.card.id : null),
    });
    this.sources = {
      queue: new Ahead(of("/api/next", "queue")),
      looks: new Ahead(of("/api/second_looks", "looks")),
    };
    this.stage = new Stage();
    this.classes = new ClassButtons((label) => this.answer("label", label));
    this.recent = new Recent((card) => this.open(card.id));
    this.title = h("h1", { class: "unseen" }, "One image");
    this.asked = h("div", { class: "asked" });
    this.reason = h("p", { class: "reason" });
    this.hints = h("div", { class: "hints", id: "hints" });
    this.hintSwitch = button("What the network thinks", () => app.toggleHints(), { key: "p", "aria-controls": "hints" });
    this.actions = h(
      "div",
      { class: "actions", role: "group", "aria-label": "Other answers" },
      button("Skip", () => this.answer("skip"), { key: "s" }),
      button("None of these", () => this.answer("none"), { key: "n" }),
      button("New class", () => app.addClass(), { key: "+" }),
      button("Undo", () => this.undo(), { key: "u" }),
      button("Zoom", () => this.stage.toggle(), { key: "z", class: "wide-only" }),
      this.hintSwitch,
    );
    this.element = h(
      "section",
      { class: "work", "aria-label": "One image" },
      this.title,
      this.asked,
      h("div", { class: "sight" }, this.stage.element, this.hints),
      this.reason,
      this.classes.element,
      this.actions,
      this.recent.element,
    );
    document.addEventListener("visibilitychange", () => this.#pause());
  }

  // -- what is shown -----------------------------------------------------------------------------

  /** `keep`: whatever is shown already. `back`: where to go after an image that was asked for. */
  async show({ source = "queue", image = null, back = null, keep = false } = {}) {
    if (keep) return null;
    if (image !== null) return this.open(image, back);
    if (source !== this.#source || (this.#shown && this.#shown.source !== source)) {
      this.#putBack();
      this.#source = source;
    }
    this.#back = null;
    if (this.#shown) this.#draw();
    else this.#next();
    // While another view was shown, what is ahead may have gone to others.
    return this.#fill({ renew: source === "looks", check: true });
  }

  hide() {
    this.stage.whole();
  }

  /** Look at any image, answered or not. */
  async open(id, back = null) {
    try {
      // A correction names the answer that it corrects: it must have a number.
      await this.app.outbox.empty(3000);
      const card = await get("/api/card", { id });
      this.#putBack();
      this.#back = back;
      await this.#display({ ...loaded(card), source: "asked" });
      this.app.announce(`${nameOf(card)}${card.given ? `, answered: ${saidOf(card.given)}` : ""}`);
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      this.app.complain(`That image cannot be shown: ${sentence(failure.message)}`);
    }
  }

  #putBack() {
    if (this.#shown && this.#shown.source in this.sources) this.sources[this.#shown.source].back(this.#shown);
    this.#shown = null;
  }

  #next() {
    if (this.#back) {
      const back = this.#back;
      this.#back = null;
      this.#shown = null;
      this.app.go(back);
      return;
    }
    const next = this.sources[this.#source].take();
    this.#shown = null;
    if (!next) this.#draw();
    else {
      this.#display({ ...next, source: this.#source });
      this.app.announce(nameOf(next.card));
    }
  }

  async #display(shown) {
    this.#shown = shown;
    this.#begin();
    shown.broken = !(await shown.ready);
    shown.seen = true; // or known to be broken
    if (this.#shown === shown) this.#begin();
  }

  /** From now on the person looks at it. */
  #begin() {
    this.#since = performance.now();
    this.#away = 0;
    this.#draw();
  }

  #reload() {
    if (this.#shown) this.#display({ ...loaded(this.#shown.card), source: this.#shown.source });
  }

  /** While the server was gone, an image may have failed to load; one started anew gives all to anybody. */
  back() {
    if (this.#shown && !this.#shown.image.naturalWidth) this.#reload();
    this.#stillOurs();
  }

  /** Another view asks when it is left: what it holds itself, this would give back. */
  #stillOurs() {
    if (this.app.view === this) this.#fill({ check: true });
  }

  async #fill(how) {
    const source = this.#source;
    try {
      const ours = await this.sources[source].fill(how);
      if (!ours && source === "queue" && this.#shown?.source === source) {
        this.app.announce("That image went to somebody else");
        this.#deafUntil = performance.now() + GUARD;
        this.#next();
      } else if (!this.#shown && this.#source === source && this.app.view === this && this.sources[source].length) {
        this.#next();
      } else if (!this.#shown) this.#draw();
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      // Said by the banner; the next status tries again.
      if (!this.#shown) this.#draw();
    }
  }

  #draw() {
    const shown = this.#shown;
    const { status, hints } = this.app;
    const card = shown?.card;
    this.element.classList.toggle("nothing", !shown);
    this.stage.element.setAttribute("aria-busy", String(Boolean(shown && !shown.seen)));
    if (!shown) this.#drawEmpty();
    else if (shown.broken) this.stage.say(`broken ${card.key}`, () => this.#brokenWords(card));
    else if (this.stage.image !== shown.image) this.stage.show(shown.image);
    this.classes.show(status.classes, card?.given?.kind === "label" ? card.given.label : null);
    const look = card?.why.origin === "second look" || shown?.source === "looks";
    const open = hints || look;
    this.hintSwitch.setAttribute("aria-expanded", String(Boolean(open)));
    this.hints.hidden = !open || !shown;
    if (!this.hints.hidden) refill(this.hints, card, () => hintsOf(card, (id) => this.open(id, this.#back)));
    refill(this.reason, card && [card.why, card.key, card.id], () =>
      card ? [h("span", {}, reasonOf(card.why)), " ", h("span", { class: "file" }, `${fileName(card.key)}, image ${card.id}`)] : [],
    );
    refill(this.asked, [card?.id, card?.given, shown?.source, look], () => (card ? askedOf(shown, look, this) : []));
  }

  #drawEmpty() {
    const { app } = this;
    const [heading, text, action] = emptyWords(this.#source, app);
    const does = {
      work: () => button("Back to one image", () => app.go({ view: "work" })),
      finish: () => [button("Finish", () => app.finish()), button("History", () => app.go({ view: "history" }))],
      train: () => button("Try again", () => app.train()),
    };
    this.stage.say(heading + text, () => [h("h2", {}, heading), h("p", {}, text), action && does[action]()]);
  }

  #brokenWords = (card) => [
    h("h2", {}, "This image cannot be shown"),
    h("p", {}, card.key),
    h("p", {}, "Skip it if it stays so."),
    button("Try again", () => this.#reload()),
  ];

  // -- what a person does ------------------------------------------------------------------------

  /** Answer the image that is shown, and go on with the next one at once. */
  async answer(kind, label = null) {
    if (this.#undoing) {
      if (await this.#undoing) this.answer(kind, label);
      return;
    }
    const shown = this.#shown;
    const now = performance.now();
    if (!shown?.seen || now < this.#deafUntil || this.app.dialogOpen() || this.app.elsewhere) return;
    const { card } = shown;
    const seconds = Math.max(0, Math.round(now - this.#since - this.#away) / 1000);
    const said = { id: card.id, kind, label, seconds, replaces: card.given?.event ?? null };
    for (const source of Object.values(this.sources)) source.answered(card.id);
    const entry = this.app.outbox.add(this.app.who, [card], [said]);
    this.recent.add(entry, card, said);
    if (kind === "label") this.classes.flash(label);
    this.#next();
    if (this.app.view === this) this.#fill();
  }

  /** Take back the last answer; how often it is called, so many. */
  undo() {
    const one = this.#undoing ? this.#undoing.then(() => this.#undo()) : this.#undo();
    const mine = one.finally(() => {
      if (this.#undoing === mine) this.#undoing = null;
    });
    this.#undoing = mine;
    return mine;
  }

  async #undo() {
    const { app } = this;
    const unsent = app.outbox.withdraw(app.who);
    if (unsent) {
      this.recent.takenBack(unsent.answers.map(({ id }) => id));
      const [first, ...rest] = unsent.cards;
      for (const card of rest) this.sources.queue.back(loaded(card));
      await this.#again(first);
      return true;
    }
    if (!(await app.outbox.empty(3000))) {
      app.complain("Nothing was taken back: the answers before must be saved first, and the server does not answer.");
      return false;
    }
    try {
      const { card, status } = await post("/api/undo", { who: app.who });
      app.heard(status);
      if (!card) {
        app.announce("There is nothing left to take back", { seen: true });
        return false;
      }
      this.recent.takenBack([card.id]);
      await this.#again(card);
      return true;
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      app.complain(`Perhaps nothing was taken back: ${sentence(failure.message)} The history shows what is saved.`);
      return false;
    }
  }

  /** Ask for an answer again. */
  async #again(card) {
    for (const source of Object.values(this.sources)) source.wanted(card.id);
    const shown = { ...loaded(card), source: card.given ? "asked" : "queue" };
    await shown.ready;
    this.#putBack();
    this.#source = "queue";
    this.#back = null;
    this.app.go({ view: "work", keep: true });
    this.#display(shown);
    this.app.announce(`Taken back: ${nameOf(card)}`);
  }

  /** Leave an image that was asked for. */
  leave() {
    if (this.stage.close) return this.stage.whole();
    if (this.#shown?.source === "asked") {
      this.#next();
      return this.app.view === this ? this.#fill({ check: true }) : null;
    }
    return this.#source === "looks" ? this.app.go({ view: "work" }) : null;
  }

  key({ label, command, search }, event) {
    if (label !== undefined) this.answer("label", label);
    else if (search !== undefined) this.classes.search("");
    else if (command === "skip" || command === "none") this.answer(command);
    else if (command === "undo") this.undo();
    else if (command === "filter") this.classes.search();
    else if (command === "zoom") this.stage.toggle();
    else if (command === "leave") this.leave();
    else return false;
    // The letter that begins a search goes on into its field.
    if (search === undefined) event.preventDefault();
    return true;
  }

  /** Enter keeps what is contradicted. */
  enter() {
    const card = this.#shown?.card;
    const look = this.#shown?.source === "looks" || card?.why.origin === "second look";
    if (!look || card.given?.kind !== "label") return false;
    this.answer("label", card.given.label);
    return true;
  }

  // -- what the server says ----------------------------------------------------------------------

  status(status, before) {
    this.#renewHints(status, before);
    if (before && status.round > before.round) this.#fill({ renew: true });
    else if (!this.#shown || this.sources[this.#source].length === 0) this.#fill();
    this.#draw();
  }

  /** A round may have ended since the image came on the screen: what its network thinks is known later. */
  async #renewHints(status, before) {
    const shown = this.#shown;
    // Of what has an answer the network thinks nothing: it was trained on it.
    if (!this.app.hints || !shown || shown.card.given || this.#asking) return;
    const grown = before && status.round > before.round;
    if (!grown && (shown.card.opinion || !status.curve.length)) return;
    this.#asking = true;
    try {
      const { key, opinion, nearest } = await get("/api/card", { id: shown.card.id });
      if (this.#shown !== shown || key !== shown.card.key) return;
      shown.card = { ...shown.card, opinion, nearest };
      this.#draw();
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
    } finally {
      this.#asking = false;
    }
  }

  saved(entry, reply) {
    this.recent.saved(entry, reply.given);
  }

  refused(entry) {
    this.recent.refused(entry);
    for (const { id } of entry.answers) this.sources.queue.wanted(id);
  }

  /** The image that is shown, if it is one to be answered: a new class may be for it. */
  get card() {
    return this.#shown?.card ?? null;
  }

  #pause() {
    if (document.hidden) this.#hiddenAt = performance.now();
    else if (this.#hiddenAt !== null) {
      this.#away += performance.now() - Math.max(this.#hiddenAt, this.#since);
      if (performance.now() - this.#hiddenAt > LENT) this.#stillOurs();
      this.#hiddenAt = null;
    }
  }
}
