// A conversation of two turns with a forced tool, streamed and not, by the SDK in the last argument. A small model can hold
// it: the grammar holds the call, and the second turn may answer anything. The live tests run it too, with fewer packages.
import { assert, model, run, url } from "./cases.mjs";

const CITIES = ["Paris", "Oslo"];
const QUESTION = { role: "user", content: "What is the weather in Paris?" };
const RESULT = "Rain, 12 degrees.";
const SCHEMA = {
  type: "object",
  properties: { city: { type: "string", enum: CITIES } },
  required: ["city"],
  additionalProperties: false,
};
const NAME = "get_weather";
const description = "The weather in a city now.";
// The grammar ends the call; a small model may not end its text.
const [callTokens, textTokens] = [64, 16];
const bounds = { model, temperature: 0, max_tokens: callTokens };

function held(name, input) {
  assert.equal(name, NAME);
  assert(CITIES.includes(input.city), JSON.stringify(input));
}

async function chat(ask) {
  const messages = [QUESTION];
  const tools = [{ type: "function", function: { name: NAME, description, parameters: SCHEMA } }];
  const tool_choice = { type: "function", function: { name: NAME } };
  const { message, finish_reason } = (await ask({ ...bounds, messages, tools, tool_choice })).choices[0];
  assert.equal(message.tool_calls.length, 1);
  assert(["stop", "tool_calls"].includes(finish_reason), finish_reason);
  const [call] = message.tool_calls;
  held(call.function.name, JSON.parse(call.function.arguments));
  messages.push(message, { role: "tool", tool_call_id: call.id, content: RESULT });
  const last = (await ask({ ...bounds, max_tokens: textTokens, messages, tools, tool_choice: "none" })).choices[0];
  assert(last.message.content.trim());
  assert(["stop", "length"].includes(last.finish_reason), last.finish_reason);
}

async function responses(ask) {
  const tools = [{ type: "function", name: NAME, description, parameters: SCHEMA, strict: true }];
  const base = { model, temperature: 0, max_output_tokens: callTokens, tools };
  const first = await ask({ ...base, input: [QUESTION], tool_choice: { type: "function", name: NAME } });
  assert.deepEqual(first.output.map((item) => item.type), ["function_call"]);
  const [call] = first.output;
  held(call.name, JSON.parse(call.arguments));
  const output = { type: "function_call_output", call_id: call.call_id, output: RESULT };
  const input = [QUESTION, ...first.output.map(({ parsed_arguments, ...item }) => item), output];
  const last = await ask({ ...base, max_output_tokens: textTokens, input, tool_choice: "none" });
  assert(last.output_text.trim());
  assert(["completed", "incomplete"].includes(last.status), last.status);
}

async function messages(ask) {
  const base = { ...bounds, tools: [{ name: NAME, description, input_schema: SCHEMA }] };
  const turns = [QUESTION];
  const called = await ask({ ...base, messages: turns, tool_choice: { type: "tool", name: NAME } });
  assert.equal(called.stop_reason, "tool_use");
  assert.deepEqual(called.content.map((block) => block.type), ["tool_use"]);
  const [call] = called.content;
  held(call.name, call.input);
  turns.push({ role: "assistant", content: called.content });
  turns.push({ role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: RESULT }] });
  const last = await ask({ ...base, max_tokens: textTokens, messages: turns, tool_choice: { type: "none" } });
  assert(last.content[0].text.trim());
  assert(["end_turn", "max_tokens"].includes(last.stop_reason), last.stop_reason);
}

async function openaiCases() {
  const { default: OpenAI } = await import("openai");
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "unused", maxRetries: 0 });
  return {
    "chat": () => chat((body) => client.chat.completions.create(body)),
    "chat, streamed": () => chat((body) => client.chat.completions.stream(body).finalChatCompletion()),
    "responses": () => responses((body) => client.responses.create(body)),
    "responses, streamed": () => responses((body) => client.responses.stream(body).finalResponse()),
  };
}

async function anthropicCases() {
  const { default: Anthropic } = await import("@anthropic-ai/sdk");
  const client = new Anthropic({ baseURL: url, apiKey: "unused", authToken: null, maxRetries: 0 });
  return {
    "messages": () => messages((body) => client.messages.create(body)),
    "messages, streamed": () => messages((body) => client.messages.stream(body).finalMessage()),
  };
}

async function aiCases() {
  const { createAnthropic } = await import("@ai-sdk/anthropic");
  const { createOpenAI } = await import("@ai-sdk/openai");
  const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible");
  const { generateText, isStepCount, streamText, tool } = await import("ai");
  const { z } = await import("zod");
  const openai = createOpenAI({ baseURL: `${url}/v1`, apiKey: "unused" });
  const compatible = createOpenAICompatible({ name: "local", baseURL: `${url}/v1`, includeUsage: true });
  const providers = {
    "openai-compatible": compatible(model),
    "openai chat": openai.chat(model),
    "openai responses": openai.responses(model),
    "anthropic": createAnthropic({ baseURL: `${url}/v1`, apiKey: "unused" })(model),
  };
  const cases = {};
  for (const [name, provided] of Object.entries(providers)) {
    const conversation = async (generate) => {
      const asked = [];
      const execute = ({ city }) => (asked.push(city), RESULT);
      const result = await generate({
        model: provided,
        temperature: 0,
        maxOutputTokens: callTokens,
        maxRetries: 0,
        prompt: QUESTION.content,
        tools: { [NAME]: tool({ description, inputSchema: z.object({ city: z.enum(CITIES) }), execute }) },
        stopWhen: isStepCount(2),
        prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber ? "none" : { type: "tool", toolName: NAME } }),
      });
      const [first, second] = await result.steps;
      assert.equal(asked.length, 1);
      held(first.toolCalls[0].toolName, first.toolCalls[0].input);
      assert(second.text.trim());
      assert(["stop", "length"].includes(second.finishReason), second.finishReason);
      assert(second.usage.outputTokens > 0);
    };
    cases[name] = () => conversation(generateText);
    cases[`${name}, streamed`] = () => conversation(async (options) => {
      const result = streamText({ ...options, onError: () => {} });
      await result.consumeStream();
      return result;
    });
  }
  return cases;
}

const cases = { openai: openaiCases, "@anthropic-ai/sdk": anthropicCases, ai: aiCases };
await run(await cases[process.argv[5]]());
