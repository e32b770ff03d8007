/** What the person and the avatar debate about: the form, the server's voices and models, and what was entered last. */

import { DEFAULTS as ARENA } from "../arena/form.js";
import { json } from "../arena/stream.js";

/**
 * @typedef {Object} Settings
 * @property {string} topic
 * @property {string} name Of the avatar.
 * @property {string} prompt Its stance.
 * @property {string} voice
 * @property {string} mouth The model that has the voice.
 * @property {string} model
 * @property {string} ear The model that transcribes.
 * @property {boolean} handsFree The server notices when the person begins and ends to speak; otherwise a key says so.
 */

const ENTRY = "arena-talk";
const FIELDS = /** @type {const} */ (["topic", "name", "prompt", "voice", "model"]);
const [, opponent] = ARENA.personas;

/** @type {Settings} */
const DEFAULTS = { topic: ARENA.topic, name: opponent.name, prompt: opponent.prompt, voice: opponent.voice, mouth: "", model: "", ear: "", handsFree: false };

/** What the avatar's model reads before the conversation. @param {Settings} settings */
export function instructions({ topic, name, prompt }) {
  return [
    `You are ${name}, a speaker in a live debate. ${prompt}`,
    `The motion is: "${topic}" Your opponent is a person who speaks to you; you read a transcript.`,
    "Answer your opponent's last point, then make one new point of your own. " +
      "Say one or two short sentences of plain speech: no lists, no headings, no stage directions. " +
      "Speak in the first person, and do not repeat what was said before.",
  ].join("\n");
}

/** @returns {Settings} */
function saved() {
  try {
    return { ...DEFAULTS, ...JSON.parse(localStorage.getItem(ENTRY) ?? "{}") };
  } catch {
    return DEFAULTS;
  }
}

export class TalkForm {
  #ear = "";
  /** Models that load at the server's start. They need no request, and would refuse one. */
  loading = /** @type {string[]} */ ([]);
  #mouths = /** @type {Map<string, string>} */ (new Map()); // by voice

  /** @param {HTMLFormElement} form */
  constructor(form) {
    this.form = form;
  }

  /** Read the server's models and voices. Returns what the server lacks, or "". @throws {import("../arena/stream.js").RequestFailed} */
  async load() {
    const [models, voices] = await Promise.all([json("v1/models"), json("v1/audio/voices")]);
    const able = (/** @type {string} */ capability) =>
      models.data.filter((/** @type {any} */ model) => model.capabilities.includes(capability) && model.status !== "unavailable").map((/** @type {any} */ model) => model.id);
    this.loading = models.data.filter((/** @type {any} */ model) => ["loading", "restarting"].includes(model.status)).map((/** @type {any} */ model) => model.id);
    this.#mouths = new Map(voices.data.map((/** @type {any} */ one) => [one.id, one.model]));
    this.#ear = able("transcription")[0] ?? "";
    fill(this.#field("model"), able("chat").map((/** @type {string} */ id) => ({ id, label: id })));
    fill(this.#field("voice"), voices.data.map((/** @type {any} */ one) => ({ id: one.id, label: `${one.name} (${one.gender}, ${one.language})` })));
    this.show(saved());
    if (!able("chat").length) return "The server has no chat model.";
    if (!voices.data.length) return "The server has no model that speaks.";
    return this.#ear ? "" : "The server has no model that transcribes speech.";
  }

  /** @param {Settings} settings */
  show(settings) {
    for (const name of FIELDS) {
      const field = this.#field(name);
      field.value = settings[name];
      if (field instanceof HTMLSelectElement && field.selectedIndex < 0) field.selectedIndex = 0;
    }
    this.#field("mode").value = settings.handsFree ? "hands-free" : "key";
  }

  /** @returns {Settings} */
  read() {
    const [topic, name, prompt, voice, model] = FIELDS.map((field) => this.#field(field).value.trim());
    const handsFree = this.#field("mode").value === "hands-free";
    const settings = { topic, name, prompt, voice, mouth: this.#mouths.get(voice) ?? "", model, ear: this.#ear, handsFree };
    try {
      localStorage.setItem(ENTRY, JSON.stringify(settings));
    } catch {
      // A forbidden storage costs the memory of the form only.
    }
    return settings;
  }

  defaults() {
    this.show(DEFAULTS);
  }

  /** @param {string} name @returns {any} A form control. */
  #field(name) {
    return this.form.elements.namedItem(name);
  }
}

/** @param {HTMLSelectElement} select @param {{id: string, label: string}[]} choices */
function fill(select, choices) {
  select.replaceChildren(...choices.map(({ id, label }) => new Option(label, id)));
}
