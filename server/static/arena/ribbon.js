/** The latency ribbon of a turn: the client's clock, and what the server's trace adds. */

import { json } from "./stream.js";

/**
 * @typedef {Object} Measures Times are milliseconds of `performance.now()`.
 * @property {number} sent
 * @property {number} [answered] The response's headers.
 * @property {number} [text] The first text.
 * @property {number} [audio] The first piece of speech.
 * @property {number} [sound] The first sound from the loudspeaker.
 * @property {number} [written] The end of the stream.
 * @property {number} [silent] The end of the sound.
 * @property {number} stalls
 * @property {number} stalled Seconds.
 * @property {number | null} [rate] Seconds of speech per second of synthesis.
 * @property {number} [prompt] Tokens.
 * @property {number} [tokens]
 * @property {number} [cached]
 * @property {number} [gap] Milliseconds from the sound before to this turn's first.
 * @property {Trace} [trace]
 *
 * @typedef {Object} Trace Seconds, from the server's spans.
 * @property {number} [queue]
 * @property {number} [prefill]
 * @property {number} [firstPiece] From the first text to the first spoken piece.
 * @property {number} [perSecond] Tokens.
 */

let seen = 0; // number of the last request that the page has read
const PATIENCE = 250; // milliseconds in which a request ends after its stream

/**
 * The spans of a request that has ended; null where the server no longer has them.
 *
 * @param {string} requestId
 * @param {number} tries
 * @returns {Promise<Trace | null>}
 */
export async function traceOf(requestId, tries = 4) {
  const data = await json(`traces/data?since=${seen}`).catch(() => null);
  const found = data?.requests.find((/** @type {any} */ one) => one.request_id === requestId && one.finished);
  if (data && data.sequence < seen) seen = 0; // the server was started again
  if (!found) {
    if (!data || tries <= 1) return null;
    await new Promise((resolve) => setTimeout(resolve, PATIENCE));
    return traceOf(requestId, tries - 1);
  }
  seen = data.sequence;
  const first = (/** @type {string} */ name) => found.spans.find((/** @type {any} */ span) => span.name.split(" ")[0] === name);
  const event = (/** @type {any} */ span, /** @type {string} */ name) =>
    span?.events.find((/** @type {any} */ one) => one.name === name)?.at;
  const text = event(first("chat"), "first_token");
  const piece = event(first("speech"), "first_piece");
  return {
    queue: first("queue")?.duration,
    prefill: first("prefill")?.duration,
    firstPiece: piece === undefined || text === undefined ? undefined : Math.max(0, piece - text),
    perSecond: first("decode")?.attributes["mlx.decode.tokens_per_second"],
  };
}

/** The part of the bar that a fact is, or the last one before the moment that it states. @type {Record<string, string>} */
const ENDS = { queue: "queue", prefill: "prefill", "first text": "text", "first audio": "audio", "first sound": "buffer" };

/** @param {number} milliseconds */
export function duration(milliseconds) {
  return milliseconds < 995 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(milliseconds < 9950 ? 2 : 1)} s`;
}

/**
 * The stretches from the request to the first sound, in milliseconds.
 *
 * @param {Measures} measures
 * @returns {{name: string, length: number, label: string}[]}
 */
export function stretchesOf(measures) {
  const { sent, text, audio, sound, trace } = measures;
  if (text === undefined || audio === undefined) return [];
  const queue = (trace?.queue ?? 0) * 1000;
  const prefill = (trace?.prefill ?? 0) * 1000;
  const rest = Math.max(0, text - sent - queue - prefill);
  return [
    { name: "queue", length: queue, label: "Queue: waiting for the model" },
    { name: "prefill", length: prefill, label: "Prefill: the model reads the debate" },
    { name: "text", length: rest, label: trace ? "First text: network, and the first clause" : "First text" },
    { name: "audio", length: Math.max(0, audio - text), label: "First audio: the voice makes the first clause" },
    { name: "buffer", length: Math.max(0, (sound ?? audio) - audio), label: "Buffer: until it can play through" },
  ].filter((one) => one.length >= 0.5);
}

/**
 * Draw a turn's ribbon.
 *
 * @param {HTMLElement} place
 * @param {import("./prompts.js").Entry} turn
 */
export function drawRibbon(place, turn) {
  const measures = turn.measures;
  if (!measures) return;
  const stretches = stretchesOf(measures);
  const bar = element("div", "bar");
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", stretches.map(({ label, length }) => `${label}, ${duration(length)}`).join("; "));
  for (const { name, length, label } of stretches) {
    const part = element("span", `part ${name}`);
    part.style.flexGrow = String(length);
    part.title = `${label}: ${duration(length)}`;
    bar.append(part);
  }
  const facts = element("dl", "facts");
  for (const [name, value] of factsOf(measures)) {
    const fact = element("div", "fact");
    const term = element("dt", "", name);
    if (name in ENDS) term.prepend(element("span", `key-of ${ENDS[name]}`));
    fact.append(term, element("dd", "", value));
    facts.append(fact);
  }
  const link = element("a", "request", turn.requestId);
  link.setAttribute("href", `traces?request=${encodeURIComponent(turn.requestId)}`);
  link.setAttribute("target", "_blank");
  link.title = "The trace of this request";
  place.replaceChildren(...(stretches.length ? [bar] : []), facts, link);
}

/** @param {Measures} measures @returns {[string, string][]} */
function factsOf({ sent, text, audio, sound, rate, prompt, cached, tokens, stalls, stalled, gap, trace }) {
  /** @type {[string, string | false | undefined][]} */
  const facts = [
    ["queue", trace?.queue !== undefined && duration(trace.queue * 1000)],
    ["prefill", trace?.prefill !== undefined && duration(trace.prefill * 1000)],
    ["first text", text !== undefined && duration(text - sent)],
    ["first audio", audio !== undefined && duration(audio - sent)],
    ["first sound", sound !== undefined && duration(sound - sent)],
    ["gap", gap !== undefined && duration(gap)],
    ["tokens/s", trace?.perSecond !== undefined && trace.perSecond.toFixed(1)],
    ["tokens", tokens !== undefined && String(tokens)],
    ["cached", prompt !== undefined && `${cached} of ${prompt}`],
    ["voice", !!rate && `${rate.toFixed(1)}× real time`],
    ["stalls", stalls > 0 && `${stalls} (${duration(stalled * 1000)})`],
  ];
  return /** @type {[string, string][]} */ (facts.filter(([, value]) => value));
}

/** @param {string} tag @param {string} className @param {string} [text] */
function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
