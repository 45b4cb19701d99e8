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

/** What this window keeps, or else what the browser's last one kept. */
export function keptHere(name) {
  try {
    return sessionStorage.getItem(PREFIX + name) ?? kept(name);
  } catch {
    return kept(name);
  }
}

/** Keep a text for this window, and for those that are opened from now on. */
export function keepHere(name, text) {
  keep(name, text);
  try {
    sessionStorage.setItem(PREFIX + name, text);
  } catch {
    // Then it is the browser's.
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
