/** One session of `/v1/realtime`: events both ways, over a WebSocket. */

import { RequestFailed, hasKey, json } from "../arena/stream.js";

/** @typedef {{type: string, [field: string]: any}} RealtimeEvent */

const BROKEN = "The connection broke off: the server is restarting, or the network is down.";

export class Connection {
  #closed = false;
  #said = /** @type {RequestFailed | null} */ (null); // the last error, which is the reason if the server then closes

  /**
   * @param {WebSocket} socket
   * @param {(event: RealtimeEvent) => void} received
   * @param {(error: RequestFailed) => void} lost The connection ended, and not by `close`.
   */
  constructor(socket, received, lost) {
    this.socket = socket;
    socket.addEventListener("message", ({ data }) => {
      const event = JSON.parse(data);
      if (event.type === "error") this.#said = refusal(event.error);
      received(event);
    });
    socket.addEventListener("close", ({ reason }) => {
      if (!this.#closed) lost((reason && this.#said) || new RequestFailed(BROKEN));
      this.#closed = true;
    });
  }

  /**
   * Open a session with a chat model.
   *
   * @param {string} model
   * @param {(event: RealtimeEvent) => void} received
   * @param {(error: RequestFailed) => void} lost
   * @throws {RequestFailed}
   */
  static async open(model, received, lost) {
    const protocols = ["realtime"];
    if (hasKey()) {
      // A browser can send no header with a WebSocket, and a subprotocol cannot hold every key: a short-lived one can.
      const secret = await json("v1/realtime/client_secrets", { body: { session: { type: "realtime", model } } });
      protocols.push(`openai-insecure-api-key.${secret.value}`);
    }
    const url = new URL(`v1/realtime?model=${encodeURIComponent(model)}`, document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url, protocols);
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve, { once: true });
      socket.addEventListener("error", () => reject(new RequestFailed("The server does not accept the conversation: it is restarting, or the network is down.")), { once: true });
    });
    return new Connection(socket, received, lost);
  }

  /** @param {RealtimeEvent} event */
  send(event) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(event));
  }

  close() {
    this.#closed = true;
    this.socket.close(1000);
  }
}

/** @param {{message: string, code?: string}} error */
const refusal = ({ message, code }) => new RequestFailed(message, { code, status: code === "invalid_api_key" ? 401 : 0 });

/** @param {Int16Array} samples @returns {string} */
export function base64(samples) {
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}
