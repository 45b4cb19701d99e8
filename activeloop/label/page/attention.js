// How long somebody looks at an image.

export class Attention {
  #since = 0;
  #away = 0;
  #hiddenAt = null;

  constructor() {
    document.addEventListener("visibilitychange", () => this.#turn());
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

  #turn() {
    if (document.hidden) this.#hiddenAt = performance.now();
    else if (this.#hiddenAt !== null) {
      this.#away += performance.now() - Math.max(this.#hiddenAt, this.#since);
      this.#hiddenAt = null;
    }
  }
}
