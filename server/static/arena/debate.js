/** The debate itself: turns speak in order, stream, are heard or interrupted, and end in a verdict. */

import { Ahead } from "./ahead.js";
import { contextOf, isLost } from "./documents.js";
import { described } from "./pictures.js";
import { Playback } from "./playback.js";
import { VERDICT, heardText, messagesFor, verdictMessages, verdictOf } from "./prompts.js";
import { RequestFailed, Watch, chunks, json, pcm, request } from "./stream.js";

/**
 * @typedef {import("./prompts.js").Entry} Entry
 * @typedef {import("./prompts.js").Settings} Settings
 * @typedef {"idle" | "running" | "paused" | "failed" | "judging" | "over"} Phase
 * @typedef {{first: Record<string, number>, second: Record<string, number>, reason: string} | {reason: string}} Verdict
 */

const CLOSING_SECONDS = 10;
const REPETITION = 1.1; // mild; without it small models say what their opponent said
const MODALITIES = { modalities: ["text", "audio"] };
const MAX_TOKENS = 220; // a turn of a model that ignores its instructions ends here

/** The state of one debate. `changed` is called after every change of it. */
export class Debate {
  /** @type {Entry[]} */
  entries = [];
  /** The turn that is being spoken. @type {Entry | null} */
  current = null;
  /** @type {import("./player.js").Utterance | null} */
  utterance = null;
  /** @type {Phase} */
  phase = "idle";
  /** @type {Verdict | null} */
  verdict = null;
  /** @type {RequestFailed | Error | null} */
  error = null;
  /** The turn whose rest a failure took, until the debate goes on. @type {Entry | null} */
  lost = null;
  /** Pictures that the next turn begins with. @type {Entry[]} */
  pictures = [];
  #abort = new AbortController();
  #questions = /** @type {string[]} */ ([]);
  #wish = /** @type {"closing" | "next" | null} */ (null);
  #halted = false;
  #ahead = new Ahead();
  #playback = new Playback(0);

  /**
   * @param {Settings} settings
   * @param {import("./player.js").Player} player
   * @param {{changed: () => void, finished: (entry: Entry, samples: Int16Array) => void, documentsLost: (id: string) => void}} listener `documentsLost`: the server
   *   no longer has the documents, and the debate goes on without them.
   * @param {{id?: string, entries?: Entry[], verdict?: Verdict | null}} [earlier] A debate that was saved.
   */
  constructor(settings, player, listener, earlier = {}) {
    this.settings = settings;
    this.player = player;
    this.listener = listener;
    this.id = earlier.id ?? hex(16);
    this.entries = earlier.entries ?? [];
    this.verdict = earlier.verdict ?? null;
  }

  /** What comes next, by what was said so far. */
  next() {
    const spoken = this.entries.filter((entry) => entry.kind === "turn");
    const last = this.entries[this.entries.length - 1];
    if (last?.kind === "moderator") return { kind: /** @type {const} */ ("closing"), side: last.side };
    if (spoken.length >= 2 * this.settings.rounds) return null;
    return { kind: /** @type {const} */ ("turn"), side: /** @type {import("./prompts.js").Side} */ (spoken.length % 2) };
  }

  /** Speak until the verdict, a failure, or `halt`. */
  async run() {
    this.error = null;
    this.lost = null;
    await this.player.unlock();
    this.#enter("running");
    try {
      for (let next = this.next(); next; next = this.next()) {
        if (next.kind === "turn") this.entries.push(...this.pictures.splice(0));
        const questions = next.kind === "turn" ? this.#questions.splice(0) : [];
        for (const text of questions) this.entries.push(entry("question", next.side, text));
        if (!(await this.#turn(next.kind, next.side))) return;
      }
      this.entries.push(...this.pictures.splice(0));
      if (!this.verdict) await this.#judge();
      this.#enter("over");
    } catch (error) {
      this.#fail(/** @type {Error} */ (error));
    }
  }

  async pause() {
    await this.player.pause();
    this.#playback.pause();
    this.#enter("paused");
  }

  async resume() {
    await this.player.resume();
    this.#playback.resume();
    this.#enter("running");
  }

  /** @param {string} question The next speaker reads it. */
  ask(question) {
    this.#questions.push(question);
    this.listener.changed();
  }

  /**
   * Show a picture: the next speaker, and all turns after it, read it.
   *
   * @param {"picture" | "illustration"} kind
   * @param {import("./prompts.js").Side} side Of an illustration, its speaker.
   * @param {import("./pictures.js").Picture} picture
   */
  show(kind, side, picture) {
    const over = this.phase === "judging" || this.phase === "over";
    (over ? this.entries : this.pictures).push({ ...entry(kind, side, described(picture)), picture });
    this.listener.changed();
  }

  get questions() {
    return this.#questions;
  }

  /**
   * End the current turn where the listener is.
   *
   * @param {"closing" | "next"} wish `closing`: the speaker gets ten seconds to finish. `next`: the other one speaks.
   */
  async interrupt(wish) {
    if (!this.utterance || !this.current) return;
    if (this.phase === "paused") await this.resume();
    this.#wish = wish;
    this.#abort.abort();
    this.#cut();
  }

  /** Drop what is left of the turn that failed, and speak it again. */
  retry() {
    if (this.lost) this.entries.splice(this.entries.indexOf(this.lost), 1);
    return this.run();
  }

  /** End the debate where it is: its page goes away. Returns the turn that is cut, if one is. */
  halt() {
    this.#halted = true;
    this.#abort.abort();
    this.#cut();
    if (this.current) this.#report(this.current);
    return this.current;
  }

  /** Stop the sound; the turn keeps what was heard. */
  #cut() {
    const { current, utterance } = this;
    if (!current || !utterance || utterance.state === "ended" || utterance.state === "stopped") return;
    const seconds = utterance.stop();
    current.interrupted = true;
    current.playedMs = Math.round(seconds * 1000);
    current.heard = heardText(current.text, current.words, current.playedMs / 1000);
  }

  /**
   * @param {"turn" | "closing"} kind
   * @param {import("./prompts.js").Side} side
   * @returns {Promise<boolean>} Whether the debate goes on.
   */
  async #turn(kind, side) {
    const seconds = kind === "closing" ? Math.min(CLOSING_SECONDS, this.settings.seconds) : this.settings.seconds;
    const turn = (this.current = entry(kind, side, ""));
    /** @type {import("./ribbon.js").Measures} */
    const measures = (turn.measures = { sent: performance.now(), stalls: 0, stalled: 0 });
    const playback = (this.#playback = new Playback(measures.sent));
    const utterance = this.player.speak(seconds, (state, at) => {
      playback.change(state, at);
      this.listener.changed();
    });
    this.utterance = utterance;
    this.#wish = null;
    this.#abort = new AbortController();
    this.#ahead.stop();
    this.listener.changed();
    let failure = null;
    try {
      await this.#stream(turn, measures, utterance, seconds);
      this.#prepare(turn, MODALITIES);
    } catch (error) {
      if (!turn.interrupted) failure = this.error = /** @type {Error} */ (error);
    }
    measures.written = performance.now();
    utterance.close();
    this.listener.changed();
    await utterance.done;
    if (turn.interrupted) failure = this.error = null; // the listener ended the turn before its rest was missed
    this.#finish(turn, utterance, failure);
    if (failure) this.#fail(failure);
    return !failure && !this.#halted;
  }

  /**
   * Send the request of a turn, and read the answer to its end.
   *
   * @param {Entry} turn
   * @param {import("./ribbon.js").Measures} measures
   * @param {import("./player.js").Utterance} utterance
   * @param {number} seconds Longest turn.
   */
  async #stream(turn, measures, utterance, seconds) {
    const persona = this.settings.personas[turn.side];
    const body = {
      model: persona.model,
      messages: messagesFor(this.settings, this.entries, turn.side),
      ...MODALITIES,
      audio: { voice: persona.voice, format: "pcm16", viseme_set: "oculus", ...persona.speech },
      temperature: this.settings.temperature,
      max_tokens: MAX_TOKENS,
      repetition_penalty: REPETITION,
      max_spoken_seconds: seconds,
      stream: true,
      stream_options: { include_usage: true },
    };
    turn.requestId = `arena-${this.id.slice(0, 6)}-${this.entries.length + 1}-${hex(2)}`;
    const headers = { "x-request-id": turn.requestId, ...this.trace() };
    const { signal } = this.#abort;
    const watch = new Watch(() => this.#abort.abort(new RequestFailed("The connection broke off.")));
    try {
      const response = await this.#answer(body, { headers, signal });
      measures.answered = performance.now();
      turn.requestId = response.headers.get("x-request-id") ?? turn.requestId;
      for await (const chunk of chunks(response)) {
        watch.alive();
        this.#take(chunk, turn, utterance);
      }
    } catch (error) {
      throw signal.reason instanceof RequestFailed ? signal.reason : error;
    } finally {
      watch.stop();
    }
  }

  /**
   * The answer of a speaker who reads the documents, or goes on without them.
   *
   * @param {object} body
   * @param {Parameters<typeof request>[1]} options
   */
  async #answer(body, options) {
    const context = contextOf(this.settings.documents);
    try {
      return await request("v1/chat/completions", { body: { ...body, ...context }, ...options });
    } catch (error) {
      if (!context || !isLost(error)) throw error;
      this.settings.documents = null;
      this.listener.documentsLost(context.context.vector_store_ids[0]);
      return request("v1/chat/completions", { body, ...options });
    }
  }

  /** @param {any} chunk @param {Entry} turn @param {import("./player.js").Utterance} utterance */
  #take(chunk, turn, utterance) {
    const measures = /** @type {import("./ribbon.js").Measures} */ (turn.measures);
    if (chunk.usage) {
      measures.prompt = chunk.usage.prompt_tokens;
      measures.tokens = chunk.usage.completion_tokens;
      measures.cached = chunk.usage.prompt_tokens_details?.cached_tokens ?? 0;
    }
    turn.completionId = chunk.id ?? turn.completionId;
    if (chunk.context?.passages.length) turn.passages = chunk.context.passages;
    const audio = chunk.choices?.[0]?.delta?.audio;
    if (!audio || turn.interrupted) return;
    turn.audioId = audio.id ?? turn.audioId;
    if (audio.transcript) {
      measures.text ??= performance.now();
      turn.text += audio.transcript;
    }
    if (audio.data) {
      measures.audio ??= performance.now();
      turn.words.push(...(audio.words ?? []));
      turn.visemes.push(...(audio.visemes ?? []));
      turn.duration = (audio.start_sample + audio.samples) / audio.sample_rate;
      utterance.push(pcm(audio.data), audio.start_sample, audio.sample_rate);
      this.#prepare(turn);
    }
    this.listener.changed();
  }

  /**
   * Let the other speaker's prompt be computed, with what this turn has said up to now.
   *
   * @param {Entry} turn
   * @param {object} [whole] What makes the prompt that of the next request, with its documents: the turn is complete.
   */
  #prepare(turn, whole) {
    const side = turn.side ? 0 : 1;
    const turns = this.entries.filter((entry) => entry.kind === "turn").length + (turn.kind === "turn" ? 1 : 0);
    if (turns >= 2 * this.settings.rounds || turn.interrupted || !turn.text) return;
    const messages = messagesFor(this.settings, [...this.entries, { ...turn, heard: turn.text }, ...this.pictures], side);
    const context = whole && contextOf(this.settings.documents);
    this.#ahead.compute({ model: this.settings.personas[side].model, messages, ...(context && { ...whole, ...context }) }, this.trace());
  }

  /** @param {Entry} turn @param {import("./player.js").Utterance} utterance @param {Error | null} failure */
  #finish(turn, utterance, failure) {
    const measures = /** @type {import("./ribbon.js").Measures} */ (turn.measures);
    Object.assign(measures, { sound: this.#playback.sound, stalls: utterance.stalls, stalled: utterance.stalled, rate: utterance.measured });
    measures.silent = performance.now();
    if (failure) {
      Object.assign(turn, { interrupted: true, broken: true, playedMs: Math.round(turn.duration * 1000) });
      turn.heard = heardText(turn.text, turn.words, turn.duration);
      this.lost = turn.heard ? turn : null;
    } else if (!turn.interrupted) turn.heard = turn.text;
    if (!failure || turn.heard) {
      this.entries.push(turn);
      this.listener.finished(turn, utterance.samples().subarray(0, turn.interrupted ? turn.playedMs * 24 : undefined));
    }
    this.#report(turn);
    if (this.#wish === "closing" && turn.kind === "turn") {
      const seconds = Math.min(CLOSING_SECONDS, this.settings.seconds);
      this.entries.push(entry("moderator", turn.side, `The moderator: you have ${seconds} seconds. Finish in one sentence.`));
    }
    this.#wish = null;
    this.current = null;
    this.utterance = null;
    this.listener.changed();
  }

  /**
   * Report what was heard, and how, to the trace of the turn. Later requests hold what was heard as well, so a failure
   * changes nothing.
   *
   * @param {Entry} turn
   */
  #report(turn) {
    const events = turn.audioId ? this.#playback.report() : null;
    if (!events) return;
    const body = { played_ms: turn.interrupted ? turn.playedMs : Math.round(turn.duration * 1000), events };
    request(`v1/chat/completions/${turn.audioId}/heard`, { body, headers: this.trace(), keepalive: true }).catch(() => {});
  }

  /** The trace that all requests of the debate are in. @returns {Record<string, string>} */
  trace() {
    return { traceparent: `00-${this.id}-${hex(8)}-01` };
  }

  async #judge() {
    this.#enter("judging");
    const body = {
      model: this.settings.personas[0].model,
      messages: verdictMessages(this.settings, this.entries),
      temperature: 0,
      repetition_penalty: REPETITION,
      max_tokens: 300,
    };
    let answer;
    try {
      answer = await json("v1/chat/completions", { body: { ...body, response_format: VERDICT }, headers: this.trace() });
    } catch (error) {
      if (!(error instanceof RequestFailed) || error.status !== 400) throw error;
      answer = await json("v1/chat/completions", { body, headers: this.trace() }); // a model that follows no schema
    }
    this.verdict = verdictOf(answer.choices[0].message.content ?? "");
  }

  /** @param {Error} error */
  #fail(error) {
    this.error = error;
    this.#enter("failed");
  }

  /** @param {Phase} phase */
  #enter(phase) {
    this.phase = phase;
    this.listener.changed();
  }
}

/** @param {Entry["kind"]} kind @param {import("./prompts.js").Side} side @param {string} text @returns {Entry} */
function entry(kind, side, text) {
  const sound = { audioId: "", playedMs: 0, duration: 0, words: [], visemes: [] };
  return { kind, side, text, heard: text, interrupted: false, broken: false, ...sound, completionId: "", requestId: "", measures: null, key: hex(8) };
}

/** @param {number} bytes Random hexadecimal digits, two per byte. */
function hex(bytes) {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
