/** The microphone on the audio thread: mono pieces of 40 ms at 24 kHz, as signed 16-bit samples. */

const RATE = 24_000;
const PIECE = 960; // samples

const scope = /** @type {any} */ (globalThis); // names of the audio thread, which the types of a page lack

class Capture extends scope.AudioWorkletProcessor {
  #piece = new Int16Array(PIECE);
  #filled = 0;
  #squares = 0; // of the piece's samples
  // Samples of the context per sample of a piece. 1 where the context runs at 24 kHz.
  #ratio = scope.sampleRate / RATE;
  #sum = 0;
  #share = 0; // of `#ratio`, what `#sum` has

  /** @param {Float32Array[][]} inputs @returns {boolean} */
  process([input]) {
    if (!input.length) return true;
    for (let at = 0; at < input[0].length; at++) {
      let sample = 0;
      for (const channel of input) sample += channel[at];
      this.#take(sample / input.length);
    }
    return true;
  }

  /** Resample by means: each sample of a piece is the mean of the stretch of sound that it stands for. @param {number} sample */
  #take(sample) {
    let rest = 1;
    while (this.#share + rest >= this.#ratio) {
      const part = this.#ratio - this.#share;
      this.#put((this.#sum + sample * part) / this.#ratio);
      this.#sum = this.#share = 0;
      rest -= part;
      if (rest < 1e-9) return;
    }
    this.#sum += sample * rest;
    this.#share += rest;
  }

  /** @param {number} sample */
  #put(sample) {
    const value = Math.max(-1, Math.min(1, sample));
    this.#piece[this.#filled++] = Math.round(value * 32767);
    this.#squares += value * value;
    if (this.#filled < PIECE) return;
    const { buffer } = this.#piece;
    this["port"].postMessage({ samples: buffer, level: Math.sqrt(this.#squares / PIECE) }, [buffer]);
    this.#piece = new Int16Array(PIECE);
    this.#filled = this.#squares = 0;
  }
}

scope.registerProcessor("capture", Capture);
