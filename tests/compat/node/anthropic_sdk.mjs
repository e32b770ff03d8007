// The official Anthropic SDK: text and conversations of two turns with a tool, streamed and not.
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { z } from "zod";
import { assert, CITY, model, run, url } from "./cases.mjs";

const client = new Anthropic({ baseURL: url, apiKey: "unused", authToken: null, maxRetries: 0 });
const tools = [{ name: "get_weather", description: "The weather in a city", input_schema: CITY }];
const question = { role: "user", content: "What is the weather in Paris?" };
const common = { model, max_tokens: 64, system: [{ type: "text", text: "Help.", cache_control: { type: "ephemeral" } }] };

const whole = (body) => client.messages.create({ ...common, ...body });
const streamed = (body) => client.messages.stream({ ...common, ...body }).finalMessage();

async function twoTurns(ask) {
  const messages = [question];
  const called = await ask({ messages, tools });
  assert.equal(called.stop_reason, "tool_use");
  const call = called.content.find((block) => block.type === "tool_use");
  assert.deepEqual([call.name, call.input], ["get_weather", { city: "Paris" }]);
  messages.push({ role: "assistant", content: called.content });
  const result = { type: "tool_result", tool_use_id: call.id, content: [{ type: "text", text: "Rain, 12 degrees." }] };
  messages.push({ role: "user", content: [result] });
  const last = await ask({ messages, tools });
  assert.equal(last.stop_reason, "end_turn");
  assert.match(last.content[0].text, /rain/i);
}

await run({
  "text": async () => {
    const message = await whole({ messages: [{ role: "user", content: "Say hello." }] });
    assert.match(message.content[0].text, /hello/i);
    assert(message.usage.input_tokens > 0 && message.usage.output_tokens > 0);
  },
  "text, streamed": async () => {
    const pieces = [];
    const stream = client.messages.stream({ ...common, messages: [{ role: "user", content: "Say hello." }] });
    stream.on("text", (piece) => pieces.push(piece));
    const message = await stream.finalMessage();
    assert.equal(pieces.join(""), message.content[0].text);
    assert(pieces.length > 1);
  },
  "two turns with a tool": () => twoTurns(whole),
  "two turns with a tool, streamed": () => twoTurns(streamed),
  "the SDK's tool runner": async () => {
    const asked = [];
    const weather = betaZodTool({
      name: "get_weather",
      description: "The weather in a city",
      inputSchema: z.object({ city: z.string() }),
      run: ({ city }) => (asked.push(city), "Rain, 12 degrees."),
    });
    const message = await client.beta.messages.toolRunner({ ...common, messages: [question], tools: [weather] });
    assert.deepEqual(asked, ["Paris"]);
    assert.match(message.content[0].text, /rain/i);
  },
  "a forced tool": async () => {
    const messages = [{ role: "user", content: "Hello." }];
    const message = await whole({ messages, tools, tool_choice: { type: "tool", name: "get_weather" } });
    assert.equal(message.stop_reason, "tool_use");
  },
  "a stop sequence": async () => {
    const messages = [{ role: "user", content: "Repeat: one two STOP three" }];
    const message = await whole({ messages, stop_sequences: ["STOP"] });
    assert.equal(message.stop_reason, "stop_sequence");
    assert.equal(message.stop_sequence, "STOP");
  },
  "max_tokens": async () => {
    const message = await whole({ messages: [{ role: "user", content: "Count from 1 to 1000." }], max_tokens: 2 });
    assert.equal(message.stop_reason, "max_tokens");
  },
  "structured output": async () => {
    const schema = {
      type: "object",
      properties: { name: { type: "string" }, age: { type: "integer" } },
      required: ["name", "age"],
      additionalProperties: false,
    };
    const messages = [{ role: "user", content: "Extract: 'Ada' is 36 years old." }];
    const message = await whole({ messages, output_config: { format: { type: "json_schema", schema } } });
    assert.deepEqual(JSON.parse(message.content[0].text), { name: "Ada", age: 36 });
  },
  "count_tokens": async () => {
    const bare = await client.messages.countTokens({ model, messages: [question] });
    const equipped = await client.messages.countTokens({ model, messages: [question], tools });
    assert(bare.input_tokens > 0 && equipped.input_tokens >= bare.input_tokens);
  },
  "models": async () => {
    const ids = [];
    for await (const each of client.models.list()) ids.push(each.id);
    assert(ids.includes(model));
  },
  "an error is the SDK's own": async () => {
    const error = await whole({ messages: [] }).catch((error) => error);
    assert(error instanceof Anthropic.BadRequestError);
    assert.equal(error.error.error.type, "invalid_request_error");
  },
});
