/** Makes the next speaker ready: the server computes the prompt while the speaker before still talks. */

import { RequestFailed, request } from "./stream.js";

/** One request at a time; of those that wait, the latest. */
export class Ahead {
  #busy = false;
  #refused = false;
  #wanted = /** @type {object | null} */ (null);
  #abort = new AbortController();

  /**
   * Compute a prompt. Does nothing where the server has refused one.
   *
   * @param {{model: string, messages: object[]}} prompt
   * @param {Record<string, string>} headers
   */
  async compute(prompt, headers) {
    this.#wanted = prompt;
    if (this.#busy || this.#refused) return;
    this.#busy = true;
    while (this.#wanted) {
      const body = { ...this.#wanted, prefill_only: true };
      this.#wanted = null;
      try {
        await (await request("v1/chat/completions", { body, headers, signal: this.#abort.signal })).arrayBuffer();
      } catch (error) {
        this.#refused ||= error instanceof RequestFailed && error.status === 400;
      }
    }
    this.#busy = false;
  }

  /** Give up what is not computed yet: the turn itself is requested now. */
  stop() {
    this.#wanted = null;
    this.#abort.abort();
    this.#abort = new AbortController();
  }
}
