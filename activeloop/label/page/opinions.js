// What the network thinks of the image that is shown: known later than the image, where a round has
// ended since.

import { Failure, get } from "./api.js";

export class Opinions {
  #asking = false;

  /** The card with what the network thinks by now; null: nothing new. `grown`: a round has ended. */
  async renewed(card, status, grown) {
    // Of what has an answer the network thinks nothing: it was trained on it.
    if (card.given || this.#asking) return null;
    if (!grown && (card.opinion || !status.curve.length)) return null;
    this.#asking = true;
    try {
      const { key, opinion, nearest } = await get("/api/card", { id: card.id });
      return key === card.key ? { ...card, opinion, nearest } : null;
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      return null;
    } finally {
      this.#asking = false;
    }
  }
}
