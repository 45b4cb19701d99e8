// What the server says: how the work goes, asked again and again, and whether it is there at all.

import { Failure, get, onConnection } from "./api.js";
import { button, sentence } from "./dom.js";

const POLL = 2000; // ms
const POLL_BUSY = 1000;
const POLL_HIDDEN = 10_000;
const POLL_GONE = 1000;
const POLL_OUTSIDE = 5000; // strangers may not ask often
const NOT_ALLOWED = "This browser may not label here. Open the link that the terminal shows, in this browser: it lets you in.";
const GONE = "The server does not answer. Is it still running in its terminal? Go on: what you answer is kept in this browser, and sent when the server is back.";
const OTHER_RUN = "Another run is served here by now, and no answer goes into it from this page. What is not saved stays in this browser until the run of this page is served here again.";

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export class Server {
  connection = "there"; // or "gone", "not allowed", "another run"
  #asked = 0;
  #heard = 0;
  #wake = null;
  #back = null;

  constructor(app) {
    this.app = app;
    onConnection((state, message) => this.#connected(state, message));
  }

  /** Options and the first status, as soon as there is a server that gives them. */
  async first() {
    for (;;) {
      try {
        return [await get("/api/options"), await get("/api/status")];
      } catch (failure) {
        if (!(failure instanceof Failure)) throw failure;
        if (!failure.passing || failure.status === 404) this.app.complain(`The page cannot start: ${sentence(failure.message)}`);
        await pause(POLL);
      }
    }
  }

  /** Ask how the work goes, for ever. `back()`: the server was gone, and is there again. */
  async follow(back) {
    this.#back = back;
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
    for (;;) {
      const turn = ++this.#asked;
      try {
        const status = await get("/api/status", { who: this.app.who });
        if (turn > this.#heard) this.heard(status, turn);
        this.app.outbox.hurry();
      } catch (failure) {
        if (!(failure instanceof Failure)) reportError(failure); // the next may be shown all the same
      }
      await new Promise((resolve) => {
        this.#wake = resolve;
        setTimeout(resolve, this.#wait());
      });
    }
  }

  /** Ask now. */
  hurry() {
    this.#wake?.();
  }

  #wait() {
    const { state } = this.app.status.training;
    const busy = state === "training" || state === "choosing";
    const usual = document.hidden ? POLL_HIDDEN : busy ? POLL_BUSY : POLL;
    return { gone: POLL_GONE, "not allowed": POLL_OUTSIDE }[this.connection] ?? usual;
  }

  /** Take a status in; what was asked for before it and comes later is older, and left. */
  heard(status, turn = ++this.#asked) {
    if (!status) return;
    const ours = status.directory === this.app.status.directory;
    if (!ours || this.elsewhere) this.#connected(ours ? "ours" : "another run");
    if (!ours) return;
    this.#heard = turn;
    this.app.hear(status);
  }

  /** Whether the server is another run's by now: an answer here would be meant for other images. */
  get elsewhere() {
    return this.connection === "another run";
  }

  #connected(heard, message) {
    if (this.elsewhere && heard === "there") return; // whose server that is, its status says
    const { app } = this;
    const state = heard === "ours" ? "there" : heard;
    const back = this.connection !== "there" && state === "there";
    this.connection = state;
    const text = { there: null, gone: GONE, "not allowed": NOT_ALLOWED, "another run": OTHER_RUN }[state];
    app.notices.banner("connection", text, this.elsewhere && button("Load its page", () => location.reload()));
    if (state === "not allowed" && message) app.announce(message);
    if (back && this.#back) {
      this.#back();
      app.announce("The server is back", { seen: true });
      this.#checkVersion();
    }
  }

  /** A server that was started again may have another page than this one. */
  async #checkVersion() {
    const { options, notices } = this.app;
    const { page_version } = await get("/api/options").catch(() => options);
    const text = page_version === options.page_version ? null : "This page has a new version.";
    notices.banner("version", text, button("Load it", () => location.reload()));
  }
}
