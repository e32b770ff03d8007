/** Speech on the audio clock: pieces without gaps, honest buffering, and how much was heard. */

const LEAD = 0.06; // seconds between scheduling and sound, so that the first samples are not late
const MARGIN = 0.3; // seconds that the buffer holds beyond the estimate

/**
 * @typedef {"waiting" | "buffering" | "playing" | "ended" | "stopped"} SpeechState
 * @typedef {(state: SpeechState, at: number) => void} Changed `at`: when the listener hears it, by `performance.now()`.
 */

/** How fast the server synthesizes, and how long turns are; both learnt from the turns so far. */
class Pace {
  /** Seconds of audio per second; null before the first measurement. @type {number | null} */
  rate = null;
  /** Seconds of a turn. @type {number | null} */
  length = null;

  /** @param {number} rate @param {number} length */
  learn(rate, length) {
    if (Number.isFinite(rate) && rate > 0) this.rate = this.rate === null ? rate : (this.rate + rate) / 2;
    this.length = this.length === null ? length : (this.length + length) / 2;
  }
}

/** The page's audio output. */
export class Player {
  pace = new Pace();
  /** @type {AudioContext | null} */
  context = null;

  /** Create the audio context. Browsers let it sound only after a click or a key. */
  async unlock() {
    this.context ??= new AudioContext({ sampleRate: 24000, latencyHint: "interactive" });
    if (this.context.state !== "running") await this.context.resume();
  }

  async pause() {
    await this.context?.suspend();
  }

  async resume() {
    await this.context?.resume();
  }

  /**
   * Begin to speak an answer whose pieces are yet to come.
   *
   * @param {number} longest Seconds that the answer may take.
   * @param {Changed} changed
   */
  speak(longest, changed) {
    if (!this.context) throw new Error("the audio context is not unlocked");
    return new Utterance(this.context, this.pace, longest, changed);
  }
}

/** One answer. Times are seconds; 0 is the answer's first sample. */
export class Utterance {
  /** @type {SpeechState} */
  state = "waiting";
  /** Stretches of sound: when each begins on the context's clock, and which part of the answer it is. */
  #stretches = /** @type {{at: number, from: number, seconds: number}[]} */ ([]);
  #pending = /** @type {{buffer: AudioBuffer, from: number}[]} */ ([]);
  #sources = /** @type {Set<AudioBufferSourceNode>} */ (new Set());
  #samples = /** @type {Int16Array[]} */ ([]);
  #next = 0; // context time at which the scheduled sound ends
  #received = 0; // seconds
  #first = { at: 0, seconds: 0 }; // arrival and length of the first piece
  #closed = false;
  #resolve = /** @type {(how: SpeechState) => void} */ (() => {});
  /** Seconds of silence in the middle of the answer. */
  stalled = 0;
  stalls = 0;
  /** Seconds of audio per second of synthesis, once all pieces have arrived. @type {number | null} */
  measured = null;

  /**
   * @param {AudioContext} context
   * @param {Pace} pace
   * @param {number} longest
   * @param {Changed} changed
   */
  constructor(context, pace, longest, changed) {
    this.context = context;
    this.pace = pace;
    this.longest = longest;
    this.changed = changed;
    /** Resolves when the answer was played to its end, or was stopped. @type {Promise<SpeechState>} */
    this.done = new Promise((resolve) => (this.#resolve = resolve));
  }

  /**
   * Add a piece.
   *
   * @param {Int16Array} samples
   * @param {number} startSample
   * @param {number} sampleRate
   */
  push(samples, startSample, sampleRate) {
    if (!samples.length || this.state === "stopped") return;
    const buffer = this.context.createBuffer(1, samples.length, sampleRate);
    buffer.copyToChannel(Float32Array.from(samples, (sample) => sample / 32768), 0);
    if (!this.#samples.length) this.#first = { at: performance.now(), seconds: buffer.duration };
    this.#samples.push(samples);
    this.#received += buffer.duration;
    this.#pending.push({ buffer, from: startSample / sampleRate });
    this.#go();
  }

  /** All pieces have arrived. */
  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.measured = this.rate;
    this.pace.learn(this.measured ?? NaN, this.#received);
    if (this.#pending.length || this.#sources.size) this.#go();
    else {
      if (this.state === "buffering") this.stalls -= 1; // nothing followed: it was the end
      this.#end("ended");
    }
  }

  /** Seconds of audio per second of synthesis: of this answer, or else of earlier ones. */
  get rate() {
    const wall = (performance.now() - this.#first.at) / 1000;
    const later = this.#received - this.#first.seconds;
    return later > 0 && wall > 0.05 ? later / wall : this.pace.rate;
  }

  /** Seconds to wait until what is buffered lasts to the end, by the estimate. */
  get wait() {
    const rate = this.rate;
    if (this.#closed || rate === null || rate >= 1) return 0;
    const expected = Math.min(this.longest, this.pace.length ?? this.longest * 0.6);
    const rest = Math.max(0, expected - this.#received);
    const ready = this.#pending.reduce((sum, piece) => sum + piece.buffer.duration, 0);
    return Math.max(0, rest * (1 / rate - 1) + MARGIN - ready);
  }

  /** Seconds of the answer that have left the loudspeaker. */
  position() {
    const now = this.context.currentTime - (this.context.outputLatency || 0);
    let position = 0;
    for (const { at, from, seconds } of this.#stretches) {
      if (now < at) break;
      position = from + Math.min(now - at, seconds);
    }
    return position;
  }

  /** Samples of the answer so far. @returns {Int16Array} */
  samples() {
    const all = new Int16Array(this.#samples.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of this.#samples) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  /** Stop the sound. Returns the seconds that were heard. */
  stop() {
    const heard = this.position();
    this.#pending = [];
    this.#end("stopped");
    for (const source of this.#sources) source.stop();
    return heard;
  }

  #go() {
    if (this.state === "ended" || this.state === "stopped") return;
    const now = this.context.currentTime;
    if (this.state === "playing" && this.#next < now) this.#stall();
    if (this.state !== "playing") {
      if (!this.#pending.length) return;
      if (this.wait > 0) {
        this.#change("buffering");
        return;
      }
      if (this.#next) this.stalled += now + LEAD - this.#next;
      this.#next = now + LEAD;
      this.#change("playing");
    }
    for (const piece of this.#pending.splice(0)) this.#schedule(piece);
  }

  /** @param {{buffer: AudioBuffer, from: number}} piece */
  #schedule({ buffer, from }) {
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.context.destination);
    source.onended = () => {
      this.#sources.delete(source);
      if (this.#sources.size || this.state !== "playing") return;
      if (this.#closed && !this.#pending.length) this.#end("ended");
      else this.#stall();
    };
    source.start(this.#next);
    this.#sources.add(source);
    this.#stretches.push({ at: this.#next, from, seconds: buffer.duration });
    this.#next += buffer.duration;
  }

  #stall() {
    this.stalls += 1;
    this.#change("buffering");
  }

  /** @param {SpeechState} how */
  #end(how) {
    if (this.state === "ended" || this.state === "stopped") return;
    this.#change(how);
    this.#resolve(how);
  }

  /** @param {SpeechState} state */
  #change(state) {
    if (this.state === state) return;
    this.state = state;
    const later = state === "stopped" ? 0 : (this.context.outputLatency || 0) + (state === "playing" ? LEAD : 0);
    this.changed(state, performance.now() + 1000 * later);
  }
}
