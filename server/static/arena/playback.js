/** What the listener experiences of one answer: for the ribbon, and for the report that joins the server's trace. */

/**
 * @typedef {"started" | "stalled" | "paused" | "resumed" | "ended" | "stopped"} PlaybackType
 * @typedef {{type: PlaybackType, at_ms: number}} PlaybackEvent
 */

const MOST = 128; // events that the server takes

export class Playback {
  /** When the first sound was heard, by `performance.now()`. @type {number | undefined} */
  sound;
  #events = /** @type {PlaybackEvent[]} */ ([]);
  #held = false; // the page's sound is suspended
  #waiting = /** @type {"started" | "resumed" | null} */ (null); // what the end of the suspension begins
  #reported = false;

  /** @param {number} sent When the answer was requested. */
  constructor(sent) {
    this.sent = sent;
  }

  /**
   * Note a change of the speech. Buffering before the first sound is no stall.
   *
   * @param {import("./player.js").SpeechState} state
   * @param {number} at When it is heard.
   */
  change(state, at) {
    if (state === "playing") {
      const type = this.sound === undefined ? "started" : "resumed";
      if (this.#held) this.#waiting = type;
      else this.#note(type, at);
    } else if (state === "buffering" && this.sound !== undefined) this.#note("stalled", at);
    else if (state === "ended" && this.#last === "stalled") this.#events[this.#events.length - 1].type = "ended"; // it waited for nothing
    else if (state === "ended" || state === "stopped") this.#note(state, at);
  }

  /** The listener holds the sound. */
  pause() {
    this.#held = true;
    if (this.#last === "started" || this.#last === "resumed") {
      this.#note("paused", performance.now());
      this.#waiting = "resumed";
    }
  }

  resume() {
    this.#held = false;
    if (this.#waiting) this.#note(this.#waiting, performance.now());
    this.#waiting = null;
  }

  /** The events, once: a second report would change nothing. @returns {PlaybackEvent[] | null} */
  report() {
    if (this.#reported) return null;
    this.#reported = true;
    return this.#events;
  }

  get #last() {
    return this.#events[this.#events.length - 1]?.type;
  }

  /** @param {PlaybackType} type @param {number} at */
  #note(type, at) {
    if (type === "started") this.sound = at;
    if (this.#events.length < MOST - 1 || type === "ended" || type === "stopped") this.#events.push({ type, at_ms: Math.max(0, Math.round(at - this.sent)) });
  }
}
