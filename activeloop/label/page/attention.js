// Whether somebody is at the page: how long they look at an image, and when they have come back.

const LENT = 240_000; // ms: what is left alone for five minutes goes to others
const SIGNS = ["keydown", "pointerdown", "pointermove", "visibilitychange"];

export class Attention {
  #since = 0;
  #away = 0;
  #hiddenAt = null;
  #lent = Date.now(); // a computer that sleeps stops performance.now()

  /** `back()`: somebody is back, and what is shown may have gone to somebody else. */
  constructor(back) {
    document.addEventListener("visibilitychange", () => this.#turn());
    const sign = () => document.hidden || !this.lapsed || back();
    for (const name of SIGNS) document.addEventListener(name, sign, { capture: true, passive: true });
  }

  /** From now on the person looks at it. */
  begin() {
    this.#since = performance.now();
    this.#away = 0;
  }

  /** So many so far, without the time in which the page was hidden. */
  get seconds() {
    return Math.max(0, Math.round(performance.now() - this.#since - this.#away) / 1000);
  }

  /** The server has said what this person has. */
  lent() {
    this.#lent = Date.now();
  }

  /** The server has an answer; what has lapsed before may have gone all the same. */
  worked() {
    if (!this.lapsed) this.lent();
  }

  /** Whether that is long ago. */
  get lapsed() {
    return Date.now() - this.#lent > LENT;
  }

  #turn() {
    if (document.hidden) this.#hiddenAt = performance.now();
    else if (this.#hiddenAt !== null) {
      this.#away += performance.now() - Math.max(this.#hiddenAt, this.#since);
      this.#hiddenAt = null;
    }
  }
}
