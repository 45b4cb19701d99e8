// What is said about the image that is shown, or about there being none.

import { button, h, plural, saidOf, sentence, sure } from "./dom.js";

/** What is special about an image: it has an answer, is looked at again, or was asked for. */
export function askedOf({ card, source }, look, work) {
  const { given, opinion } = card;
  if (look && given) {
    const contradiction = opinion && `. The network, trained without this label, says ${opinion.predicted} (${sure(opinion.confidence)})`;
    return [
      h("p", {}, `${given.who} said `, h("b", {}, saidOf(given)), contradiction, ". Keep it, or choose another class."),
      given.kind === "label" && button(`Keep ${given.label}`, () => work.answer("label", given.label), { key: "Enter" }),
      opinion && opinion.predicted !== given.label && button(`Change to ${opinion.predicted}`, () => work.answer("label", opinion.predicted)),
    ];
  }
  if (given)
    return [
      h("p", {}, `Answered by ${given.who}: `, h("b", {}, saidOf(given)), ". Another answer corrects it."),
      button("Leave it so", () => work.leave(), { key: "Esc" }),
    ];
  return source === "asked" ? [h("p", {}, "This image has no answer yet."), button("Back", () => work.leave(), { key: "Esc" })] : [];
}

const STATES = {
  idle: "Waiting for answers",
  choosing: "Choosing the next images",
  "second looks": "Looking for labels to look at again",
  failed: "Failed",
};

/** What goes on behind the page; the heading above says that it is about training. */
export function behindWords({ state, detail }) {
  if (state === "training" || state === "finished") return sentence(detail);
  return detail && (state === "idle" || state === "failed") ? `${STATES[state]}: ${detail}` : STATES[state];
}

/** What a view without anything in it says. */
export const orGone = (text, { connection }) => (connection === "gone" ? "The server does not answer." : text);

/** Why there is no image, and what to do: `[heading, text, action]`. */
export function emptyWords(source, { status, options, server: { connection }, finishing }) {
  const { state, detail } = status.training;
  if (connection === "not allowed") return ["Not allowed", "The banner above says how to be let in.", null];
  if (connection === "another run") return ["Another run", "The banner above says what becomes of your answers.", null];
  if (connection !== "there") return ["The server does not answer", "What you have answered is kept in this browser and sent when it is back.", null];
  const from = options.second_looks_from;
  if (source === "looks" && status.labels < from) return ["No second looks", `Second looks begin at ${plural(from, "label")}: there ${status.labels === 1 ? "is" : "are"} ${status.labels} so far.`, "work"];
  if (source === "looks") return ["No second looks", `No label is contradicted strongly by a network that was trained without it. They are looked for after each round with ${plural(from, "label")} or more.`, "work"];
  if (finishing) return ["Finishing", detail ? sentence(detail) : "A last network is trained on all labels.", null];
  if (status.unlabelled === 0) return ["No images are left", `All have an answer: ${plural(status.labels, "label")}, ${status.skipped} skipped, ${status.none} of no class.`, "finish"];
  if (state === "failed") return ["No images are ready", "Training failed: the panel says why and what to do.", "train"];
  if (status.labels + status.skipped + status.none === 0) return ["Waiting for the first images", detail ? sentence(detail) : "They are being chosen. This takes a moment.", null];
  if (state === "idle") return ["Waiting for images", "Others have all that are left.", null];
  return ["Waiting for images", `The next ones are on their way. ${sentence(behindWords(status.training))}`, null];
}
