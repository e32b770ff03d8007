/** The person's microphone: permission, pieces of sound, and ducking while the avatar speaks. */

const DUCKED = 0.03; // level below which sound counts as echo while the avatar speaks; speech into a microphone has 0.05 to 0.3
const HOLD = 8; // pieces that stay open after a loud one: the pauses within a word

/** What keeps the page from hearing the person; the message is for the person. */
export class MicrophoneFailed extends Error {}

/** @type {Record<string, string>} */
const REASONS = {
  NotAllowedError: "The microphone is blocked. Allow it in the browser's site settings, then try again.",
  NotFoundError: "No microphone was found. Connect one, then try again.",
  NotReadableError: "The microphone cannot be used: another program may hold it.",
};

/**
 * Holds back what the loudspeaker sends into the microphone. While the avatar speaks, quiet pieces become silence; a loud
 * one, with the piece before it, passes. The browser's echo cancellation has removed most of the echo before.
 */
export class Ducking {
  on = false;
  #held = /** @type {Int16Array | null} */ (null); // the last quiet piece, which a loud one lets pass
  #open = 0;

  /**
   * @param {Int16Array} samples
   * @param {number} level Root mean square, 0 to 1.
   * @returns {Int16Array[]} What is to be sent now. Ducked sound is one piece late, so that no word loses its beginning.
   */
  pass(samples, level) {
    if (!this.on) return [...this.#flush(), samples];
    if (level >= DUCKED) {
      this.#open = HOLD;
      return [...this.#flush(), samples];
    }
    if (this.#open > 0) {
      this.#open -= 1;
      return [samples];
    }
    const before = this.#held;
    this.#held = samples;
    return before ? [new Int16Array(before.length)] : [];
  }

  #flush() {
    const held = this.#held;
    this.#held = null;
    return held ? [held] : [];
  }
}

export class Microphone {
  ducking = new Ducking();
  /** Level of the last piece, 0 to 1. */
  level = 0;
  muted = false;

  /**
   * @param {MediaStream} stream
   * @param {AudioContext} context
   * @param {(samples: Int16Array) => void} heard
   */
  constructor(stream, context, heard) {
    this.stream = stream;
    this.context = context;
    this.heard = heard;
  }

  /**
   * Ask for the microphone, and begin to listen.
   *
   * @param {(samples: Int16Array) => void} heard Called with each piece, at 24 kHz.
   * @param {() => void} lost Called when the microphone goes away.
   * @throws {MicrophoneFailed}
   */
  static async open(heard, lost) {
    if (!navigator.mediaDevices?.getUserMedia) throw new MicrophoneFailed("Browsers give the microphone only to pages from this machine, or over HTTPS.");
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true } });
    } catch (error) {
      const { name, message } = /** @type {Error} */ (error);
      throw new MicrophoneFailed(REASONS[name] ?? `The microphone cannot be used: ${message}`);
    }
    const [context, source] = connected(stream);
    const microphone = new Microphone(stream, context, heard);
    await context.audioWorklet.addModule(new URL("capture.js", import.meta.url));
    const node = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
    node.port.onmessage = ({ data }) => microphone.#take(new Int16Array(data.samples), data.level);
    source.connect(node);
    await context.resume();
    for (const track of stream.getTracks()) track.addEventListener("ended", lost);
    return microphone;
  }

  close() {
    for (const track of this.stream.getTracks()) track.stop();
    this.context.close();
  }

  /** @param {Int16Array} samples @param {number} level */
  #take(samples, level) {
    this.level = this.muted ? 0 : level;
    // Silence is sent too: the server's voice activity counts in sound, so a gap would keep a turn open.
    if (this.muted) samples.fill(0);
    for (const piece of this.ducking.pass(samples, this.level)) this.heard(piece);
  }
}

/**
 * A context at the rate of the protocol; at the microphone's own where the browser connects no other.
 *
 * @param {MediaStream} stream
 * @returns {[AudioContext, MediaStreamAudioSourceNode]}
 */
function connected(stream) {
  const context = new AudioContext({ sampleRate: 24_000 });
  try {
    return [context, context.createMediaStreamSource(stream)];
  } catch {
    context.close();
    const own = new AudioContext();
    return [own, own.createMediaStreamSource(stream)];
  }
}
