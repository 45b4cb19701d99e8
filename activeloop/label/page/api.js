// What the server is asked, and how it can fail.

const PATIENCE = 20_000; // ms

const REFUSALS = [400, 409, 413]; // the request, or what it met, is at fault

export class Failure extends Error {
  /** `status` 0: no answer at all. `given`: the present answer, where another one was met. `said`: it is the
   * page's own server that says so, not a program that has its port meanwhile. */
  constructor(message, { status = 0, given = null, said = false } = {}) {
    super(message);
    this.status = status;
    this.said = said;
    this.given = given;
  }

  /** Whether the same request may well succeed later: whenever it was not understood and declined. */
  get passing() {
    return !(this.said && REFUSALS.includes(this.status));
  }
}

const OTHER_RUN = 421;
let run = null;

/** All that is posted is meant for this run: another one that is served here by now takes none of it. */
export const postTo = (directory) => (run = directory);

const listeners = [];

/** Be told after each request whether the server is "there", "gone", says "not allowed", or has "another run". */
export const onConnection = (listener) => listeners.push(listener);
const tell = (state, message) => listeners.forEach((listener) => listener(state, message));

async function request(path, options = {}) {
  let reply;
  let body = null;
  try {
    reply = await fetch(path, { ...options, cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    body = await reply.json().catch((error) => {
      if (error instanceof SyntaxError) return null; // what is in between may not speak JSON
      throw error;
    });
  } catch {
    tell("gone");
    throw new Failure("the server does not answer");
  }
  if (reply.ok && body !== null) {
    tell("there");
    return body;
  }
  const message = body?.error ?? `the server answered ${reply.status} ${reply.statusText}`.trim();
  // Too many requests (429): that says nothing about whether they would be allowed.
  if (reply.status !== 429) tell({ 403: "not allowed", [OTHER_RUN]: "another run" }[reply.status] ?? "there", message);
  throw new Failure(message, { status: reply.ok ? 0 : reply.status, given: body?.given ?? null, said: typeof body?.error === "string" });
}

export function get(path, parameters = {}) {
  const known = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined);
  return request(known.length ? `${path}?${new URLSearchParams(known)}` : path);
}

export const post = (path, body) =>
  request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ...body, run }) });

export const imageOf = (id, size = "large") => `/images/${id}?size=${size}`;
