// One image at a time: those that the loop asks for, those of a second look, or one that was asked
// for.

import { Failure, get } from "./api.js";
import { loaded } from "./ahead.js";
import { Attention } from "./attention.js";
import { nameOf, plural, saidOf, sentence } from "./dom.js";
import { Opinions } from "./opinions.js";
import { isLook, Screen } from "./screen.js";
import { Sources } from "./sources.js";
import { Undo } from "./undo.js";

const GUARD = 400; // ms without keys after an image was replaced by no one's doing

export class Work {
  #shown = null; // {card, image, ready, there, source, again}
  #checking = null;
  #deafUntil = 0;
  #source = "queue"; // or "looks"
  #back = null; // where to go after an image that was asked for

  constructor(app) {
    this.app = app;
    this.attention = new Attention(() => this.#check());
    this.sources = new Sources(app, { current: () => this.#shown, asked: () => this.attention.lent() });
    this.opinions = new Opinions();
    this.undo = new Undo(app, (taken) => this.#again(taken));
    this.screen = new Screen(app, this);
    this.element = this.screen.element;
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
    this.screen.stage.whole();
  }

  /** The run is finished: what was asked is asked no more, and by the time it is, of a network that knows more. */
  over() {
    this.#shown = null;
    this.sources.clear();
  }

  /** Look at an image, and go on where one was going. */
  aside(id) {
    return this.open(id, this.#back);
  }

  /** Look at any image, answered or not. */
  async open(id, back = null) {
    try {
      // A correction names the answer that it corrects: it must have a number.
      await this.app.outbox.empty(3000);
      const card = await get("/api/card", { id });
      this.#putBack();
      this.#back = back;
      await this.#display(loaded(card), "asked");
      this.app.announce(`${nameOf(card)}${card.given ? `, answered: ${saidOf(card.given)}` : ""}`);
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      this.app.complain(`That image cannot be shown: ${sentence(failure.message)}`);
    }
  }

  get #ahead() {
    return this.sources.all[this.#source];
  }

  #putBack() {
    if (this.#shown) this.sources.back(this.#shown);
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
    const next = this.#ahead.take({ there: this.app.server.connection === "gone" });
    this.#shown = null;
    if (!next && this.app.status.finished !== null) this.app.go({ view: "end" });
    else if (!next) this.#draw();
    else {
      this.#display(next, this.#source);
      this.app.announce(nameOf(next.card));
    }
  }

  async #display(shown, source) {
    this.#shown = Object.assign(shown, { source });
    this.#begin();
    if (shown.there !== null) return;
    await shown.ready;
    if (this.#shown === shown) this.#begin();
  }

  /** From now on the person looks at it. */
  #begin() {
    this.attention.begin();
    this.#draw();
  }

  reload() {
    if (this.#shown) this.#display(loaded(this.#shown.card), this.#shown.source);
  }

  /** While the server was gone, an image may have failed to load; one started anew gives all to anybody. */
  back() {
    if (this.#shown && !this.#shown.image.naturalWidth) this.reload();
    this.#check();
  }

  /** Ask whether what is shown is this person's still. Another view asks when it is left: what it holds
   * itself, this would give back. */
  #check() {
    if (this.app.view !== this) return null;
    return (this.#checking ??= this.#fill({ check: true }).finally(() => (this.#checking = null)));
  }

  async #fill(how) {
    const source = this.#source;
    const ahead = this.#ahead;
    try {
      const ours = await ahead.fill(how);
      if (!ours && source === "queue" && this.#shown?.source === source) {
        // Without another one it is said why there is none.
        if (ahead.length) this.app.announce("That image went to somebody else", { seen: true });
        this.#deafUntil = performance.now() + GUARD;
        this.#next();
      } else if (!this.#shown && this.#source === source && this.app.view === this && ahead.length) {
        this.#next();
      } else if (!this.#shown) this.#draw();
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      // Said by the banner; the next status tries again.
      if (!this.#shown) this.#draw();
    }
  }

  #draw() {
    this.screen.draw(this.#shown, this.#source);
  }

  // -- what a person does ------------------------------------------------------------------------

  /** Answer the image that is shown, and go on with the next one at once. */
  async answer(kind, label = null) {
    if (this.undo.running) {
      // A screenful that is taken back is shown in the grid: the answer was not meant for what is here.
      if ((await this.undo.running) && this.app.view === this) this.answer(kind, label);
      return;
    }
    const shown = this.#shown;
    if (!shown || shown.there === null || performance.now() < this.#deafUntil || this.app.dialogOpen() || this.app.server.elsewhere) return;
    const { card } = shown;
    const { seconds } = this.attention;
    if (this.attention.lapsed && this.app.server.connection === "there") await this.#check();
    if (this.#shown !== shown) return; // it went to somebody else
    const said = { id: card.id, kind, label, seconds, replaces: card.given?.event ?? null };
    this.sources.answered([card.id]);
    const entry = this.app.outbox.add(this.app.who, [card], [said]);
    this.screen.recent.add(entry);
    if (kind === "label") this.screen.classes.flash(label);
    this.#next();
    if (this.app.view === this) this.#fill();
  }

  /** These were answered in the grid: the image that was left for it may be among them. */
  answered(ids) {
    this.sources.answered(ids);
    if (ids.includes(this.#shown?.card.id)) this.#shown = null;
  }

  /** What was taken back is to be answered again; several are shown as they were, in the grid. */
  async #again(taken) {
    const ids = taken.map(({ card }) => card.id);
    this.screen.recent.takenBack(ids);
    this.sources.wanted(ids);
    if (taken.length > 1) {
      this.app.go({ view: "grid", again: taken });
      this.app.announce(`Taken back: ${plural(taken.length, "answer")}`, { seen: true });
      return;
    }
    const [{ card }] = taken;
    const shown = Object.assign(loaded(card), { again: true });
    await shown.ready;
    this.#putBack();
    const looks = card.given !== null && this.app.view === this && this.#source === "looks";
    this.#source = looks ? "looks" : "queue";
    this.#back = null;
    this.app.go({ view: "work", source: this.#source, keep: true });
    this.#display(shown, card.given && !looks ? "asked" : this.#source);
    this.app.announce(`Taken back: ${nameOf(card)}`);
  }

  /** Leave an image that was asked for. */
  leave() {
    if (this.screen.stage.close) return this.screen.stage.whole();
    if (this.#shown?.source === "asked") {
      this.#next();
      return this.app.view === this ? this.#fill({ check: true }) : null;
    }
    return this.#source === "looks" ? this.app.go({ view: "work" }) : null;
  }

  key({ label, command, search }, event) {
    if (label !== undefined) this.answer("label", label);
    else if (search !== undefined) this.screen.classes.search("");
    else if (command === "skip" || command === "none") this.answer(command);
    else if (command === "undo") this.undo.once();
    else if (command === "filter") this.screen.classes.search();
    else if (command === "zoom") this.screen.stage.toggle();
    else if (command === "leave") this.leave();
    else return false;
    // The letter that begins a search goes on into its field.
    if (search === undefined) event.preventDefault();
    return true;
  }

  /** Enter keeps what is contradicted. */
  enter() {
    const card = this.#shown?.card;
    if (!isLook(this.#shown) || card.given?.kind !== "label") return false;
    this.answer("label", card.given.label);
    return true;
  }

  // -- what the server says ----------------------------------------------------------------------

  status(status, before) {
    const grown = before !== null && status.round > before.round;
    this.#renewHints(status, grown);
    if (grown) this.#fill({ renew: true });
    else if (!this.#shown || this.#ahead.length === 0) this.#fill();
    this.#draw();
  }

  async #renewHints(status, grown) {
    const shown = this.#shown;
    if (!this.app.hints || !shown) return;
    const card = await this.opinions.renewed(shown.card, status, grown);
    if (!card || this.#shown !== shown) return;
    shown.card = card;
    this.#draw();
  }

  saved(entry) {
    this.attention.worked();
    this.screen.recent.saved(entry);
  }

  refused(entry) {
    this.screen.recent.refused(entry);
    this.sources.wanted(entry.answers.map(({ id }) => id));
  }

  /** Whether an image is looked at closely. */
  get close() {
    return this.screen.stage.close;
  }

  /** The image that is shown, if it is one to be answered: a new class may be for it. */
  get card() {
    return this.#shown?.card ?? null;
  }
}
