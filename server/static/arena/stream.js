/** Requests to the server, and the reader of streamed chat completions. */

/**
 * @typedef {Object} SpokenWord
 * @property {number} start_time Seconds on the answer's clock.
 * @property {number} end_time
 * @property {number} start_char Offset into the transcript, in code points.
 * @property {number} end_char
 *
 * @typedef {Object} Viseme
 * @property {string} viseme
 * @property {number} start_time
 * @property {number} end_time
 */

const KEY = "api-key"; // the page at /traces uses the same entry
const SILENCE = 10_000; // milliseconds without data after which the page checks whether the server answers
const PATIENCE = 10_000; // milliseconds in which a server answers that it lives

/** A refusal of the server, or a connection that broke off. */
export class RequestFailed extends Error {
  /**
   * @param {string} message
   * @param {{status?: number, code?: string, param?: string, requestId?: string}} [about]
   */
  constructor(message, about = {}) {
    super(message);
    this.status = about.status ?? 0;
    this.code = about.code ?? "";
    this.param = about.param ?? "";
    this.requestId = about.requestId ?? "";
  }
}

/** @param {string} key */
export function useKey(key) {
  sessionStorage.setItem(KEY, key);
}

/** Whether requests carry a key. */
export const hasKey = () => sessionStorage.getItem(KEY) !== null;

/** @returns {Record<string, string>} */
function authorization() {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/**
 * Send one request. Paths are relative, so that the page works behind a proxy that adds a prefix.
 *
 * @param {string} path
 * @param {{method?: string, body?: unknown, headers?: Record<string, string>, signal?: AbortSignal, keepalive?: boolean}} [options]
 *   `body`: a form, or what is sent as JSON. `keepalive`: the request outlives the page; its body has at most 64 KiB.
 * @returns {Promise<Response>}
 */
export async function request(path, { method, body, headers = {}, signal, keepalive } = {}) {
  const sent = { ...authorization(), ...headers };
  const form = body instanceof FormData;
  if (body !== undefined && !form) sent["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method: method ?? (body === undefined ? "GET" : "POST"),
      headers: sent,
      body: body === undefined || form ? body : JSON.stringify(body),
      signal,
      keepalive,
      cache: "no-store",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new RequestFailed("The server does not answer: it is restarting, or the network is down.");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

/** @param {Response} response */
async function refusal(response) {
  const said = await response.json().catch(() => null);
  const error = said?.error ?? {};
  return new RequestFailed(error.message ?? `The server answers ${response.status}.`, {
    status: response.status,
    code: error.code,
    param: error.param,
    requestId: response.headers.get("x-request-id") ?? "",
  });
}

/**
 * The JSON of a response.
 *
 * @param {string} path
 * @param {Parameters<typeof request>[1]} [options]
 */
export async function json(path, options) {
  return (await request(path, options)).json();
}

/**
 * The chunks of a streamed answer.
 *
 * @param {Response} response
 * @returns {AsyncGenerator<any>}
 * @throws {RequestFailed} The stream contains an error, or ends before `[DONE]`.
 */
export async function* chunks(response) {
  const requestId = response.headers.get("x-request-id") ?? "";
  const body = /** @type {ReadableStream<BufferSource>} */ (response.body);
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw new RequestFailed("The connection broke off.", { requestId });
    }
    if (part.done) throw new RequestFailed("The connection broke off.", { requestId });
    const lines = (rest + part.value).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (!line.startsWith("data: ")) continue;
      if (line === "data: [DONE]") return;
      const chunk = JSON.parse(line.slice(6));
      if (chunk.error) throw new RequestFailed(chunk.error.message, { code: chunk.error.code, requestId });
      yield chunk;
    }
  }
}

/** Notices a connection that died without an error: no data, and no answer to another request either. */
export class Watch {
  #timer = 0;
  #stopped = false;
  #heard = 0; // number of calls of `alive`

  /** @param {() => void} dead */
  constructor(dead) {
    this.dead = dead;
    this.alive();
  }

  /** Data has arrived. */
  alive() {
    this.#heard += 1;
    clearTimeout(this.#timer);
    if (!this.#stopped) this.#timer = window.setTimeout(() => this.#probe(), SILENCE);
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #probe() {
    const heard = this.#heard;
    try {
      await fetch("v1/health/live", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
      if (heard === this.#heard) this.alive();
    } catch {
      if (heard === this.#heard && !this.#stopped) this.dead();
    }
  }
}

/**
 * Signed 16-bit samples from base64.
 *
 * @param {string} text
 * @returns {Int16Array}
 */
export function pcm(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Int16Array(bytes.buffer, 0, bytes.length >> 1);
}
