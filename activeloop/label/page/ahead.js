// Cards that come next, with their images fetched and decoded before they are needed.

import { imageOf } from "./api.js";
import { nameOf } from "./dom.js";

const AHEAD = 5;
const MOST = 50; // asked for at once
const LOW = 3; // so many left: ask for more

const SMALL = 160; // pixels; what is smaller is shown pixel by pixel
const BLOWN_UP = 9; // times its size at most: beyond, the eye sees squares, and no image

/** A card with its image; `ready` when it can be drawn without delay, with whether it can. */
export function loaded(card, size = "large") {
  const image = new Image();
  image.alt = nameOf(card);
  image.draggable = false;
  image.src = imageOf(card.id, size);
  const shown = { card, image, ready: null, there: null }; // `there`: whether it can be drawn, once that is known
  shown.ready = image.decode().then(
    () => {
      shown.there = true;
      const longest = Math.max(image.naturalWidth, image.naturalHeight);
      if (longest <= SMALL) {
        image.classList.add("small");
        image.style.maxWidth = image.style.maxHeight = `${Math.max(SMALL, BLOWN_UP * longest)}px`;
      }
      return true;
    },
    () => (shown.there = false),
  );
  return shown;
}

export class Ahead {
  #cards = [];
  #filling = null;
  #again = null;
  #answered = new Set();

  /** `ask(count, keep)` gives cards, those of `keep` that are ours still first; `pending()` the ids
   * whose answers are on their way; `current()` the id that is shown as one of these, or null;
   * `missed()`: an image could not be fetched. */
  constructor({ ask, pending, current, missed }) {
    Object.assign(this, { ask, pending, current, missed });
  }

  get length() {
    return this.#cards.length;
  }

  /** The next card; the rest is filled up behind it. `there`: rather one whose image is there already,
   * while no other can be fetched. An image that could not be fetched before is now, perhaps. */
  take({ there = false } = {}) {
    const first = there ? this.#cards.findIndex((shown) => shown.there) : 0;
    const [next = null] = this.#cards.splice(Math.max(0, first), 1);
    return next?.there === false ? loaded(next.card) : next;
  }

  clear() {
    this.#cards = [];
  }

  /** Put a card back in front. */
  back(shown) {
    this.#answered.delete(shown.card.id);
    this.#cards = [shown, ...this.#cards.filter(({ card }) => card.id !== shown.card.id)];
  }

  /** An answer to it is on its way: a reply from before must not bring it again. */
  answered(id) {
    this.#answered.add(id);
    this.#cards = this.#cards.filter(({ card }) => card.id !== id);
  }

  /** It may come again. */
  wanted(id) {
    this.#answered.delete(id);
  }

  /** Have at least five ahead, if there are as many. `renew`: give up what is ahead now; `check`:
   * ask which are ours still, even if there are enough.
   * Resolves to whether the current card is ours still; rejects with a Failure. */
  fill({ renew = false, check = false } = {}) {
    if (!renew && !check && this.#cards.length > LOW) return Promise.resolve(true);
    if (this.#filling) {
      this.#again ??= this.#filling.catch(() => {}).then(() => {
        this.#again = null;
        return this.fill({ renew, check });
      });
      return this.#again;
    }
    this.#filling = this.#fill(renew).finally(() => (this.#filling = null));
    return this.#filling;
  }

  async #fill(renew) {
    const pending = [...this.pending()];
    this.#answered = new Set(pending);
    const current = this.current();
    const mine = [current, ...(renew ? [] : this.#cards.map(({ card }) => card.id))].filter((id) => id !== null);
    const keep = [...new Set([...mine, ...pending])].slice(0, MOST);
    const cards = await this.ask(Math.min(MOST, pending.length + AHEAD + 1), keep);
    const now = this.current();
    const known = new Map(this.#cards.map((shown) => [shown.card.id, shown]));
    this.#cards = cards
      .filter(({ id }) => id !== now && !this.#answered.has(id))
      .map((card) => reused(known.get(card.id), card) ?? this.#fetched(card));
    // What was put back or taken while the server answered is not known to it.
    return now === null || now !== current || cards.some(({ id }) => id === now);
  }

  #fetched(card) {
    const shown = loaded(card);
    shown.ready.then((there) => there || this.missed());
    return shown;
  }
}

/** A server that was started again may number other images, and has what could not be fetched meanwhile. */
function reused(shown, card) {
  if (!shown || shown.card.key !== card.key || shown.there === false) return null;
  return Object.assign(shown, { card });
}
