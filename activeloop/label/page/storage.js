// What a browser keeps over a reload. Where it keeps nothing, the page works without.

const PREFIX = "activeloop label ";

export function kept(name) {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

/** Keep a text; whether that worked. */
export function keep(name, text) {
  try {
    localStorage.setItem(PREFIX + name, text);
    return true;
  } catch {
    return false;
  }
}

export function forget(name) {
  try {
    localStorage.removeItem(PREFIX + name);
  } catch {
    // Nothing was kept.
  }
}

/** Names that begin so. */
export function namesOf(beginning) {
  try {
    const all = Array.from({ length: localStorage.length }, (_, n) => localStorage.key(n));
    return all.filter((name) => name.startsWith(PREFIX + beginning)).map((name) => name.slice(PREFIX.length));
  } catch {
    return [];
  }
}
