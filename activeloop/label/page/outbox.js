// Answers on their way: kept in the browser until the server has said that they are on disk.

import { Failure, post } from "./api.js";
import { forget, keep, kept, namesOf } from "./storage.js";

const FIRST_WAIT = 500; // ms, doubled with each failure in a row
const LONGEST_WAIT = 10_000;
const CANARY = "keeps"; // gone when all that the browser kept was cleared
const NAME = /^outbox (.*) \d{13,} [a-z0-9]+(?: \d{3})?$/s; // of an entry: its run, and when it was made

export class Outbox {
  #entries = [];
  #sending = false;
  #wake = null;
  #last = 0;
  #waiting = [];

  /** `place`: the run that the answers belong to. `told`: `changed()`, `saved(entry, reply)`,
   * `delayed(failure)` and `refused(entry, failure)`. Answers that an earlier page left unsent are
   * sent first; those that belong to other runs are in `others`, by run. */
  constructor(place, told) {
    this.place = `outbox ${place} `;
    this.told = told;
    keep(CANARY, "answers");
    this.others = new Map();
    for (const name of namesOf("outbox ").sort()) {
      const entry = read(name);
      if (entry?.run === place) this.#entries.push(entry);
      else if (entry) this.others.set(entry.run, [...(this.others.get(entry.run) ?? []), entry]);
    }
    this.#send();
  }

  /** Answers that the server has not acknowledged. */
  get size() {
    return this.#entries.reduce((sum, entry) => sum + entry.answers.length, 0);
  }

  /** Their ids. */
  get ids() {
    return new Set(this.#entries.flatMap((entry) => entry.answers.map((answer) => answer.id)));
  }

  /** Send answers to cards, all or none. */
  add(who, cards, answers) {
    this.#last = Math.max(Date.now(), this.#last + 1); // the order of names is the order of answers
    const name = `${this.place}${this.#last} ${Math.random().toString(36).slice(2)}`;
    const entry = written({ name, who, cards, answers, tried: false });
    this.#entries.push(entry);
    this.#tell("changed");
    this.#send();
    return entry;
  }

  /** Take back the last entry if it was never sent; null if there is none such. */
  withdraw(who) {
    const entry = this.#entries.at(-1);
    if (!entry || entry.tried || entry.who !== who) return null;
    this.#drop(entry);
    return entry;
  }

  /** Whether all is acknowledged within so many milliseconds. */
  async empty(patience) {
    if (!this.#entries.length) return true;
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), patience);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  /** Try again now: the server is heard of. */
  hurry() {
    this.#wake?.();
  }

  async #send() {
    if (this.#sending) return;
    this.#sending = true;
    try {
      await this.#sendAll();
    } finally {
      this.#sending = false;
    }
  }

  async #sendAll() {
    let wait = FIRST_WAIT;
    while (this.#entries.length) {
      const [entry] = this.#entries;
      if (kept(CANARY) === null) this.#keepAgain();
      // Another window has sent it, or taken it back.
      if (entry.kept && kept(entry.name) === null) {
        this.#drop(entry);
        continue;
      }
      try {
        entry.tried = true;
        // A server that was started again may number other images: a label stays with its image.
        const answers = entry.answers.map((answer, n) => ({ ...answer, key: entry.cards[n].key }));
        const reply = await post("/api/answer", { who: entry.who, answers });
        if (!Array.isArray(reply.given)) throw new Failure("what answers is not the server of this page");
        this.#drop(entry);
        this.#tell("saved", entry, reply);
        wait = FIRST_WAIT;
      } catch (failure) {
        if (!(failure instanceof Failure)) throw failure;
        if (failure.passing) {
          this.#tell("delayed", failure);
          await this.#pause(wait);
          wait = Math.min(2 * wait, LONGEST_WAIT);
        } else if (entry.answers.length > 1) {
          this.#split(entry);
        } else {
          this.#drop(entry);
          this.#tell("refused", entry, failure);
        }
      }
    }
  }

  /** One of many was refused: the others do not suffer for it. */
  #split(entry) {
    const rest = this.#entries.slice(1);
    this.#entries = [];
    entry.answers.forEach((answer, n) => this.#entries.push(this.#part(entry, answer, n)));
    forget(entry.name);
    this.#entries.push(...rest);
  }

  #part(entry, answer, n) {
    const name = `${entry.name} ${String(n).padStart(3, "0")}`;
    return written({ name, who: entry.who, cards: [entry.cards[n]], answers: [answer], tried: false, of: entry });
  }

  /** The browser's memory was cleared: here is a copy. */
  #keepAgain() {
    keep(CANARY, "answers");
    this.#entries.forEach(written);
  }

  #drop(entry) {
    this.#entries = this.#entries.filter((other) => other !== entry);
    forget(entry.name);
    this.#tell("changed");
    if (!this.#entries.length) this.#waiting.splice(0).forEach((done) => done());
  }

  /** What a listener makes of it must not keep answers from being sent. */
  #tell(what, ...how) {
    try {
      this.told[what](...how);
    } catch (error) {
      reportError(error);
    }
  }

  #pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** An entry that was kept, with its run; null, and no longer kept, if it makes no sense. */
function read(name) {
  try {
    const [, run] = NAME.exec(name);
    const { who, cards, answers } = JSON.parse(kept(name));
    if (cards.length !== answers.length) throw new RangeError(name);
    return { name, run, who, cards, answers, tried: true, kept: true };
  } catch {
    forget(name);
    return null;
  }
}

/** Keep these no longer. */
export const forgetAll = (entries) => entries.forEach(({ name }) => forget(name));

/** An entry, kept over a reload if the browser can. */
function written(entry) {
  const { name, who, cards, answers } = entry;
  entry.kept = keep(name, JSON.stringify({ who, cards, answers }));
  return entry;
}
