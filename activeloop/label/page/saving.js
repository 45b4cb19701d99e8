// Answers as a file, in the columns that `python -m activeloop import` reads.

const COLUMNS = ["key", "label", "kind", "who", "seconds"];

const quoted = (value) => `"${String(value ?? "").replaceAll('"', '""')}"`;

/** Lines of CSV, the last answer to each image, of entries as the outbox has them. */
export function csvOf(entries) {
  const rows = new Map();
  for (const { who, cards, answers } of entries)
    answers.forEach(({ kind, label, seconds }, n) => rows.set(cards[n].key, { key: cards[n].key, label, kind, who, seconds }));
  const lines = [...rows.values()].map((row) => COLUMNS.map((column) => quoted(row[column])).join(","));
  return [COLUMNS.join(","), ...lines, ""].join("\n");
}

/** Have the browser save a text as a file. */
export function saveFile(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000); // some browsers ask first where to put it
}

/** A path as it is typed in a shell. */
export const typed = (path) => (/^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`);
