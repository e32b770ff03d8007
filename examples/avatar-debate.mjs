// Two avatars debate: a minimal client for Node and browsers. Each turn is one request; its sound and visemes become the
// arrays that TalkingHead's `streamAudio` and `speakAudio` take.
//
// Usage: node avatar-debate.mjs [BASE_URL] [TOPIC] [MAX_TOKENS]     Needs the package `openai`. Prints one JSON object.
import OpenAI from "openai";

const [baseURL = "http://127.0.0.1:8000/v1", topic = "Cities are better without cars", maxTokens = "60"] =
  process.argv.slice(2);
// The SDK repeats a request that was refused with 429 or 503, after the time that the server names.
const client = new OpenAI({ baseURL, apiKey: "unused", maxRetries: 5, timeout: 300_000, dangerouslyAllowBrowser: true });

const avatars = [
  { name: "Ada", side: "for", voice: "af_heart" },
  { name: "Ben", side: "against", voice: "am_michael" },
];

/** The debate as this avatar sees it: the other's turns are the user's. */
function conversation(avatar, turns) {
  const system = `You are ${avatar.name}. You argue ${avatar.side} this claim: ${topic}. Answer in two short spoken sentences.`;
  const messages = [{ role: "system", content: system }];
  if (!turns.length || turns[0].name === avatar.name) messages.push({ role: "user", content: "You have the floor." });
  for (const turn of turns) {
    if (turn.name !== avatar.name) messages.push({ role: "user", content: turn.text });
    // The id stands for what was heard; `played_ms` would say how much that was. The text counts if the id has expired.
    else messages.push({ role: "assistant", content: turn.text, audio: { id: turn.audioId } });
  }
  return messages;
}

/** A spoken piece in TalkingHead's form: times in milliseconds from the start of the turn. */
function forTalkingHead(piece) {
  const sounds = piece.visemes.filter((shape) => shape.viseme !== "sil");
  const milliseconds = (seconds) => Math.round(1000 * seconds);
  return {
    audio: Uint8Array.from(atob(piece.data), (character) => character.charCodeAt(0)).buffer,
    words: piece.words.map((word) => word.word),
    wtimes: piece.words.map((word) => milliseconds(word.start_time)),
    wdurations: piece.words.map((word) => milliseconds(word.end_time - word.start_time)),
    visemes: sounds.map((shape) => shape.viseme),
    vtimes: sounds.map((shape) => milliseconds(shape.start_time)),
    vdurations: sounds.map((shape) => milliseconds(shape.end_time - shape.start_time)),
  };
}

/** One turn. `caption` gets text while it is written, `voice` each spoken piece. */
async function speak(avatar, turns, caption, voice) {
  const turn = { name: avatar.name, text: "", audioId: null };
  const stream = await client.chat.completions.create({
    model: "any",
    messages: conversation(avatar, turns),
    modalities: ["text", "audio"],
    audio: { voice: avatar.voice, format: "pcm16" },
    max_tokens: Number(maxTokens),
    stream: true,
  });
  for await (const chunk of stream) {
    const audio = chunk.choices[0]?.delta?.audio;
    if (!audio) continue;
    turn.audioId = audio.id;
    if (audio.transcript) {
      turn.text += audio.transcript;
      caption(audio.transcript);
    }
    if (audio.data) voice(forTalkingHead(audio));
  }
  return turn;
}

const turns = [];
const pieces = [];
for (const avatar of avatars) {
  // In a page: head.streamAudio(piece) of the avatar that speaks.
  const voice = (piece) => pieces.push({ name: avatar.name, ...piece, audio: piece.audio.byteLength });
  turns.push(await speak(avatar, turns, (text) => process.stderr.write(text), voice));
}
console.log(JSON.stringify({ turns, pieces }));
