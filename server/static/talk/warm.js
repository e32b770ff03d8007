/** Has the models loaded while the page is read: one that loads on first use would keep the first turn waiting. */

import { request } from "../arena/stream.js";
import { instructions } from "./settings.js";

/** @param {import("./settings.js").Settings} settings @param {string[]} loading Models that load by themselves. */
export function warm(settings, loading) {
  const sound = new FormData();
  sound.append("file", silence(), "silence.wav");
  sound.append("model", settings.ear);
  const prompt = { model: settings.model, messages: [{ role: "system", content: instructions(settings) }, { role: "user", content: "…" }], prefill_only: true };
  const sentence = { model: settings.mouth, input: "Ready.", voice: settings.voice, response_format: "pcm" };
  for (const [model, path, body] of /** @type {const} */ ([
    [settings.mouth, "v1/audio/speech", sentence],
    [settings.ear, "v1/audio/transcriptions", sound],
    [settings.model, "v1/chat/completions", prompt],
  ])) {
    if (loading.includes(model)) continue;
    request(path, { body }).then((response) => response.arrayBuffer()).catch(() => {}); // the turn itself states what fails
  }
}

/** Half a second of it, as a WAV file. */
function silence() {
  const [rate, samples] = [16_000, 8_000];
  const file = new DataView(new ArrayBuffer(44 + 2 * samples));
  const text = (/** @type {number} */ at, /** @type {string} */ letters) => [...letters].forEach((letter, place) => file.setUint8(at + place, letter.charCodeAt(0)));
  text(0, "RIFF");
  file.setUint32(4, 36 + 2 * samples, true);
  text(8, "WAVEfmt ");
  file.setUint32(16, 16, true);
  file.setUint16(20, 1, true);
  file.setUint16(22, 1, true);
  file.setUint32(24, rate, true);
  file.setUint32(28, 2 * rate, true);
  file.setUint16(32, 2, true);
  file.setUint16(34, 16, true);
  text(36, "data");
  file.setUint32(40, 2 * samples, true);
  return new Blob([file.buffer], { type: "audio/wav" });
}
