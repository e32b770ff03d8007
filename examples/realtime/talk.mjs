// A spoken conversation over one WebSocket: each WAV file is a turn. For Node 22 or later, with the package `openai`.
//
// Usage: node talk.mjs [--url=http://127.0.0.1:8000/v1] [--model=any] [--max-tokens=60] TURN.wav [TURN.wav …]
// Prints one JSON object: each turn with its transcript, the answer, and its words and visemes.
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import OpenAI from "openai";
import { OpenAIRealtimeWebSocket } from "openai/realtime/websocket";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    url: { type: "string", default: "http://127.0.0.1:8000/v1" },
    model: { type: "string", default: "any" },
    "max-tokens": { type: "string", default: "60" },
  },
});
const RATE = 24_000; // samples per second of the protocol's sound: mono, 16 bits

if (values.url.startsWith("http:")) {
  // The SDK connects by TLS only. A server on this machine needs none.
  globalThis.WebSocket = class extends WebSocket {
    constructor(url, protocols) {
      super(String(url).replace(/^wss:/, "ws:"), protocols);
    }
  };
}

/** The sound of a 16-bit mono WAV file, in the rate of the protocol: each sample is the nearest one of the file. */
async function samplesOf(path) {
  const file = await readFile(path);
  const rate = file.readUInt32LE(24);
  const pcm = file.subarray(file.indexOf("data") + 8);
  const samples = new Int16Array(Math.floor(((pcm.length >> 1) * RATE) / rate));
  for (let place = 0; place < samples.length; place++) samples[place] = pcm.readInt16LE(2 * Math.floor((place * rate) / RATE));
  return Buffer.from(samples.buffer);
}

const client = new OpenAI({ baseURL: values.url, apiKey: "unused" });
const connection = new OpenAIRealtimeWebSocket({ model: values.model }, client);
const turns = [];
const pending = [...positionals];
let turn = null;

async function speak() {
  const path = pending.shift();
  if (!path) {
    connection.close();
    console.log(JSON.stringify({ turns }));
    return;
  }
  turns.push((turn = { said: "", answer: "", words: [], visemes: [], seconds: 0 }));
  const sound = await samplesOf(path);
  for (let start = 0; start < sound.length; start += RATE)
    connection.send({ type: "input_audio_buffer.append", audio: sound.subarray(start, start + RATE).toString("base64") });
  connection.send({ type: "input_audio_buffer.commit" });
  connection.send({ type: "response.create" });
}

connection.on("session.created", () =>
  connection.send({
    type: "session.update",
    session: {
      type: "realtime",
      instructions: "Answer in one short spoken sentence.",
      output_modalities: ["audio"],
      max_output_tokens: Number(values["max-tokens"]),
      audio: {
        // The client says where a turn ends. With { type: "server_vad" } the server hears it.
        input: { turn_detection: null, transcription: { model: "any" } },
        output: { voice: "af_heart" },
      },
    },
  }),
);
connection.on("session.updated", speak);
connection.on("conversation.item.input_audio_transcription.completed", ({ transcript }) => (turn.said = transcript));
connection.on("response.output_audio_transcript.delta", ({ delta }) => (turn.answer += delta));
connection.on("response.output_audio.words", ({ words }) => turn.words.push(...words)); // an extension, as the next
connection.on("response.output_audio.visemes", ({ visemes }) => turn.visemes.push(...visemes));
connection.on("response.output_audio.delta", ({ delta }) => (turn.seconds += Buffer.from(delta, "base64").length / 2 / RATE));
connection.on("response.done", speak);
connection.on("error", (error) => {
  console.error(error.message);
  process.exit(1);
});
