// The AI SDK (npm package `ai`) with three of its providers: calls as front ends and agents make them.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embed, embedMany, generateText, isStepCount, Output, streamText, tool } from "ai";
import * as ai from "ai";
import { z } from "zod";
import { assert, embedder, model, run, url } from "./cases.mjs";

const openai = createOpenAI({ baseURL: `${url}/v1`, apiKey: "unused" });
const compatible = createOpenAICompatible({
  name: "local", baseURL: `${url}/v1`, includeUsage: true, supportsStructuredOutputs: true,
});
const anthropic = createAnthropic({ baseURL: `${url}/v1`, apiKey: "unused" });
const providers = {
  "openai-compatible": compatible(model),
  "openai chat": openai.chat(model),
  "openai responses": openai.responses(model),
  "anthropic": anthropic(model),
};
const steps = isStepCount(3);
const Person = z.object({ name: z.string(), age: z.number().int() });
const tools = {
  get_weather: tool({
    description: "The weather in a city",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `Rain in ${city}, 12 degrees.`,
  }),
};
const base = { temperature: 0, maxOutputTokens: 64, maxRetries: 0 };

const cases = {};
for (const [name, model] of Object.entries(providers)) {
  const common = { ...base, model };
  cases[`${name}: generateText`] = async () => {
    const { text, finishReason, usage } = await generateText({ ...common, prompt: "Say hello." });
    assert.match(text, /hello/i);
    assert.equal(finishReason, "stop");
    assert(usage.inputTokens > 0 && usage.outputTokens > 0);
  };
  cases[`${name}: streamText`] = async () => {
    const result = streamText({ ...common, prompt: "Say hello.", onError: () => {} });
    const pieces = [];
    for await (const piece of result.textStream) pieces.push(piece);
    assert.match(pieces.join(""), /hello/i);
    assert((await result.usage).outputTokens > 0);
    assert.equal(await result.finishReason, "stop");
  };
  cases[`${name}: generateText with a tool, two turns`] = async () => {
    const result = await generateText({ ...common, tools, stopWhen: steps, prompt: "What is the weather in Paris?" });
    assert.equal(result.steps.length, 2);
    assert.match(result.text, /rain in paris/i);
  };
  cases[`${name}: streamText with a tool, two turns`] = async () => {
    const prompt = "What is the weather in Paris?";
    const result = streamText({ ...common, tools, stopWhen: steps, prompt, onError: () => {} });
    assert.match(await result.text, /rain in paris/i);
    assert.equal((await result.steps).length, 2);
  };
  cases[`${name}: a forced tool`] = async () => {
    const toolChoice = { type: "tool", toolName: "get_weather" };
    const result = await generateText({ ...common, tools, toolChoice, prompt: "Hello." });
    assert.equal(result.toolCalls[0].toolName, "get_weather");
  };
  cases[`${name}: generateObject`] = async () => {
    const prompt = "Extract: 'Ada' is 36 years old.";
    if (ai.generateObject) {
      const { object } = await ai.generateObject({ ...common, schema: Person, prompt });
      assert.deepEqual(object, { name: "Ada", age: 36 });
    }
    const { output } = await generateText({ ...common, output: Output.object({ schema: Person }), prompt });
    assert.deepEqual(output, { name: "Ada", age: 36 });
  };
}
cases["openai-compatible: embed and embedMany"] = async () => {
  const one = await embed({ model: compatible.embeddingModel(embedder), value: "one" });
  const many = await embedMany({ model: compatible.embeddingModel(embedder), values: ["one", "two words"] });
  assert(one.embedding.length >= 3);
  assert.equal(many.embeddings.length, 2);
};
cases["openai: embedMany"] = async () => {
  const many = await embedMany({ model: openai.embedding(embedder), values: ["one", "two words"] });
  assert.equal(many.embeddings.length, 2);
};
cases["openai-compatible: completion"] = async () => {
  const { text } = await generateText({ ...base, model: compatible.completionModel(model), prompt: "Say hello." });
  assert(text.length > 0);
};
await run(cases);
