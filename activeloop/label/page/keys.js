// Which key does what. Keys are never taken from a field or a dialog.

const COMMANDS = {
  s: "skip",
  n: "none",
  "+": "add class",
  u: "undo",
  Backspace: "undo",
  g: "grid",
  h: "history",
  l: "second looks",
  p: "hints",
  z: "zoom",
  "/": "filter",
  "?": "help",
  Escape: "leave",
};

const DIGITS = [..."123456789"];
const LETTERS = [..."abcdefghijklmnopqrstuvwxyz"].filter((letter) => !(letter in COMMANDS));

/** The key of each class, null for those beyond the keys. With more classes than keys no letter is
 * one's own: letters search. */
export function classKeys(classes) {
  const keys = classes.length > DIGITS.length + LETTERS.length ? DIGITS : [...DIGITS, ...LETTERS];
  return classes.map((_, n) => keys[n] ?? null);
}

/** What a key asks for: `{label}`, `{command}`, `{search}` with the letter to begin with, or null. */
export function meaningOf(event, classes) {
  if (event.defaultPrevented || event.isComposing || taken(event.target)) return null;
  if (event.ctrlKey || event.metaKey || event.altKey)
    return event.key.toLowerCase() === "z" && !event.shiftKey && !event.altKey ? { command: "undo" } : null;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const n = classKeys(classes).indexOf(key);
  if (n >= 0) return { label: classes[n] };
  if (Object.hasOwn(COMMANDS, key)) return { command: COMMANDS[key] };
  return LETTERS.includes(key) && classes.length > DIGITS.length + LETTERS.length ? { search: event.key } : null;
}

const taken = (target) =>
  target instanceof Element && target.closest("input, textarea, select, dialog, [contenteditable]") !== null;

/** All keys in words, for the help. */
export const WORDS = [
  [["1", "…", "9"], "the class with that number; letters for the classes after the ninth"],
  [["/"], "search for a class; Enter takes the first one found (with more classes than keys, any free letter searches)"],
  [["s"], "skip this image"],
  [["n"], "none of these classes"],
  [["+"], "a new class"],
  [["u", "Backspace", "Ctrl-Z"], "take back the last answer, or the last screenful of the grid, as far back as you like"],
  [["z"], "closer, or the whole image again (or click on it)"],
  [["p"], "show or hide what the network thinks"],
  [["g"], "grid: a screenful of images that the network takes for one class"],
  [["h"], "history: look up and correct answers, or go to an image"],
  [["l"], "second looks: labels that the network contradicts"],
  [["Esc"], "back to one image"],
  [["?"], "this help"],
];

export const GRID_WORDS = [
  [["←", "→", "↑", "↓"], "to another image"],
  [["Space"], "leave this image out, or take it in again"],
  [["1", "…", "9"], "this image is of that class"],
  [["s", "n"], "skip it; none of these"],
  [["Enter"], "confirm the screenful"],
];
