// Answers taken back: the last first, one after the other, or a screenful at once, as far as wanted.

import { Failure, post } from "./api.js";
import { askedFor } from "./dialogs.js";
import { sentence } from "./dom.js";

const FINISHED =
  "The run is finished, and its model has learnt from your answers. The last of them, or the last screenful of the grid, is taken back, to be answered anew.";

export class Undo {
  #running = null;

  /** `again(taken)`: these are to be answered again, each `{card, kind, label}`, as it was answered. */
  constructor(app, again) {
    Object.assign(this, { app, again });
  }

  /** Whether the last one asked for takes something back; null while none is on its way. */
  get running() {
    return this.#running;
  }

  /** Take back what was said last; how often it is called, so many times. */
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
    if (app.status.finished !== null && !(await askedFor("Take it back?", FINISHED, "Take back"))) return false;
    const unsent = app.outbox.withdraw(app.who);
    if (unsent) {
      await this.again(unsent.cards.map((card, n) => ({ card, kind: unsent.answers[n].kind, label: unsent.answers[n].label })));
      return true;
    }
    // Were it asked for later, the grid's next screenful would give back what this brings.
    await app.views.grid.filled;
    if (!(await app.outbox.empty(3000))) {
      app.complain("Nothing was taken back: the answers before must be saved first, and the server does not answer.");
      return false;
    }
    try {
      const { taken_back: taken, status } = await post("/api/undo", { who: app.who });
      app.server.heard(status);
      if (taken.length) await this.again(taken);
      else app.announce("There is nothing left to take back", { seen: true });
      return taken.length > 0;
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      app.complain(`Perhaps nothing was taken back: ${sentence(failure.message)} The history shows what is saved.`);
      return false;
    }
  }
}
