// OpenAI's agents SDK: a session over a WebSocket holds three spoken turns, and its own schemas read every event.
import { RealtimeAgent, RealtimeSession, OpenAIRealtimeWebSocket } from "@openai/agents/realtime";
import { assert, model, run, url } from "./cases.mjs";
import { INSTRUCTIONS, Inbox, VAD, answered, piecesOf, turns } from "./spoken.mjs";

const EXTENSIONS = ["response.output_audio.words", "response.output_audio.visemes"];
// The SDK treats what its schemas refuse as an unknown event, so the judge asks them itself.
const { parseRealtimeEvent } = await import(new URL("node_modules/@openai/agents-realtime/dist/openaiRealtimeEvents.mjs", import.meta.url));

async function conversation(turnDetection) {
  const transport = new OpenAIRealtimeWebSocket({ url: `${url.replace(/^http/, "ws")}/v1/realtime?model=${encodeURIComponent(model)}` });
  const agent = new RealtimeAgent({ name: "judge", instructions: INSTRUCTIONS });
  const audio = { input: { turnDetection, transcription: { model: "whisper-1" } }, output: { voice: "alloy" } };
  const session = new RealtimeSession(agent, { model, transport, config: { outputModalities: ["audio"], audio, providerData: { max_output_tokens: 30 } } });
  const inbox = new Inbox();
  const refused = new Set();
  let sound = 0;
  transport.on("*", (event) => {
    const { isGeneric } = parseRealtimeEvent({ data: JSON.stringify(event) });
    if (isGeneric && !EXTENSIONS.includes(event.type)) refused.add(event.type);
    inbox.take(event);
  });
  session.on("audio", ({ data }) => (sound += data.byteLength));
  session.on("error", ({ error }) => refused.add(`error: ${JSON.stringify(error)}`));
  await session.connect({ apiKey: "unused" });
  await inbox.until("session.updated");
  for (const path of turns) {
    const before = sound;
    for (const piece of await piecesOf(path, turnDetection)) session.sendAudio(new Uint8Array(piece).buffer);
    if (!turnDetection) {
      transport.sendEvent({ type: "input_audio_buffer.commit" });
      transport.requestResponse();
    }
    answered(await inbox.until("response.done"));
    assert.ok(sound > before, "the session hands the sound out");
  }
  const history = session.history.filter((item) => item.type === "message").map((item) => item.role);
  assert.deepEqual(history, turns.flatMap(() => ["user", "assistant"]));
  session.close();
  assert.deepEqual([...refused], []);
}

await run({
  "three spoken turns, the client commits": () => conversation(null),
  "three spoken turns, the server finds their ends": () => conversation(VAD),
});
process.exit(0);
