// The stage with the image: whole, or close with the mouse, a finger or the arrow keys to move it.

import { h } from "./dom.js";

const CLOSE = 2.5; // times its size when whole, at least

export class Stage {
  constructor() {
    this.frame = h("div", { class: "pane", onclick: (event) => this.#click(event) });
    this.element = h("div", { class: "stage" }, this.frame);
    this.image = null;
    this.words = null;
  }

  show(image) {
    this.whole();
    this.image = image;
    this.words = null;
    this.frame.replaceChildren(image);
  }

  /** Show words instead of an image; made anew only if they are others. */
  say(words, make) {
    if (this.words === words) return;
    this.whole();
    this.image = null;
    this.words = words;
    this.frame.replaceChildren(h("div", { class: "empty" }, make()));
  }

  get close() {
    return this.frame.classList.contains("close");
  }

  /** Closer, around a point given in shares of the image; or whole again. */
  toggle(x = 0.5, y = 0.5) {
    if (!this.image?.naturalWidth) return;
    if (this.close) {
      this.whole();
      return;
    }
    const { width, height } = this.#drawn();
    const factor = Math.max(CLOSE, this.image.naturalWidth / width);
    this.frame.classList.add("close");
    this.frame.tabIndex = 0;
    this.image.style.width = `${width * factor}px`;
    this.image.style.height = `${height * factor}px`;
    this.frame.scrollLeft = x * width * factor - this.frame.clientWidth / 2;
    this.frame.scrollTop = y * height * factor - this.frame.clientHeight / 2;
    this.frame.focus({ preventScroll: true });
  }

  whole() {
    if (!this.close) return;
    this.frame.classList.remove("close");
    this.frame.removeAttribute("tabindex");
    this.image.style.width = this.image.style.height = "";
  }

  /** The image's size as it is drawn within its box. */
  #drawn() {
    const { naturalWidth, naturalHeight } = this.image;
    const box = this.image.getBoundingClientRect();
    const factor = Math.min(box.width / naturalWidth, box.height / naturalHeight);
    return { box, width: naturalWidth * factor, height: naturalHeight * factor };
  }

  #click(event) {
    if (event.target !== this.image) return;
    const { box, width, height } = this.#drawn();
    const [left, top] = [box.left + (box.width - width) / 2, box.top + (box.height - height) / 2];
    this.toggle((event.clientX - left) / width, (event.clientY - top) / height);
  }
}
