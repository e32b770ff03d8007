// Serves page.html, and fetches a key for one session for it: the API key stays here. Needs Node 22 or later, no package.
// The server must allow the page: mlx-openai-server launch --cors-origins http://127.0.0.1:8080
//
// Usage: API_KEY=… node serve.mjs [--url=http://127.0.0.1:8000/v1] [--model=any] [--port=8080]
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    url: { type: "string", default: "http://127.0.0.1:8000/v1" },
    model: { type: "string", default: "any" },
    port: { type: "string", default: "8080" },
  },
});

async function secret() {
  const response = await fetch(`${values.url}/realtime/client_secrets`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${process.env.API_KEY ?? "unused"}` },
    body: JSON.stringify({ session: { type: "realtime", model: values.model } }),
  });
  const body = await response.json();
  if (!response.ok) throw new Error(body.error.message);
  return { url: `${values.url.replace(/^http/, "ws")}/realtime?model=${encodeURIComponent(values.model)}`, secret: body.value };
}

const server = createServer(async ({ method, url }, response) => {
  try {
    if (method === "POST" && url === "/secret") {
      response.setHeader("content-type", "application/json").end(JSON.stringify(await secret()));
    } else if (url === "/") {
      response.setHeader("content-type", "text/html").end(await readFile(new URL("page.html", import.meta.url)));
    } else response.writeHead(404).end();
  } catch (error) {
    response.writeHead(502).end(error.message);
  }
});
server.listen(Number(values.port), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/`));
