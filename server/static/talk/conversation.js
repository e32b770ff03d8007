/** The conversation of a person with an avatar: turns that are heard, answered, spoken and interrupted. */

import { heardText } from "../arena/prompts.js";
import { pcm } from "../arena/stream.js";
import { Connection, base64 } from "./connection.js";
import { instructions } from "./settings.js";

/**
 * @typedef {import("./settings.js").Settings} Settings
 * @typedef {"idle" | "connecting" | "open" | "failed" | "over"} Phase
 *
 * @typedef {Object} Measures Milliseconds of `performance.now()`.
 * @property {number} asked The end of the person's words.
 * @property {number} [transcript]
 * @property {number} [text] The first text of the answer.
 * @property {number} [audio] The first sound that arrived.
 * @property {number} [sound] The first sound from the loudspeaker.
 *
 * @typedef {Object} Turn
 * @property {"person" | "avatar"} who
 * @property {string} itemId
 * @property {string} responseId
 * @property {string} text
 * @property {string} heard What was heard of it, which is all that the server keeps.
 * @property {boolean} over
 * @property {boolean} interrupted
 * @property {number} playedMs
 * @property {number} samples How many have arrived.
 * @property {import("../arena/stream.js").SpokenWord[]} words
 * @property {import("../arena/stream.js").Viseme[]} visemes
 * @property {Measures | null} measures Of an answer.
 */

const RATE = 24_000;
const LONGEST = 40; // seconds that an answer may take, for the estimate of the buffer
const MAX_TOKENS = 220; // an answer of a model that ignores its instructions ends here
const SHORTEST = 0.1; // seconds of sound that the server takes for a turn
const TAIL = 200; // milliseconds that the microphone stays open after the key: people release it early

/** The state of one conversation. `changed` is called after every change of it. */
export class Conversation {
  /** @type {Phase} */
  phase = "idle";
  /** @type {Turn[]} */
  turns = [];
  /** The answer that is being generated or played. @type {Turn | null} */
  answer = null;
  /** @type {import("../arena/player.js").Utterance | null} */
  utterance = null;
  /** The person speaks. */
  hears = false;
  /** An answer was asked for, and has not begun. */
  waits = false;
  /** What the server refused, without an end of the session. */
  notice = "";
  /** @type {Error | null} */
  error = null;
  #connection = /** @type {Connection | null} */ (null);
  #held = false; // the key to talk
  #sent = 0; // samples since the key was pressed
  #generating = ""; // the response that the server works on
  #asked = 0;
  #transcribed = /** @type {number | undefined} */ (undefined);

  /**
   * @param {Settings} settings
   * @param {import("../arena/player.js").Player} player
   * @param {() => void} changed
   */
  constructor(settings, player, changed) {
    this.settings = settings;
    this.player = player;
    this.changed = changed;
  }

  /** Open the session. @throws {import("../arena/stream.js").RequestFailed} */
  async start() {
    this.phase = "connecting";
    this.changed();
    this.#connection = await Connection.open(this.settings.model, (event) => this.#receive(event), (error) => this.fail(error));
    if (this.phase !== "connecting") this.#connection.close(); // it was ended meanwhile
  }

  /** Samples that were sent since the key was pressed. */
  get sent() {
    return this.#sent;
  }

  /** @param {boolean} handsFree */
  listen(handsFree) {
    this.settings.handsFree = handsFree;
    if (this.phase !== "open") return;
    this.hears = this.#held = false;
    this.#configure();
    this.#send("input_audio_buffer.clear");
  }

  /** Sound of the microphone. @param {Int16Array} samples */
  hear(samples) {
    if (this.phase !== "open" || !(this.settings.handsFree || this.#held)) return;
    this.#sent += samples.length;
    this.#send("input_audio_buffer.append", { audio: base64(samples) });
  }

  /** The key to talk is pressed: the avatar is quiet. */
  press() {
    if (this.phase !== "open" || this.settings.handsFree || this.#held) return;
    this.interrupt();
    this.#send("input_audio_buffer.clear");
    this.#held = this.hears = true;
    this.waits = false;
    this.#sent = 0;
    this.notice = "";
    this.changed();
  }

  /** The key to talk is released: the avatar answers. */
  async release() {
    if (!this.hears || !this.#held) return;
    this.hears = false;
    this.changed();
    await new Promise((resolve) => setTimeout(resolve, TAIL));
    if (this.phase !== "open" || !this.#held) return;
    this.#held = false;
    if (this.#sent < SHORTEST * RATE) {
      this.notice = "Hold the button, or the space bar, while you speak.";
      this.#send("input_audio_buffer.clear");
    } else {
      this.#ask();
      this.#send("input_audio_buffer.commit");
      this.#send("response.create");
    }
    this.changed();
  }

  /** Stop the answer where the person is: the server keeps what was heard. */
  interrupt() {
    if (this.#generating) this.#send("response.cancel");
    this.#cut();
  }

  /** End the conversation. */
  end() {
    this.#cut();
    this.#connection?.close();
    this.#leave("over");
  }

  /** @param {Error} error */
  fail(error) {
    this.error = error;
    this.#cut();
    this.#connection?.close();
    this.#leave("failed");
  }

  /** @param {Phase} phase */
  #leave(phase) {
    this.phase = phase;
    this.hears = this.waits = this.#held = false;
    this.changed();
  }

  #configure() {
    const { settings } = this;
    const detection = settings.handsFree ? { type: "server_vad", create_response: true, interrupt_response: true } : null;
    const format = { type: "audio/pcm", rate: RATE };
    const input = { format, turn_detection: detection, transcription: { model: settings.ear } };
    const output = { format, voice: settings.voice, model: settings.mouth, viseme_set: "oculus" };
    const session = { type: "realtime", instructions: instructions(settings), output_modalities: ["audio"], max_output_tokens: MAX_TOKENS };
    this.#send("session.update", { session: { ...session, audio: { input, output } } });
  }

  /** @param {string} type @param {object} [fields] */
  #send(type, fields = {}) {
    this.#connection?.send({ type, ...fields });
  }

  /** @param {import("./connection.js").RealtimeEvent} event */
  #receive(event) {
    const known = this.#handlers[event.type];
    if (!known) return;
    known(event);
    this.changed();
  }

  /** What each event of the server changes. @type {Record<string, (event: any) => void>} */
  #handlers = {
    "session.created": () => this.#configure(),
    "session.updated": () => (this.phase = this.phase === "connecting" ? "open" : this.phase),
    "input_audio_buffer.speech_started": ({ item_id }) => {
      this.hears = true;
      this.waits = false;
      this.notice = "";
      this.#cut();
      this.#person(item_id);
    },
    "input_audio_buffer.speech_stopped": () => {
      this.hears = false;
      this.#ask();
    },
    "input_audio_buffer.committed": ({ item_id }) => this.#person(item_id),
    "conversation.item.input_audio_transcription.delta": ({ item_id, delta }) => (this.#person(item_id).text += delta ?? ""),
    "conversation.item.input_audio_transcription.completed": ({ item_id, transcript }) => {
      this.#transcribed = performance.now();
      const said = this.#person(item_id);
      Object.assign(said, { text: transcript, heard: transcript, over: true });
    },
    "conversation.item.input_audio_transcription.failed": ({ item_id, error }) => {
      this.notice = error?.message ?? "Your words could not be transcribed.";
      this.#person(item_id).over = true;
    },
    "response.created": ({ response }) => this.#begin(response.id),
    "response.output_item.added": ({ response_id, item }) => {
      const answer = this.#of(response_id);
      if (answer && item.type === "message") answer.itemId = item.id;
    },
    "response.output_audio_transcript.delta": ({ response_id, delta }) => {
      const answer = this.#of(response_id);
      if (!answer) return;
      answer.text += delta;
      if (answer.measures) answer.measures.text ??= performance.now();
    },
    "response.output_audio.words": ({ response_id, words }) => this.#of(response_id)?.words.push(...words),
    "response.output_audio.visemes": ({ response_id, visemes }) => this.#of(response_id)?.visemes.push(...visemes),
    "response.output_audio.delta": ({ response_id, delta }) => this.#sound(response_id, pcm(delta)),
    "response.done": ({ response }) => this.#done(response),
    error: ({ error }) => {
      if (this.phase === "connecting") return this.fail(new Error(error.message)); // the server refuses the settings
      this.notice = error.message;
      this.waits = false;
    },
  };

  /** The person's turn with this id, which begins with the first event about it. @param {string} itemId */
  #person(itemId) {
    let turn = this.turns.find((one) => one.itemId === itemId);
    if (!turn) this.turns.push((turn = made("person", itemId)));
    return turn;
  }

  #ask() {
    this.waits = true;
    this.#asked = performance.now();
    this.#transcribed = undefined;
  }

  /** The answer that is on, if it is of this response. @param {string} responseId */
  #of(responseId) {
    return this.answer?.responseId === responseId ? this.answer : null;
  }

  /** @param {string} responseId */
  #begin(responseId) {
    this.#cut();
    this.waits = false;
    this.#generating = responseId;
    /** @type {Measures} */
    const measures = { asked: this.#asked };
    const answer = (this.answer = { ...made("avatar", ""), responseId, measures });
    this.turns.push(answer);
    const utterance = (this.utterance = this.player.speak(LONGEST, (state, at) => {
      if (state === "playing") measures.sound ??= at;
      this.changed();
    }));
    utterance.done.then(() => this.#spoken(answer));
  }

  /** @param {string} responseId @param {Int16Array} samples */
  #sound(responseId, samples) {
    const answer = this.#of(responseId);
    if (!answer || !this.utterance) return;
    if (answer.measures) answer.measures.audio ??= performance.now();
    this.utterance.push(samples, answer.samples, RATE);
    answer.samples += samples.length;
  }

  /** @param {{id: string, status: string, status_details?: any}} response */
  #done({ id, status, status_details: details }) {
    const answer = this.#of(id);
    if (this.#generating === id) this.#generating = "";
    if (status === "failed") this.notice = details?.error?.message ?? "The avatar could not answer.";
    if (!answer) return;
    if (answer.measures) answer.measures.transcript = this.#transcribed;
    if (status === "cancelled") this.#cut(); // the person spoke before the answer had a sound
    else this.utterance?.close();
  }

  /** Stop the sound, and report how much of it was heard. */
  #cut() {
    const { answer, utterance } = this;
    if (!answer || !utterance) return;
    answer.playedMs = Math.floor(utterance.stop() * 1000);
    answer.interrupted = true;
    if (answer.itemId && answer.samples) this.#send("conversation.item.truncate", { item_id: answer.itemId, content_index: 0, audio_end_ms: answer.playedMs });
    this.#spoken(answer);
  }

  /** The answer was played to its end, or cut. @param {Turn} answer */
  #spoken(answer) {
    if (answer.over) return;
    answer.over = true;
    answer.heard = answer.interrupted ? heardText(answer.text, answer.words, answer.playedMs / 1000) : answer.text;
    if (answer.measures) answer.measures.transcript ??= this.#transcribed;
    if (!answer.heard) this.turns = this.turns.filter((one) => one !== answer); // nothing of it was heard
    if (this.answer === answer) this.answer = this.utterance = null;
    this.changed();
  }
}

/** @param {Turn["who"]} who @param {string} itemId @returns {Turn} */
function made(who, itemId) {
  const sound = { playedMs: 0, samples: 0, words: [], visemes: [] };
  return { who, itemId, responseId: "", text: "", heard: "", over: false, interrupted: false, measures: null, ...sound };
}
