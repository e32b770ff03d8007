/** Loads the models while the page is read: a voice that loads on first use would keep the first turn waiting. */

import { messagesFor } from "./prompts.js";
import { json, request } from "./stream.js";

const EVERY = 1000; // milliseconds between two looks at the clock and at the server

/** @typedef {{id: string, capabilities: string[], status: string, input_modalities?: string[]}} Model */

export class Readiness {
  /** What loads, by its request. @type {Map<string, {name: string, since: number, refuses: boolean}>} */
  #loading = new Map();
  #begun = /** @type {Set<string>} */ (new Set());

  /** @param {() => void} changed Called when `text` has changed. */
  constructor(changed) {
    this.changed = changed;
  }

  /** What the first turn would wait for; empty if all is ready. */
  get text() {
    const [first] = this.#loading.values();
    if (!first) return "";
    const seconds = Math.round((performance.now() - first.since) / 1000);
    return `${first.name} is loading${seconds ? `, ${seconds} s so far` : ""}.`;
  }

  /** Whether a turn would be refused now: a chat model that loads at the server's start has not loaded yet. */
  get refuses() {
    return [...this.#loading.values()].some((one) => one.refuses);
  }

  /**
   * Have the server load the models of a debate, and compute what its prompts begin with. Each model is requested once.
   *
   * @param {Model[]} models The server's.
   * @param {import("./prompts.js").Settings} settings
   * @param {import("./prompts.js").Entry[]} entries
   */
  async prepare(models, settings, entries) {
    const speaking = models.find((model) => model.capabilities.includes("speech"));
    const loads = settings.personas.flatMap((persona, side) => {
      const voice = models.find((model) => model.id === persona.speech?.model) ?? speaking;
      const chat = models.find((model) => model.id === persona.model);
      const sentence = { model: voice?.id, input: "Ready.", voice: persona.voice, response_format: "pcm" };
      const prompt = { model: chat?.id, messages: messagesFor(settings, entries, side ? 1 : 0), prefill_only: true };
      return [
        voice && this.#load("The voice", voice, voice.id, "v1/audio/speech", sentence),
        chat && this.#load(chat.id, chat, `${chat.id} ${side}`, "v1/chat/completions", prompt),
      ];
    });
    await Promise.all(loads);
  }

  /**
   * @param {string} name As the listener reads it.
   * @param {Model} model
   * @param {string} once Identifies the request.
   * @param {string} path
   * @param {object} body
   */
  async #load(name, model, once, path, body) {
    if (this.#begun.has(once)) return;
    this.#begun.add(once);
    const clock = setInterval(this.changed, EVERY);
    try {
      const loading = { name, since: performance.now(), refuses: starting(model) && path.includes("chat") };
      if (model.status !== "ready") this.#loading.set(once, loading);
      this.changed();
      while (starting(model)) {
        await new Promise((resolve) => setTimeout(resolve, EVERY));
        model = await json(`v1/models/${encodeURI(model.id)}`);
      }
      loading.refuses = false;
      await (await request(path, { body })).arrayBuffer();
    } catch {
      this.#begun.delete(once); // the turn itself loads the model, or states why it cannot
    }
    clearInterval(clock);
    this.#loading.delete(once);
    this.changed();
  }
}

/** @param {Model} model Whether it will be ready without a request. */
const starting = (model) => ["loading", "restarting"].includes(model.status);
