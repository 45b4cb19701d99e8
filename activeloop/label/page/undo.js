// Answers taken back: the last first, one after the other, as far as wanted.

import { Failure, post } from "./api.js";
import { sentence } from "./dom.js";

export class Undo {
  #running = null;

  /** `again(cards)`: these are to be answered again, the first of them now. */
  constructor(app, again) {
    Object.assign(this, { app, again });
  }

  /** Whether the last one asked for takes something back; null while none is on its way. */
  get running() {
    return this.#running;
  }

  /** Take back the last answer; how often it is called, so many. */
  once() {
    const one = this.#running ? this.#running.then(() => this.#once()) : this.#once();
    const mine = one.finally(() => {
      if (this.#running === mine) this.#running = null;
    });
    this.#running = mine;
    return mine;
  }

  async #once() {
    const { app } = this;
    const unsent = app.outbox.withdraw(app.who);
    if (unsent) {
      await this.again(unsent.cards);
      return true;
    }
    if (!(await app.outbox.empty(3000))) {
      app.complain("Nothing was taken back: the answers before must be saved first, and the server does not answer.");
      return false;
    }
    try {
      const { card, status } = await post("/api/undo", { who: app.who });
      app.server.heard(status);
      if (card) await this.again([card]);
      else app.announce("There is nothing left to take back", { seen: true });
      return card !== null;
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      app.complain(`Perhaps nothing was taken back: ${sentence(failure.message)} The history shows what is saved.`);
      return false;
    }
  }
}
