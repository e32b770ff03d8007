// Usage: node chat.mjs BASE_URL. Asks once streamed and once not; prints one JSON object.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "unused", maxRetries: 0 });
const request = {
  model: "any",
  temperature: 0,
  max_tokens: 32,
  messages: [{ role: "user", content: "What is the capital of France?" }],
};

let streamed = "";
let chunks = 0;
let finishReason = null;
let usage = null;
const stream = await client.chat.completions.create({ ...request, stream: true, stream_options: { include_usage: true } });
for await (const chunk of stream) {
  chunks += 1;
  streamed += chunk.choices[0]?.delta?.content ?? "";
  finishReason = chunk.choices[0]?.finish_reason ?? finishReason;
  usage = chunk.usage ?? usage;
}

const whole = await client.chat.completions.create(request);
const models = [];
for await (const model of client.models.list()) models.push(model.id);

console.log(JSON.stringify({
  streamed,
  chunks,
  finishReason,
  usage,
  whole: whole.choices[0].message.content,
  models,
}));
