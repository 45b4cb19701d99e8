// The labelling page: starts, asks for a name, and shows one view at a time.

import { postTo } from "./api.js";
import { Delivery } from "./delivery.js";
import { help } from "./dialogs.js";
import { button, fetchAgain, h, sentence } from "./dom.js";
import { End } from "./end.js";
import { Grid } from "./grid.js";
import { History } from "./history.js";
import { Notices } from "./notices.js";
import { Orders } from "./orders.js";
import { Panel } from "./panel.js";
import { Server } from "./server.js";
import { listenToKeys } from "./shortcuts.js";
import { keep, keepHere, kept, keptHere } from "./storage.js";
import { Work } from "./work.js";

class App {
  status = null;
  options = null;
  who = null;
  view = null;
  hints = false;
  finishing = false; // by this window's order; a last network is being trained

  constructor() {
    this.notices = new Notices();
    document.body.append(this.notices.element, this.notices.live, this.notices.toast);
    this.server = new Server(this);
    this.orders = new Orders(this);
  }

  async start() {
    [this.options, this.status] = await this.server.first();
    postTo(this.status.directory);
    document.title = `${this.status.run} · label`;
    const hints = kept("hints");
    this.hints = hints === null ? this.options.opinions : hints === "shown";
    this.who = keptHere("name");
    if (this.who) keepHere("name", this.who);
    else await this.orders.changeName(true);
    this.views = { work: new Work(this), grid: new Grid(this), history: new History(this), end: new End(this) };
    this.panel = new Panel(this);
    this.delivery = new Delivery(this);
    this.#furnish();
    this.go({ view: this.status.finished === null ? "work" : "end" });
    this.#draw(null);
    listenToKeys(this);
    addEventListener("beforeunload", (event) => {
      // What is kept is sent when the page is opened again; what is not must not be lost in silence.
      if (this.outbox.size) event.preventDefault();
    });
    this.server.follow(() => {
      this.outbox.hurry();
      this.views.work.back();
      if (this.view !== this.views.work) this.view.back?.();
      Object.values(this.views).forEach(({ element }) => fetchAgain(element));
    });
  }

  #furnish() {
    const name = button(this.who, () => this.orders.changeName(), { class: "name", "aria-label": `You are ${this.who}. Change your name` });
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
      h("div", { class: "mine" }, this.delivery.element, name, button("Keys", () => help(), { key: "?" })),
    );
    document.body.prepend(header);
    this.notices.element.after(h("div", { class: "columns" }, this.main, this.panel.element));
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

  get outbox() {
    return this.delivery.outbox;
  }

  announce(text, how) {
    this.notices.announce(text, how);
  }

  complain(text) {
    this.notices.message(text);
  }

  /** Something cannot be shown; that the server is gone, the banner says. */
  complainOf(what, failure) {
    if (this.server.connection !== "gone") this.complain(`${what}: ${sentence(failure.message)}`);
  }

  dialogOpen() {
    return document.querySelector("dialog[open]") !== null;
  }

  toggleHints() {
    this.hints = !this.hints;
    keep("hints", this.hints ? "shown" : "hidden");
    this.view.status(this.status, null);
    this.announce(this.hints ? "What the network thinks is shown" : "What the network thinks is hidden");
  }

  /** Take in how the work goes. */
  hear(status) {
    const before = this.status;
    this.status = status;
    if (status.finished !== null || status.training.state === "failed") this.finishing = false;
    const over = before.finished === null && status.finished !== null;
    if (over) this.views.work.over();
    this.#draw(before);
    if (over) this.go({ view: "end" });
    if (before.finished !== null && status.finished === null && this.view === this.views.end) this.go({ view: "work" });
  }

  #draw(before) {
    const { status } = this;
    this.panel.draw(status);
    this.view.status(status, before);
    const { state, detail } = status.training;
    this.notices.banner("training", state === "failed" ? `Training failed: ${sentence(detail)} You can go on labelling.` : null, button("Try again", () => this.orders.train()));
    const looks = status.second_looks ? `Second looks (${status.second_looks})` : "Second looks";
    this.tabs.looks.firstChild.textContent = looks;
    this.tabs.grid.disabled = this.tabs.looks.disabled = status.finished !== null;
  }
}

new App().start();
