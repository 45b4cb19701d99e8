// Why an image is shown, and, for those who want to know, what the network thinks of it.

import { imageOf } from "./api.js";
import { bar, h, nameOf, plain, sure } from "./dom.js";

const LEAST = 0.01; // of a class that is worth a bar

const WAYS = {
  entropy: "the network is unsure among the classes",
  margin: "the network wavers between two classes",
  least_confidence: "the network is unsure of it",
  bald: "several networks disagree on it",
  vote_entropy: "several networks disagree on it",
  consensus_entropy: "several networks disagree on it",
  badge: "it would teach the network much, and is unlike the others chosen",
  k_center: "it is unlike everything labelled so far",
  typiclust: "it is typical of a group without labels",
  probcover: "many images without labels are like it",
  random: "drawn at random",
};

/** Why, in words; `again`: its answer was taken back. */
export function reasonOf({ origin, round, strategy, score }, again) {
  const way = strategy && WAYS[strategy] ? `${strategy}: ${WAYS[strategy]}` : strategy;
  const scored = typeof score === "number" ? `, score ${plain(score)}` : "";
  switch (origin) {
    case "initial":
      return `One of the first images, chosen to begin with${way ? ` (${way})` : ""}.`;
    case "strategy":
      return `Chosen in round ${round}${way ? ` by ${way}` : ""}${scored}.`;
    case "audit":
      return "Drawn at random, to estimate the accuracy.";
    case "waiting":
      return "Drawn at random, while the next images are being chosen.";
    case "grid":
      return "Shown in the grid of one predicted class.";
    case "second look":
      return "For a second look: a network trained without this label contradicts it.";
    default:
      return again ? "Here again, for its answer was taken back." : "Asked for by you.";
  }
}

const bars = ({ probs }) =>
  h(
    "ol",
    { class: "bars" },
    probs.filter(([, probability], n) => n === 0 || probability >= LEAST).map(([name, probability]) =>
      h("li", {}, h("span", { class: "name" }, name), bar(probability), h("span", { class: "number" }, sure(probability))),
    ),
  );

/** What the network thinks of a card and the labelled images that are most like it. */
export function hintsOf({ opinion, nearest }, open) {
  const parts = [];
  if (opinion) parts.push(h("h3", {}, "The network thinks"), bars(opinion));
  if (nearest.length)
    parts.push(
      h("h3", {}, "Most like it"),
      h(
        "ul",
        { class: "nearest" },
        nearest.map((near) =>
          h(
            "li",
            {},
            h(
              "button",
              { type: "button", title: `Image ${near.id}: look at it`, onclick: () => open(near.id) },
              thumbnail({ id: near.id, key: near.label }, `Image ${near.id}`),
              h("span", {}, near.label),
            ),
          ),
        ),
      ),
    );
  return parts.length ? parts : [h("p", { class: "quiet" }, "The network has not seen this image yet.")];
}

/** A small image, loaded when it comes into sight. */
export function thumbnail(card, alt = nameOf(card)) {
  const image = h("img", { src: imageOf(card.id, "small"), alt, loading: "lazy", decoding: "async", draggable: "false" });
  const settle = () => image.classList.toggle("small", Math.max(image.naturalWidth, image.naturalHeight) <= 64);
  image.addEventListener("load", settle);
  return image;
}
