// The labelling page: starts, asks for a name, shows one view at a time, and follows the server.

import { Failure, get, onConnection, post, postTo } from "./api.js";
import { askClass, askedFor, askName, help } from "./dialogs.js";
import { button, fileName, h, plural, refill, saidOf, sentence } from "./dom.js";
import { End } from "./end.js";
import { Grid } from "./grid.js";
import { History } from "./history.js";
import { Notices } from "./notices.js";
import { Outbox } from "./outbox.js";
import { Panel } from "./panel.js";
import { listenToKeys } from "./shortcuts.js";
import { keep, keepHere, kept, keptHere } from "./storage.js";
import { Work } from "./work.js";

const POLL = 2000; // ms
const POLL_BUSY = 1000;
const POLL_HIDDEN = 10_000;
const POLL_GONE = 1000;
const POLL_OUTSIDE = 5000; // strangers may not ask often
const NOT_ALLOWED = "This browser may not label here. Open the link that the terminal shows, in this browser: it lets you in.";
const GONE = "The server does not answer. Is it still running in its terminal? Go on: what you answer is kept in this browser, and sent when the server is back.";
const OTHER_RUN = "Another run is served here by now, and no answer goes into it from this page. What is not saved stays in this browser until the run of this page is served here again.";

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

class App {
  status = null;
  options = null;
  who = null;
  view = null;
  hints = false;
  connection = "there";
  finishing = false; // by this window's order; a last network is being trained
  #asked = 0;
  #heard = 0;
  #wakePoll = null;

  constructor() {
    this.notices = new Notices();
    document.body.append(this.notices.element, this.notices.live, this.notices.toast);
    onConnection((state, message) => this.#connected(state, message));
  }

  async start() {
    const begin = async () => [await get("/api/options"), await get("/api/status")];
    for (;;) {
      try {
        [this.options, this.status] = await begin();
        break;
      } catch (failure) {
        if (!(failure instanceof Failure)) throw failure;
        if (!failure.passing || failure.status === 404) this.complain(`The page cannot start: ${sentence(failure.message)}`);
        await pause(POLL);
      }
    }
    postTo(this.status.directory);
    document.title = `${this.status.run} · label`;
    const hints = kept("hints");
    this.hints = hints === null ? this.options.opinions : hints === "shown";
    this.who = keptHere("name");
    if (this.who) keepHere("name", this.who);
    else await this.changeName(true);
    this.outbox = new Outbox(this.status.directory, {
      changed: () => this.#drawSaved(),
      saved: (entry, reply) => this.#saved(entry, reply),
      delayed: (failure) => this.#delayed(failure),
      refused: (entry, failure) => this.#refused(entry, failure),
    });
    this.#furnish();
    this.go({ view: this.status.finished === null ? "work" : "end" });
    this.#drawStatus(null);
    listenToKeys(this);
    addEventListener("beforeunload", (event) => {
      // What is kept is sent when the page is opened again; what is not must not be lost in silence.
      if (this.outbox.size) event.preventDefault();
    });
    addEventListener("online", () => this.#wakePoll?.());
    document.addEventListener("visibilitychange", () => document.hidden || this.#wakePoll?.());
    this.#poll();
  }

  #furnish() {
    this.views = { work: new Work(this), grid: new Grid(this), history: new History(this), end: new End(this) };
    this.panel = new Panel(this);
    this.saved = h("p", { class: "saved", role: "status" });
    this.name = button(this.who, () => this.changeName(), { class: "name", "aria-label": `You are ${this.who}. Change your name` });
    const tab = (text, place, key) => button(text, () => this.go(place), { key });
    this.tabs = {
      work: tab("One image", { view: "work" }, "Esc"),
      grid: tab("Grid", { view: "grid" }, "g"),
      history: tab("History", { view: "history" }, "h"),
      looks: tab("Second looks", { view: "work", source: "looks" }, "l"),
    };
    this.main = h("main", {});
    const header = h(
      "header",
      {},
      h("p", { class: "run" }, this.status.run),
      h("nav", { "aria-label": "Views" }, Object.values(this.tabs)),
      h("div", { class: "mine" }, this.saved, this.name, button("Keys", () => help(), { key: "?" })),
    );
    document.body.prepend(header);
    this.notices.element.after(h("div", { class: "columns" }, this.main, this.panel.element));
    this.#drawSaved();
  }

  // -- what views use ----------------------------------------------------------------------------

  /** Show a view: `{view: "work" | "grid" | "history" | "end", ...what its show takes}`. */
  go({ view, ...how }) {
    const next = this.views[view];
    const current = view === "work" && how.source === "looks" ? "looks" : view;
    for (const [name, tab] of Object.entries(this.tabs)) {
      if (name === current) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    if (this.view !== next) {
      this.view?.hide();
      this.view = next;
      this.main.replaceChildren(next.element);
      this.scrollTo([0, 0]);
      this.announce(next.element.getAttribute("aria-label"));
    }
    next.show(how);
  }

  /** How far down the view is: on a wide screen it scrolls by itself, on a small one the page does. */
  scrolled() {
    return [this.main.scrollTop, window.scrollY];
  }

  scrollTo([inside, page]) {
    this.main.scrollTop = inside;
    window.scrollTo(0, page);
  }

  /** Whether the server is another run's by now: an answer here would be meant for other images. */
  get elsewhere() {
    return this.connection === "another run";
  }

  announce(text, how) {
    this.notices.announce(text, how);
  }

  complain(text) {
    this.notices.message(text);
  }

  dialogOpen() {
    return document.querySelector("dialog[open]") !== null;
  }

  /** Answers to these are on their way: they are not to be shown again. */
  answered(ids) {
    for (const id of ids) for (const source of Object.values(this.views.work.sources)) source.answered(id);
  }

  toggleHints() {
    this.hints = !this.hints;
    keep("hints", this.hints ? "shown" : "hidden");
    this.view.status(this.status, null);
    this.announce(this.hints ? "What the network thinks is shown" : "What the network thinks is hidden");
  }

  async addClass() {
    const card = this.view === this.views.work ? this.view.card : null;
    const said = await askClass(this.status.classes, card !== null);
    if (!said) return;
    await this.#order("The class was not added", async () => {
      const { classes } = await post("/api/classes", { who: this.who, name: said.text });
      this.status = { ...this.status, classes };
      this.#drawStatus(this.status);
      if (said.choice !== "use") return;
      if (this.view === this.views.work && this.view.card?.id === card.id) this.view.answer("label", said.text);
    });
  }

  train() {
    return this.#order("No training was begun", async () => this.heard(await post("/api/train", { who: this.who })));
  }

  async finish() {
    const text = `The run ends with ${plural(this.status.labels, "label")} and its model is written. You can go on later.`;
    if (!(await askedFor("Finish?", text, "Finish"))) return;
    await this.#order("The run was not finished", async () => {
      if (!(await this.outbox.empty(5000))) throw new Failure("some answers are not saved yet");
      const status = await post("/api/finish", { who: this.who });
      this.finishing = true;
      this.heard(status);
      if (this.status.finished === null) this.go({ view: "work" });
    });
  }

  reopen() {
    return this.#order("The run was not opened again", async () => {
      this.heard(await post("/api/reopen", { who: this.who }));
      if (this.status.finished === null) this.go({ view: "work" });
    });
  }

  async changeName(must = false) {
    let name = null;
    do name = await askName(this.who, this.status.people);
    while (must && name === null); // without a name there is nothing behind the question
    if (name === null || name === this.who) return;
    const first = this.who === null;
    this.who = name;
    keepHere("name", name);
    // What is ahead was lent to another name.
    if (!first) location.reload();
  }

  async #order(what, order) {
    try {
      await order();
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      this.complain(`${what}: ${sentence(failure.message)}`);
    }
  }

  // -- what the server says ----------------------------------------------------------------------

  async #poll() {
    for (;;) {
      const turn = ++this.#asked;
      try {
        const status = await get("/api/status", { who: this.who });
        if (turn > this.#heard) this.heard(status, turn);
        this.outbox.hurry();
      } catch (failure) {
        if (!(failure instanceof Failure)) throw failure;
      }
      const busy = this.status.training.state === "training" || this.status.training.state === "choosing";
      const usual = document.hidden ? POLL_HIDDEN : busy ? POLL_BUSY : POLL;
      const wait = { gone: POLL_GONE, "not allowed": POLL_OUTSIDE }[this.connection] ?? usual;
      await new Promise((resolve) => {
        this.#wakePoll = resolve;
        setTimeout(resolve, wait);
      });
    }
  }

  /** Take a status in; what was asked for before it and comes later is older, and left. */
  heard(status, turn = ++this.#asked) {
    if (!status) return;
    const ours = status.directory === this.status.directory;
    if (!ours || this.elsewhere) this.#connected(ours ? "ours" : "another run");
    if (!ours) return;
    this.#heard = turn;
    const before = this.status;
    this.status = status;
    if (status.finished !== null || status.training.state === "failed") this.finishing = false;
    this.#drawStatus(before);
    if (before.finished === null && status.finished !== null) this.go({ view: "end" });
    if (before.finished !== null && status.finished === null && this.view === this.views.end) this.go({ view: "work" });
  }

  #drawStatus(before) {
    const { status } = this;
    this.panel.draw(status);
    this.view.status(status, before);
    const { state, detail } = status.training;
    this.notices.banner("training", state === "failed" ? `Training failed: ${sentence(detail)} You can go on labelling.` : null, button("Try again", () => this.train()));
    const looks = status.second_looks ? `Second looks (${status.second_looks})` : "Second looks";
    this.tabs.looks.firstChild.textContent = looks;
    this.tabs.grid.disabled = this.tabs.looks.disabled = status.finished !== null;
  }

  #connected(heard, message) {
    if (this.elsewhere && heard === "there") return; // whose server that is, its status says
    const state = heard === "ours" ? "there" : heard;
    const back = this.connection !== "there" && state === "there";
    this.connection = state;
    const text = { there: null, gone: GONE, "not allowed": NOT_ALLOWED, "another run": OTHER_RUN }[state];
    this.notices.banner("connection", text, this.elsewhere && button("Load its page", () => location.reload()));
    if (state === "not allowed" && message) this.announce(message);
    if (back && this.outbox) {
      this.outbox.hurry();
      this.views?.work.back();
      this.announce("The server is back", { seen: true });
      this.#checkVersion();
    }
  }

  /** A server that was started again may have another page than this one. */
  async #checkVersion() {
    const { page_version } = await get("/api/options").catch(() => this.options);
    const text = page_version === this.options.page_version ? null : "This page has a new version.";
    this.notices.banner("version", text, button("Load it", () => location.reload()));
  }

  // -- answers on their way ----------------------------------------------------------------------

  #saved(entry, reply) {
    this.notices.banner("answers", null);
    this.views.work.saved(entry, reply);
    this.heard(reply.status);
  }

  #delayed(failure) {
    if (failure.status !== 0 && this.connection === "there")
      this.notices.banner("answers", `Answers cannot be saved at the moment: ${sentence(failure.message)} They are kept in this browser, and tried again.`);
    this.#drawSaved();
  }

  #refused(entry, failure) {
    this.notices.banner("answers", null);
    this.views?.work.refused(entry);
    const [card] = entry.cards;
    const [answer] = entry.answers;
    const mine = entry.answers.length === 1 ? `“${saidOf(answer)}” for ${fileName(card.key)}` : plural(entry.answers.length, "answer");
    const why = failure.given ? `${failure.given.who} has said “${saidOf(failure.given)}” meanwhile` : failure.message;
    const look = button("Look at it", (event) => {
      event.target.closest(".notice").remove();
      this.go({ view: "work", image: card.id });
    });
    this.notices.message(`Not saved: ${mine}. ${sentence(why)}`, look);
  }

  #drawSaved() {
    if (!this.saved) return;
    const { size } = this.outbox;
    const trouble = size > 0 && this.connection !== "there";
    this.saved.className = `saved ${trouble ? "trouble" : size ? "busy" : "all"}`;
    refill(this.saved, size, () => (size ? `${size} saving…` : "all saved"));
  }
}

new App().start();
