// Runs named cases one after the other and prints a JSON line for each: {"case", "passed", "detail"}.
import assert from "node:assert/strict";

export { assert };

export const url = process.argv[2];
export const model = process.argv[3];
export const embedder = process.argv[4];

export async function run(cases) {
  for (const [name, body] of Object.entries(cases)) {
    let detail = "";
    try {
      await body();
    } catch (error) {
      detail = `${error.name}: ${error.message}`.slice(0, 400);
    }
    console.log(JSON.stringify({ case: name, passed: detail === "", detail }));
  }
}

export const CITY = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
