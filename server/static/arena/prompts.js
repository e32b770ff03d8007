/** What each speaker and the moderator read: a persona, and the debate so far from that side. */

import { described } from "./pictures.js";

/**
 * @typedef {0 | 1} Side
 * @typedef {import("./pictures.js").Picture} Picture
 * @typedef {{type: "text", text: string} | {type: "image_url", image_url: {url: string}}} Part
 *
 * @typedef {Object} Persona
 * @property {string} name
 * @property {string} prompt
 * @property {string} voice
 * @property {string} model
 * @property {{model: string}} [speech] The model that has the voice, where there are several.
 * @property {boolean} [sees] The model reads pictures.
 *
 * @typedef {Object} Settings
 * @property {string} topic
 * @property {[Persona, Persona]} personas
 * @property {number} rounds
 * @property {number} temperature
 * @property {number} seconds Longest turn.
 * @property {import("./documents.js").DocumentStore | null} [documents] What the speakers argue with; null: the server has lost it.
 * @property {Picture} [picture] What both speakers see from the start.
 *
 * @typedef {Object} Entry One contribution to the debate.
 * @property {"turn" | "closing" | "moderator" | "question" | "picture" | "illustration"} kind `closing`: what a speaker adds in the last
 *   ten seconds. `picture`: the audience shows one. `illustration`: the speaker shows one.
 * @property {Side} side The speaker; of the others, the side that the words are for.
 * @property {string} text As it was written; of a speaker, what the model wrote.
 * @property {string} heard What was heard of it, and all that later prompts hold.
 * @property {boolean} interrupted
 * @property {boolean} broken The connection ended before the turn did.
 * @property {string} audioId
 * @property {string} completionId
 * @property {number} playedMs
 * @property {number} duration Seconds of speech.
 * @property {import("./stream.js").SpokenWord[]} words
 * @property {import("./stream.js").Viseme[]} visemes
 * @property {string} requestId
 * @property {import("./ribbon.js").Measures | null} measures
 * @property {string} key Name of its audio in the store.
 * @property {import("./documents.js").Passage[]} [passages] What the speaker read of the documents.
 * @property {Picture} [picture] What is shown.
 */

/** @param {Settings} settings @param {Side} side */
function persona(settings, side) {
  const own = settings.personas[side];
  const other = settings.personas[side ? 0 : 1];
  return [
    `You are ${own.name}, a speaker in a live debate. ${own.prompt}`,
    `The motion is: "${settings.topic}" Your opponent is ${other.name}.`,
    "Answer your opponent's last point, then make one new point of your own. " +
      "Say two or three short sentences of plain speech: no lists, no headings, no stage directions. " +
      "Speak in the first person, and do not repeat what was said before.",
  ].join("\n");
}

/**
 * The messages of one speaker's next turn. The beginning stays the same from turn to turn, so that the server's prefix
 * cache holds it. Neighbouring messages of one role are joined: many chat templates demand that roles alternate.
 *
 * @param {Settings} settings
 * @param {Entry[]} entries
 * @param {Side} side
 */
export function messagesFor(settings, entries, side) {
  /** @type {{role: string, content: (string | Picture)[], audio?: {id: string, played_ms: number}}[]} */
  const messages = [{ role: "system", content: [persona(settings, side)] }];
  const user = (/** @type {(string | Picture)[]} */ ...content) => {
    const last = messages[messages.length - 1];
    if (last.role === "user") last.content.push(...content);
    else messages.push({ role: "user", content });
  };
  if (settings.picture) user("Both speakers see this picture:", settings.picture);
  const motion = settings.documents ? ` The motion: ${settings.topic}` : ""; // the documents are searched with this turn
  if (side === 0) user(`${settings.personas[0].name}, you have the floor. Make your case.${motion}`);
  for (const entry of entries) {
    if (!entry.heard) continue;
    const spoken = entry.kind === "turn" || entry.kind === "closing";
    if (entry.picture) user(`${shower(settings, entry, side)} this picture:`, entry.picture);
    else if (spoken && entry.side === side) messages.push(own(entry));
    else if (spoken) user(entry.heard);
    else if (entry.kind === "question") user(`A question from the audience: ${entry.heard}`);
    else if (entry.side === side) user(entry.heard);
  }
  if (messages[messages.length - 1].role !== "user") user("The moderator: please go on.");
  const sees = !!settings.personas[side].sees;
  return messages.map((message) => ({ ...message, content: contentOf(message.content, sees) }));
}

/** Who shows a picture, as the speaker of this side reads it. @param {Settings} settings @param {Entry} entry @param {Side} side */
function shower(settings, entry, side) {
  if (entry.kind === "picture") return "The audience shows";
  return entry.side === side ? "You show" : `${settings.personas[entry.side].name} shows`;
}

/**
 * The content of a message: parts, if the model reads pictures and there are any; otherwise a text.
 *
 * @param {(string | Picture)[]} pieces
 * @param {boolean} sees
 */
function contentOf(pieces, sees) {
  if (!sees || pieces.every((piece) => typeof piece === "string")) {
    return pieces.map((piece) => (typeof piece === "string" ? piece : described(piece))).join("\n\n");
  }
  const parts = /** @type {Part[]} */ ([]);
  for (const piece of pieces) {
    const last = parts[parts.length - 1];
    if (typeof piece !== "string") parts.push({ type: "image_url", image_url: { url: piece.url } });
    else if (last?.type === "text") last.text += `\n\n${piece}`;
    else parts.push({ type: "text", text: piece });
  }
  return parts;
}

/** @param {Entry} entry */
function own(entry) {
  const message = { role: "assistant", content: [entry.heard] };
  return entry.interrupted && entry.audioId
    ? { ...message, audio: { id: entry.audioId, played_ms: entry.playedMs } }
    : message;
}

/**
 * The words of a transcript that were heard to their end.
 *
 * @param {string} text
 * @param {import("./stream.js").SpokenWord[]} words
 * @param {number} seconds
 */
export function heardText(text, words, seconds) {
  const end = words.reduce((most, word) => (word.end_time <= seconds + 0.001 ? Math.max(most, word.end_char) : most), 0);
  return Array.from(text).slice(0, end).join("");
}

export const CRITERIA = /** @type {const} */ (["argument", "rebuttal", "clarity"]);

const score = { type: "integer", minimum: 0, maximum: 10 };
const scores = {
  type: "object",
  properties: Object.fromEntries(CRITERIA.map((name) => [name, score])),
  required: [...CRITERIA],
  additionalProperties: false,
};

/** The form of the verdict, as a JSON schema. */
export const VERDICT = {
  type: "json_schema",
  json_schema: {
    name: "verdict",
    strict: true,
    schema: {
      type: "object",
      properties: { first: scores, second: scores, reason: { type: "string", minLength: 20, maxLength: 280 } },
      required: ["first", "second", "reason"],
      additionalProperties: false,
    },
  },
};

/** Read the verdict that a model wrote. @param {string} text @returns {import("./debate.js").Verdict} */
export function verdictOf(text) {
  try {
    const read = JSON.parse(text);
    const complete = [read.first, read.second].every((side) => CRITERIA.every((name) => Number.isFinite(side?.[name])));
    if (complete) return { first: read.first, second: read.second, reason: String(read.reason ?? "") };
  } catch {
    // Not JSON: the text itself is all there is to show.
  }
  return { reason: "" };
}

/**
 * The moderator's messages.
 *
 * @param {Settings} settings
 * @param {Entry[]} entries
 */
export function verdictMessages(settings, entries) {
  const [first, second] = settings.personas.map((side) => side.name);
  const said = entries.map((entry) => `${speaker(settings, entry)}: ${entry.heard}`).join("\n");
  return [
    {
      role: "system",
      content:
        `You moderate a debate and judge it fairly. Score the first speaker, ${first}, and the second, ${second}, ` +
        `from 0 to 10 for ${CRITERIA.join(", ")}. Give the reason in one or two sentences. Answer in JSON with ` +
        '"first", "second" (each with the three scores) and "reason".',
    },
    { role: "user", content: `The motion: ${settings.topic}\n\n${said}\n\nYour verdict?` },
  ];
}

/**
 * The name under which an entry stands in the transcript.
 *
 * @param {Settings} settings
 * @param {Entry} entry
 */
export function speaker(settings, entry) {
  if (entry.kind === "moderator") return "Moderator";
  return entry.kind === "question" || entry.kind === "picture" ? "Audience" : settings.personas[entry.side].name;
}
