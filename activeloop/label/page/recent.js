// The last answers in a row, each marked when it is safe.

import { imageOf } from "./api.js";
import { h, nameOf, saidOf } from "./dom.js";

const MOST = 6;

/** Whether it was sent in this entry, or in this part of one that was refused as a whole. */
const sentIn = (item, entry) => item.entry === entry || (item.entry === entry.of && item.id === entry.answers[0].id);

export class Recent {
  #items = []; // newest first: {id, entry, mark, element}

  constructor(open) {
    this.open = open;
    this.list = h("ol", { class: "recent", "aria-label": "Your last answers, newest first" });
    this.element = this.list;
  }

  /** The last answers of an entry; `size` of the images that were just shown: the browser has those,
   * whether the server is there or not. */
  add(entry, size = "large") {
    const first = Math.max(0, entry.answers.length - MOST);
    entry.answers.slice(first).forEach((said, n) => this.#add(entry, entry.cards[first + n], said, size));
  }

  #add(entry, card, said, size) {
    const mark = h("span", { class: "mark" });
    const image = h("img", { src: imageOf(card.id, size), alt: "", draggable: "false" });
    const element = h(
      "li",
      {},
      h(
        "button",
        { type: "button", "aria-label": `${nameOf(card)}: ${saidOf(said)}. Correct it`, title: "Correct it", onclick: () => this.open(card) },
        image,
        h("span", { class: "said" }, saidOf(said)),
        mark,
      ),
    );
    this.#remove(card.id);
    this.#items.unshift({ id: card.id, entry, mark, element });
    this.#mark(mark, "saving");
    this.list.prepend(element);
    while (this.#items.length > MOST) this.#items.pop().element.remove();
  }

  saved(entry) {
    for (const item of this.#items) if (sentIn(item, entry)) this.#mark(item.mark, "saved");
  }

  refused(entry) {
    for (const item of this.#items) if (sentIn(item, entry)) this.#mark(item.mark, "not saved");
  }

  takenBack(ids) {
    ids.forEach((id) => this.#remove(id));
  }

  #remove(id) {
    const item = this.#items.find((other) => other.id === id);
    item?.element.remove();
    this.#items = this.#items.filter((other) => other !== item);
  }

  #mark(mark, state) {
    mark.className = `mark ${state.replace(" ", "-")}`;
    mark.textContent = { saving: "…", saved: "✓", "not saved": "✗ not saved" }[state];
    mark.title = state;
  }
}
