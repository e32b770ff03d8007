// The official OpenAI SDK: conversations of two turns with tools, streamed and not, over both of its APIs.
import OpenAI from "openai";
import { zodFunction, zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { assert, CITY, embedder, model, run, url } from "./cases.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "unused", maxRetries: 0 });
const question = { role: "user", content: "What is the weather in Paris?" };
const tools = [{ type: "function", function: { name: "get_weather", description: "Weather", parameters: CITY } }];
const flatTools = [{ type: "function", name: "get_weather", description: "Weather", parameters: CITY, strict: true }];
const Person = z.object({ name: z.string(), age: z.number().int() });

// The second turn: the call's result is in the answer.
async function answered(messages, called, ask) {
  assert.equal(called.tool_calls[0].function.name, "get_weather");
  assert.equal(JSON.parse(called.tool_calls[0].function.arguments).city, "Paris");
  messages.push(called, { role: "tool", tool_call_id: called.tool_calls[0].id, content: "Rain, 12 degrees." });
  const last = await ask(messages);
  assert.match(last.content, /rain/i);
}

async function whole(messages) {
  const answer = await client.chat.completions.create({ model, messages, tools, temperature: 0 });
  assert.equal(answer.choices[0].finish_reason, answer.choices[0].message.tool_calls ? "tool_calls" : "stop");
  return answer.choices[0].message;
}

async function streamed(messages) {
  const stream = client.chat.completions.stream({ model, messages, tools, temperature: 0 });
  return (await stream.finalChatCompletion()).choices[0].message;
}

await run({
  "chat, two turns with a tool": () => {
    const messages = [question];
    return whole(messages).then((called) => answered(messages, called, whole));
  },
  "chat, two turns with a tool, streamed": () => {
    const messages = [question];
    return streamed(messages).then((called) => answered(messages, called, streamed));
  },
  "chat, runTools": async () => {
    const asked = [];
    const runner = client.chat.completions.runTools({
      model,
      messages: [question],
      tools: [
        zodFunction({
          name: "get_weather",
          parameters: z.object({ city: z.string() }),
          function: ({ city }) => (asked.push(city), "Rain, 12 degrees."),
        }),
      ],
    });
    assert.match(await runner.finalContent(), /rain/i);
    assert.deepEqual(asked, ["Paris"]);
  },
  "chat, two calls in one streamed turn": async () => {
    const messages = [{ role: "user", content: "What is the weather in Paris and in Oslo?" }];
    const called = await streamed(messages);
    assert.deepEqual(called.tool_calls.map((call) => JSON.parse(call.function.arguments).city), ["Paris", "Oslo"]);
  },
  "chat, parse with a zod schema": async () => {
    const answer = await client.chat.completions.parse({
      model,
      messages: [{ role: "user", content: "Extract: 'Ada' is 36 years old." }],
      response_format: zodResponseFormat(Person, "person"),
    });
    assert.deepEqual(answer.choices[0].message.parsed, { name: "Ada", age: 36 });
  },
  "chat, usage of a stream": async () => {
    const stream = await client.chat.completions.create({
      model, messages: [question], stream: true, stream_options: { include_usage: true },
    });
    let usage;
    for await (const chunk of stream) usage = chunk.usage ?? usage;
    assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  },
  "chat, aborting a stream": async () => {
    const stream = await client.chat.completions.create({ model, messages: [question], stream: true });
    for await (const _ of stream) break;
    assert(stream.controller.signal.aborted);
  },
  "responses, two turns with a tool": async () => {
    const first = await client.responses.create({ model, input: [question], tools: flatTools });
    const call = first.output.find((item) => item.type === "function_call");
    assert.equal(JSON.parse(call.arguments).city, "Paris");
    const output = { type: "function_call_output", call_id: call.call_id, output: "Rain, 12 degrees." };
    const input = [question, ...first.output, output];
    const second = await client.responses.create({ model, input, tools: flatTools });
    assert.match(second.output_text, /rain/i);
  },
  "responses, two turns with a tool by previous_response_id": async () => {
    const first = await client.responses.create({ model, input: [question], tools: flatTools });
    const call = first.output.find((item) => item.type === "function_call");
    const input = [{ type: "function_call_output", call_id: call.call_id, output: "Rain, 12 degrees." }];
    const previous_response_id = first.id;
    const second = await client.responses.create({ model, input, tools: flatTools, previous_response_id });
    assert.match(second.output_text, /rain/i);
  },
  "responses, two turns with a tool, streamed": async () => {
    const first = await client.responses.stream({ model, input: [question], tools: flatTools }).finalResponse();
    const call = first.output.find((item) => item.type === "function_call");
    const output = { type: "function_call_output", call_id: call.call_id, output: "Rain, 12 degrees." };
    const input = [question, ...first.output.map(({ parsed_arguments, ...item }) => item), output];
    let text = "";
    const stream = client.responses.stream({ model, input, tools: flatTools });
    stream.on("response.output_text.delta", (event) => (text += event.delta));
    const last = await stream.finalResponse();
    assert.equal(text, last.output_text);
    assert.match(text, /rain/i);
  },
  "responses, parse with a zod schema": async () => {
    const answer = await client.responses.parse({
      model, input: "Extract: 'Ada' is 36 years old.", text: { format: zodTextFormat(Person, "person") },
    });
    assert.deepEqual(answer.output_parsed, { name: "Ada", age: 36 });
  },
  "embeddings": async () => {
    const answer = await client.embeddings.create({ model: embedder, input: ["one", "two words"] });
    assert.equal(answer.data.length, 2);
    assert(answer.data[0].embedding.length >= 3);
  },
  "models": async () => {
    const ids = [];
    for await (const each of client.models.list()) ids.push(each.id);
    assert(ids.includes(model));
    assert.equal((await client.models.retrieve(model)).id, model);
  },
  "an error is the SDK's own": async () => {
    const error = await client.chat.completions.create({ model, messages: [] }).catch((error) => error);
    assert(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "messages");
    assert(error.requestID);
  },
});
