// Questions to the person, each a <dialog>: the browser keeps the focus in it, Escape closes it.

import { button, h } from "./dom.js";
import { GRID_WORDS, WORDS } from "./keys.js";

function open(dialog) {
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Whether the person says yes. */
export async function askedFor(heading, text, yes) {
  const dialog = h("dialog", { "aria-label": heading }, h("h2", {}, heading), h("p", {}, text));
  const close = (answer) => () => dialog.close(answer);
  dialog.append(h("div", { class: "actions" }, button(yes, close("yes"), { class: "main" }), button("Cancel", close(""))));
  return (await open(dialog)) === "yes";
}

/** A text the person types, or null. `wrong(text)` says what is wrong with it, or "". `value`: at first; null:
 * there is no way back. `choices`: the buttons as `[text, value]`, the first is Enter's. Resolves to `{text, choice}` or null. */
async function typed({ heading, text, label, value = "", longest, known = [], choices, wrong }) {
  let given = null;
  const trouble = h("p", { class: "trouble", role: "alert" });
  const field = h("input", { id: "typed", type: "text", maxlength: longest, autocomplete: "off", spellcheck: "false", list: known.length ? "known" : null, "aria-describedby": "typed-about" });
  field.value = value ?? "";
  const dialog = h("dialog", { "aria-label": heading });
  const take = (choice) => {
    const said = field.value.trim().replace(/\s+/g, " ").normalize("NFC");
    trouble.textContent = wrong(said);
    if (trouble.textContent) {
      field.focus();
      return;
    }
    given = { text: said, choice };
    dialog.close();
  };
  dialog.append(
    h(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          take(choices[0][1]);
        },
      },
      h("h2", {}, heading),
      h("p", { id: "typed-about" }, text),
      h("label", { for: "typed" }, label),
      field,
      known.length ? h("datalist", { id: "known" }, known.map((name) => h("option", { value: name }))) : null,
      trouble,
      h(
        "div",
        { class: "actions" },
        choices.map(([name, choice], n) => h("button", n ? { type: "button", onclick: () => take(choice) } : { type: "submit", class: "main" }, name)),
        value === null ? null : button("Cancel", () => dialog.close()),
      ),
    ),
  );
  await open(dialog);
  return given;
}

const LONGEST_NAME = 40;
const UNSEEN = /\p{C}/u;

export async function askName(name, people) {
  const here = new Set(people.filter((person) => person.here && person.name !== name).map((person) => person.name));
  let warned = null;
  const said = await typed({
    heading: "Who is labelling?",
    text: "Your name is kept with each of your answers. Several people may label at once, each with a name.",
    label: "Your name",
    value: name,
    longest: LONGEST_NAME,
    known: people.map((person) => person.name),
    choices: [["Start", "start"]],
    wrong: (text) => {
      if (!text) return "Type a name, as in “Ann”.";
      if (UNSEEN.test(text)) return "The name holds a character that cannot be seen. Type it anew.";
      if (!here.has(text) || warned === text) return "";
      warned = text;
      return `${text} is labelling in another window right now. If that is you, press Start again; if not, choose another name.`;
    },
  });
  return said?.text ?? null;
}

/** `{text, choice}`: the new class, and whether the image that is shown is of it ("use"). */
export const askClass = (classes, forImage) =>
  typed({
    heading: "A new class",
    text: "It is for everybody who labels, and stays as it is spelt: only a branch of the run can rename it.",
    label: "Its name",
    longest: 100,
    choices: forImage ? [["Add, and this image is one", "use"], ["Only add", "add"]] : [["Add", "add"]],
    wrong: (text) => {
      if (!text) return "Type the name of the class.";
      if (UNSEEN.test(text)) return "The name holds a character that cannot be seen. Type it anew.";
      const same = classes.find((name) => name.toLowerCase() === text.toLowerCase());
      return same === undefined ? "" : `There is a class “${same}” already.`;
    },
  });

const keyTable = (words) =>
  h("dl", { class: "keys" }, words.map(([keys, text]) => [h("dt", {}, keys.map((key) => [h("kbd", {}, key), " "])), h("dd", {}, text)]));

export function help() {
  const dialog = h(
    "dialog",
    { "aria-label": "Keys", class: "help" },
    h("h2", { tabindex: -1, autofocus: true }, "Keys"), // else the browser scrolls down to the button
    keyTable(WORDS),
    h("h3", {}, "In the grid"),
    keyTable(GRID_WORDS),
    h("p", { class: "quiet" }, "A round: a network learns from all labels so far, and chooses the next images. The first is round 0."),
    h("p", { class: "quiet" }, "Every answer is on the server's disk when the page says “all saved”. Until then this browser keeps it."),
  );
  dialog.append(h("div", { class: "actions" }, button("Close", () => dialog.close(), { class: "main" })));
  return open(dialog);
}
