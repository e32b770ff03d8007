/** The debate as a file: Markdown, JSON, WebVTT from the words' times, and WAV. */

import { CRITERIA, speaker } from "./prompts.js";

const GAP = 0.5; // seconds between turns, in the sound and in the captions
const RATE = 24000;
const CUE_WORDS = 8;

/**
 * @typedef {import("./debate.js").Debate} Debate
 * @typedef {import("./prompts.js").Entry} Entry
 */

/** Seconds of an entry that were heard. @param {Entry} entry */
const heardSeconds = (entry) => (entry.interrupted ? Math.min(entry.duration, entry.playedMs / 1000) : entry.duration);

/** @param {Debate} debate */
export function markdown(debate) {
  const { settings, entries, verdict } = debate;
  const lines = [`# ${settings.topic}`, "", `${settings.personas.map((side) => `**${side.name}**`).join(" against ")}`, ""];
  if (settings.picture) lines.push(image(settings.picture), "");
  for (const entry of entries) {
    const cut = entry.interrupted ? " …" : "";
    const said = entry.picture ? image(entry.picture) : entry.heard.replaceAll("\n", " ").trim() + cut;
    lines.push(`**${speaker(settings, entry)}:** ${said}`, "");
  }
  const read = passageLines(debate);
  if (read.length) lines.push("## Passages of the documents", "", ...read);
  if (verdict) lines.push("## Verdict", "", ...verdictLines(debate));
  return lines.join("\n");
}

/** A picture that needs no other file. @param {import("./pictures.js").Picture} picture */
const image = ({ url, alt }) => `![${alt.replaceAll(/\s+/g, " ").replaceAll(/[[\]\\]/g, "\\$&")}](${url})`;

/** What each turn read of the documents. @param {Debate} debate */
function passageLines({ settings, entries }) {
  return entries.flatMap((entry) =>
    (entry.passages ?? []).flatMap(({ filename, text }) => [
      `**${speaker(settings, entry)}** read in ${filename}:`,
      "",
      ...text.trim().split("\n").map((line) => `> ${line}`.trimEnd()),
      "",
    ]),
  );
}

/** @param {Debate} debate */
function verdictLines({ settings, verdict }) {
  if (!verdict || !("first" in verdict)) return [verdict?.reason ?? "", ""];
  const [first, second] = settings.personas.map((side) => side.name);
  const rows = CRITERIA.map((name) => `| ${name} | ${verdict.first[name]} | ${verdict.second[name]} |`);
  return [`| | ${first} | ${second} |`, "|---|---|---|", ...rows, "", verdict.reason, ""];
}

/** @param {Debate} debate */
export function asJson({ id, settings, entries, verdict }) {
  return JSON.stringify({ id, settings, entries, verdict }, null, 2);
}

/** Captions on the clock of the sound file. @param {Debate} debate */
export function vtt({ settings, entries }) {
  const cues = ["WEBVTT", ""];
  let from = 0;
  for (const entry of entries) {
    if (!entry.duration) continue;
    const letters = Array.from(entry.text);
    const words = entry.words.filter((word) => word.end_time <= heardSeconds(entry) + 0.001);
    for (let at = 0; at < words.length; at += CUE_WORDS) {
      const some = words.slice(at, at + CUE_WORDS);
      const until = words[at + CUE_WORDS]?.start_char ?? Math.min(letters.length, some[some.length - 1].end_char + 1);
      const text = letters.slice(some[0].start_char, until).join("").trim().replaceAll(/\s+/g, " ");
      const times = `${clock(from + some[0].start_time)} --> ${clock(from + some[some.length - 1].end_time)}`;
      cues.push(times, `<v ${escaped(speaker(settings, entry))}>${escaped(text)}`, "");
    }
    from += heardSeconds(entry) + GAP;
  }
  return cues.join("\n");
}

/** @param {string} text */
const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** @param {number} seconds */
function clock(seconds) {
  const whole = Math.round(seconds * 1000);
  const two = (/** @type {number} */ value) => String(Math.floor(value)).padStart(2, "0");
  return `${two(whole / 3600000)}:${two((whole / 60000) % 60)}:${two((whole / 1000) % 60)}.${String(whole % 1000).padStart(3, "0")}`;
}

/**
 * All turns as one file. A turn whose sound is lost is silent for its time, so that the captions stay in step.
 *
 * @param {Debate} debate
 * @param {(key: string) => Promise<Int16Array | null>} soundOf
 */
export async function wav({ entries }, soundOf) {
  const parts = [];
  for (const entry of entries) {
    if (!entry.duration) continue;
    const samples = new Int16Array(Math.round((heardSeconds(entry) + GAP) * RATE));
    const sound = await soundOf(entry.key);
    if (sound) samples.set(sound.subarray(0, samples.length));
    parts.push(samples);
  }
  const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
  const header = new DataView(new ArrayBuffer(44));
  const text = (/** @type {number} */ at, /** @type {string} */ word) =>
    [...word].forEach((letter, i) => header.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  header.setUint32(4, 36 + bytes, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true);
  header.setUint16(22, 1, true);
  header.setUint32(24, RATE, true);
  header.setUint32(28, RATE * 2, true);
  header.setUint16(32, 2, true);
  header.setUint16(34, 16, true);
  text(36, "data");
  header.setUint32(40, bytes, true);
  return new Blob([header, ...parts], { type: "audio/wav" });
}

/** Offer a file for download. @param {string} name @param {Blob | string} content @param {string} [type] */
export function download(name, content, type = "text/plain") {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
