// The OpenAI SDK for Node: a spoken conversation of three turns over its realtime client.
import OpenAI from "openai";
import { OpenAIRealtimeWebSocket } from "openai/realtime/websocket";
import { assert, model, run, url } from "./cases.mjs";
import { INSTRUCTIONS, Inbox, VAD, answered, piecesOf, turns } from "./spoken.mjs";

// The SDK connects by TLS only, and the server under judgement has none.
globalThis.WebSocket = class extends WebSocket {
  constructor(to, protocols) {
    super(String(to).replace(/^wss:/, "ws:"), protocols);
  }
};

async function conversation(turn_detection) {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "unused" });
  const connection = new OpenAIRealtimeWebSocket({ model }, client);
  const inbox = new Inbox();
  connection.on("event", inbox.take);
  const failures = [];
  connection.on("error", (error) => failures.push(error.message));
  await inbox.until("session.created");
  const audio = { input: { turn_detection, transcription: { model: "whisper-1" } } };
  const session = { type: "realtime", instructions: INSTRUCTIONS, output_modalities: ["audio"], max_output_tokens: 30, audio };
  connection.send({ type: "session.update", session });
  await inbox.until("session.updated");
  for (const path of turns) {
    for (const piece of await piecesOf(path, turn_detection)) connection.send({ type: "input_audio_buffer.append", audio: piece.toString("base64") });
    if (!turn_detection) {
      connection.send({ type: "input_audio_buffer.commit" });
      connection.send({ type: "response.create" });
    }
    answered(await inbox.until("response.done"));
  }
  connection.close();
  assert.deepEqual(failures, []);
}

await run({
  "three spoken turns, the client commits": () => conversation(null),
  "three spoken turns, the server finds their ends": () => conversation(VAD),
});
process.exit(0);
