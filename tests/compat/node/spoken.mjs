// Recorded turns, and the checks of a spoken conversation, for the judges of `/v1/realtime`.
import { readFile } from "node:fs/promises";
import { assert } from "./cases.mjs";

export const RATE = 24_000;
export const VAD = { type: "server_vad", silence_duration_ms: 400 };
export const INSTRUCTIONS = "Answer in one short spoken sentence.";
export const turns = process.argv.slice(5);

/** The sound of a 16-bit mono WAV file, at the rate of the protocol. */
export async function samplesOf(path) {
  const file = await readFile(path);
  const rate = file.readUInt32LE(24);
  const pcm = file.subarray(file.indexOf("data") + 8);
  const samples = new Int16Array(Math.floor(((pcm.length >> 1) * RATE) / rate));
  for (let place = 0; place < samples.length; place++) samples[place] = pcm.readInt16LE(2 * Math.floor((place * rate) / RATE));
  return Buffer.from(samples.buffer);
}

/** Pieces of a turn, with a second of silence where the server finds its end. */
export async function piecesOf(path, detects) {
  const sound = Buffer.concat([await samplesOf(path), Buffer.alloc(detects ? 2 * RATE : 0)]);
  const size = RATE / 5;
  return Array.from({ length: Math.ceil(sound.length / size) }, (_, place) => sound.subarray(place * size, (place + 1) * size));
}

/** Waits for events in turn. `take` gets each event. */
export class Inbox {
  #events = [];
  #wake = () => {};

  take = (event) => {
    this.#events.push(event);
    this.#wake();
  };

  /** The events up to the first of this type. */
  async until(type) {
    for (;;) {
      const place = this.#events.findIndex((event) => event.type === type || event.type === "error");
      if (place >= 0) {
        const found = this.#events.splice(0, place + 1);
        assert.equal(found.at(-1).type, type, JSON.stringify(found.at(-1)));
        return found;
      }
      await new Promise((resolve) => (this.#wake = resolve));
    }
  }
}

/** The person's words were understood, and the answer has a text, a sound and an end. */
export function answered(events) {
  const of = (type) => events.filter((event) => event.type === type);
  const [said] = of("conversation.item.input_audio_transcription.completed");
  assert.ok(said.transcript.trim());
  const text = of("response.output_audio_transcript.delta").map(({ delta }) => delta).join("");
  assert.equal(of("response.output_audio_transcript.done")[0].transcript, text);
  assert.ok(of("response.output_audio.delta").length > 0);
  const [{ response }] = of("response.done");
  assert.ok(["completed", "incomplete"].includes(response.status), JSON.stringify(response));
  assert.equal(response.output[0].content[0].transcript, text);
}
