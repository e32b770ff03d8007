/** The form of the debate: defaults, the server's voices and models, and what was entered last. */

import { json } from "./stream.js";

/** @typedef {import("./prompts.js").Settings} Settings */
/** @typedef {{id: string, name: string, language: string, gender: string, model: string}} Voice */

const MOTIONS = [
  "Cities should be built for people on foot, not for cars.",
  "Every child should learn to program before learning to drive.",
  "The book is always better than the film.",
  "A four-day week makes for better work.",
  "People should be free to live in the place where they were born, or leave it.",
  "Robots should pay taxes.",
  "Breakfast is the most overrated meal of the day.",
];

/** @type {Settings} */
export const DEFAULTS = {
  topic: MOTIONS[0],
  personas: [
    {
      name: "Ada Flint",
      prompt: "You are a restless engineer and argue FOR the motion. You love concrete examples and dry humour, and have no patience for jargon.",
      voice: "af_heart",
      model: "",
    },
    {
      name: "Bruno Vale",
      prompt: "You are a sceptical historian and argue AGAINST the motion. You quote the past, ask sharp questions and never raise your voice.",
      voice: "bm_george",
      model: "",
    },
  ],
  rounds: 2,
  temperature: 0.7,
  seconds: 20,
};

export class SettingsForm {
  /** @type {Voice[]} */
  #voices = [];
  #seeing = /** @type {Set<string>} */ (new Set()); // models that read pictures

  /** @param {HTMLFormElement} form */
  constructor(form) {
    this.form = form;
  }

  /** Read the server's models and voices. @throws {import("./stream.js").RequestFailed} */
  async load() {
    const [models, voices] = await Promise.all([json("v1/models"), json("v1/audio/voices")]);
    this.#voices = voices.data;
    const chat = models.data.filter((/** @type {any} */ model) => model.capabilities.includes("chat") && model.status !== "unavailable");
    this.#seeing = new Set(chat.filter((/** @type {any} */ model) => model.input_modalities?.includes("image")).map((/** @type {any} */ model) => model.id));
    const spoken = this.#voices.map((voice) => ({ id: voice.id, label: `${voice.name} (${voice.gender}, ${voice.language})` }));
    for (const side of [0, 1]) {
      fill(this.#field(`model-${side}`), chat.map((/** @type {any} */ model) => ({ id: model.id, label: model.id })));
      fill(this.#field(`voice-${side}`), spoken);
    }
    return { chat: chat.length > 0, speech: this.#voices.length > 0, models: models.data };
  }

  /** @param {Settings} settings */
  show(settings) {
    this.#field("topic").value = settings.topic;
    settings.personas.forEach((persona, side) => {
      for (const name of /** @type {const} */ (["name", "prompt"])) this.#field(`${name}-${side}`).value = persona[name];
      for (const name of /** @type {const} */ (["voice", "model"])) choose(this.#field(`${name}-${side}`), persona[name], side);
    });
    for (const name of /** @type {const} */ (["rounds", "temperature", "seconds"])) this.#field(name).value = String(settings[name]);
  }

  /** @returns {Settings} */
  read() {
    const persona = (/** @type {number} */ side) => {
      const voice = this.#field(`voice-${side}`).value;
      const model = this.#voices.find((one) => one.id === voice)?.model;
      const chosen = this.#field(`model-${side}`).value;
      const several = new Set(this.#voices.map((one) => one.model)).size > 1;
      return {
        name: this.#field(`name-${side}`).value.trim(),
        prompt: this.#field(`prompt-${side}`).value.trim(),
        voice,
        model: chosen,
        ...(several && model ? { speech: { model } } : {}),
        ...(this.#seeing.has(chosen) ? { sees: true } : {}),
      };
    };
    return {
      topic: this.#field("topic").value.trim(),
      personas: [persona(0), persona(1)],
      rounds: this.#field("rounds").valueAsNumber,
      temperature: this.#field("temperature").valueAsNumber,
      seconds: this.#field("seconds").valueAsNumber,
    };
  }

  /** Put another motion into the form. */
  shuffle() {
    const field = this.#field("topic");
    field.value = MOTIONS[(MOTIONS.indexOf(field.value) + 1) % MOTIONS.length];
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

/** Select the value, or a different choice for each side where there is no such value. @param {HTMLSelectElement} select @param {string} value @param {number} side */
function choose(select, value, side) {
  const known = [...select.options].some((option) => option.value === value);
  if (known) select.value = value;
  else if (select.options.length) select.selectedIndex = Math.min(side, select.options.length - 1);
}
