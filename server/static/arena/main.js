/** The page: joins the form, the debate, the avatars, the captions and the controls. */

import { Avatar } from "./avatar.js";
import { Captions } from "./captions.js";
import { drawAda, drawBruno } from "./characters.js";
import { Debate } from "./debate.js";
import { Documents } from "./documents.js";
import { asJson, download, markdown, vtt, wav } from "./export.js";
import { DEFAULTS, SettingsForm } from "./form.js";
import { Gallery, PictureField } from "./pictures.js";
import { Player } from "./player.js";
import { Readiness } from "./ready.js";
import { traceOf } from "./ribbon.js";
import * as store from "./store.js";
import { useKey } from "./stream.js";
import { Transcript, drawVerdict, points } from "./view.js";

/** @param {string} id @returns {any} */
const $ = (id) => document.getElementById(id);

const player = new Player();
const form = new SettingsForm($("settings"));
const documents = new Documents($("documents"));
const picture = new PictureField($("picture"));
const gallery = new Gallery($("gallery"), $("shown"), () => debate, (of) => save(of));
const captions = new Captions($("caption"));
const transcript = new Transcript($("entries"));
const avatars = [new Avatar($("avatar-0"), drawAda($("avatar-0")), 1), new Avatar($("avatar-1"), drawBruno($("avatar-1")), -1)];
const readiness = new Readiness(() => draw());
let models = /** @type {import("./ready.js").Model[]} */ ([]);
/** @type {Debate | null} */
let debate = null;
let shortcoming = ""; // what the server lacks for a debate
let restored = false; // the debate is that of an earlier visit, and was not continued yet
let silentSince = /** @type {number | null} */ (null); // end of the last turn's sound
let last = performance.now();

/** @param {import("./prompts.js").Settings} settings @param {object} [earlier] */
function make(settings, earlier) {
  const made = new Debate(settings, player, { changed: () => draw(), finished: (entry, samples) => finished(made, entry, samples), documentsLost: (id) => documents.lost(id) }, earlier);
  return made;
}

/** @param {Debate} of @param {import("./prompts.js").Entry} entry @param {Int16Array} samples */
async function finished(of, entry, samples) {
  const { measures } = entry;
  if (measures?.sound && silentSince) measures.gap = Math.max(0, measures.sound - silentSince);
  silentSince = measures?.silent ?? null;
  store.saveSound(entry.key, samples);
  save(of);
  const trace = await traceOf(entry.requestId);
  if (!trace || !measures) return;
  measures.trace = trace;
  transcript.measured(entry);
  save(of);
}

/** @param {Debate} of @param {import("./prompts.js").Entry | null} [cut] The turn that the page's end interrupts. */
function save(of, cut = null) {
  if (of !== debate) return;
  const { id, settings, entries, verdict } = of;
  store.saveDebate({ id, settings, verdict, entries: cut?.heard ? [...entries, cut] : entries });
}

function start() {
  if (!$("settings").reportValidity()) {
    $("setup").open = true;
    return;
  }
  if (debate) {
    debate.halt();
    store.forgetSounds(debate.entries.map((entry) => entry.key));
  }
  const settings = form.read();
  store.saveSettings(settings);
  gallery.stop();
  debate = make({ ...settings, documents: documents.current, picture: picture.current });
  silentSince = null;
  restored = false;
  $("setup").open = false;
  run(debate.run());
}

/** @param {Promise<void>} running */
async function run(running) {
  await running;
  if (debate) save(debate);
  if (debate?.phase === "over") $("verdict").scrollIntoView({ block: "nearest" });
}

function play() {
  const phase = debate?.phase;
  if (debate && restored) {
    restored = false;
    run(debate.run());
  } else if (phase === "running") debate?.pause();
  else if (phase === "paused") debate?.resume();
  else if (phase === "failed") run(/** @type {Debate} */ (debate).retry());
  else if (phase !== "judging") start();
}

/** Draw everything that changes with the debate's state, except what moves with time. */
function draw() {
  const settings = debate?.settings ?? form.read();
  const phase = debate?.phase ?? "idle";
  $("stage").dataset.phase = phase;
  $("motion").textContent = settings.topic;
  drawRound(settings);
  drawSpeakers(settings);
  const live = !!debate?.utterance && (phase === "running" || phase === "paused");
  $("play").textContent = buttonText(phase);
  const refused = readiness.refuses && phase !== "running" && phase !== "paused";
  $("play").disabled = phase === "judging" || refused;
  $("begin").disabled = refused;
  $("closing").disabled = !live || debate?.current?.kind !== "turn" || !debate?.current.duration;
  $("next").disabled = !live || !debate?.current?.duration;
  $("problem").hidden = phase !== "failed";
  if (debate?.error) drawProblem(debate);
  const { current } = debate ?? {};
  if (current) captions.show(current.text, current.words);
  else if (!debate?.entries.length) captions.show(phase === "idle" ? "Press start to hear them." : "", []);
  const status = statusText(phase) || shortcoming || readiness.text;
  if ($("status").textContent !== status) $("status").textContent = status;
  transcript.show(debate);
  const some = !!debate?.entries.length;
  $("empty").hidden = some;
  $("downloads").hidden = !some;
  $("whole").href = `traces?trace=${debate?.id ?? ""}`;
  drawVerdict($("verdict"), debate);
  gallery.draw();
}

/** @param {import("./prompts.js").Settings} settings */
function drawRound(settings) {
  const turns = debate?.entries.filter((entry) => entry.kind === "turn").length ?? 0;
  const round = Math.min(settings.rounds, Math.floor(turns / 2) + 1);
  $("round").textContent = debate?.phase === "over" ? "The debate is over" : `Round ${round} of ${settings.rounds}`;
}

/** @param {import("./prompts.js").Settings} settings */
function drawSpeakers(settings) {
  const sums = points(debate?.verdict);
  for (const side of [0, 1]) {
    const figure = /** @type {HTMLElement} */ (document.querySelector(`figure[data-side="${side}"]`));
    const mood = moodOf(side);
    avatars[side].mood = mood;
    figure.dataset.mood = mood;
    const [name, shown] = /** @type {HTMLElement[]} */ ([figure.querySelector(".name"), figure.querySelector(".mood")]);
    name.textContent = settings.personas[side].name;
    const own = mood === "idle" && sums ? `${sums[side] > sums[1 - side] ? "★ " : ""}${sums[side]} points` : "";
    shown.textContent = { idle: own, listening: "listens", thinking: "thinks", speaking: "speaks" }[mood];
    figure.querySelector("svg")?.setAttribute("aria-label", `${settings.personas[side].name} ${shown.textContent}`.trim());
  }
}

/** @param {number} side @returns {import("./avatar.js").Mood} */
function moodOf(side) {
  const current = debate?.current;
  if (!current || debate?.phase === "failed") return "idle";
  if (current.side !== side) return "listening";
  return debate?.utterance?.state === "playing" ? "speaking" : "thinking";
}

/** @param {string} phase */
function buttonText(phase) {
  if (restored) return debate?.phase === "over" ? "Start again" : "Continue the debate";
  const texts = { running: "Pause", paused: "Resume", failed: "Retry this turn", judging: "The moderator decides", over: "Start again" };
  return /** @type {Record<string, string>} */ (texts)[phase] ?? "Start the debate";
}

/** @param {string} phase */
function statusText(phase) {
  if (restored) return "This debate was restored. Continue where it was left.";
  if (!debate) return "";
  const questions = debate.questions.length ? ` ${debate.questions.length} question${debate.questions.length > 1 ? "s" : ""} waiting.` : "";
  const waiting = questions + (debate.settings.documents === null ? " The documents are gone." : "");
  if (phase === "paused") return `Paused.${waiting}`;
  if (phase === "judging") return "The moderator writes the verdict.";
  if (phase !== "running" || !debate.current) return waiting.trim();
  const name = debate.settings.personas[debate.current.side].name;
  const { utterance } = debate;
  if (debate.error) return `${debate.error.message} What has arrived of ${name}'s turn is still played.`;
  if (utterance?.state === "buffering") return `Buffering: the voice is slower than real time${soon(utterance.wait)}.${waiting}`;
  if (utterance?.state === "waiting" && readiness.text) return `${readiness.text}${waiting}`;
  if (debate.current.text && utterance?.state === "waiting") return `The voice prepares the first words of ${name}.${waiting}`;
  return `${name} ${utterance?.state === "playing" ? "speaks" : "thinks"}.${waiting}`;
}

/** @param {number} seconds The estimate; 0 where there is none. */
const soon = (seconds) => (seconds > 0 ? `, about ${Math.ceil(seconds)} s` : "");

/** @param {Debate} failed */
function drawProblem(failed) {
  const error = /** @type {any} */ (failed.error);
  $("reason").textContent = error.message;
  $("skip").hidden = !failed.lost;
  $("failed-request").hidden = !error.requestId;
  $("failed-request").href = `traces?request=${encodeURIComponent(error.requestId ?? "")}`;
  if (error.status === 401) askForKey();
}

function askForKey() {
  $("key").hidden = false;
}

/** @param {number} now Milliseconds. */
function frame(now) {
  const seconds = Math.min(0.1, (now - last) / 1000);
  last = now;
  const { current, utterance } = debate ?? {};
  const position = current && utterance ? utterance.position() : null;
  avatars.forEach((avatar, side) => {
    const speaks = position !== null && current?.side === side && utterance?.state === "playing";
    if (speaks) avatar.track = current.visemes;
    avatar.update(seconds, speaks ? position : null);
  });
  if (current && position !== null) captions.light(position);
  requestAnimationFrame(frame);
}

/** @param {string} format */
async function saveAs(format) {
  if (!debate) return;
  const name = `debate-${debate.id.slice(0, 6)}.${format}`;
  if (format === "md") download(name, markdown(debate), "text/markdown");
  else if (format === "json") download(name, asJson(debate), "application/json");
  else if (format === "vtt") download(name, vtt(debate), "text/vtt");
  else download(name, await wav(debate, store.loadSound));
}

async function load() {
  try {
    const has = await form.load();
    $("key").hidden = true;
    await documents.load(has.models);
    models = has.models;
    picture.load(models);
    gallery.load(models);
    shortcoming = has.chat ? (has.speech ? "" : "The server has no model that speaks.") : "The server has no chat model.";
  } catch (error) {
    shortcoming = /** @type {Error} */ (error).message;
    if (/** @type {any} */ (error).status === 401) askForKey();
  }
  form.show(debate?.settings ?? store.loadSettings() ?? DEFAULTS);
  if (!shortcoming) prepare();
  draw();
}

/** Have the models loaded that the debate, or the form, names. */
function prepare() {
  readiness.prepare(models, debate?.settings ?? form.read(), debate?.entries ?? []);
}

function wire() {
  $("settings").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    start();
  });
  $("settings").addEventListener("input", () => debate ?? draw());
  $("settings").addEventListener("change", () => debate ?? prepare());
  $("play").addEventListener("click", play);
  $("closing").addEventListener("click", () => debate?.interrupt("closing"));
  $("next").addEventListener("click", () => debate?.interrupt("next"));
  $("retry").addEventListener("click", () => debate && run(debate.retry()));
  $("skip").addEventListener("click", () => debate && run(debate.run()));
  $("shuffle").addEventListener("click", () => (form.shuffle(), debate ?? draw()));
  $("defaults").addEventListener("click", () => (form.show(DEFAULTS), debate ?? draw()));
  $("audience").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    const text = $("question").value.trim();
    if (text && debate) debate.ask(text);
    if (debate) $("question").value = "";
  });
  $("key").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    useKey($("secret").value);
    $("secret").value = "";
    load();
  });
  for (const button of document.querySelectorAll("[data-format]")) button.addEventListener("click", () => saveAs(/** @type {HTMLElement} */ (button).dataset.format ?? ""));
  document.addEventListener("keydown", (event) => {
    if (event.code !== "Space" || event.target !== document.body) return;
    event.preventDefault();
    play();
  });
  addEventListener("pagehide", () => debate && save(debate, debate.halt()));
  addEventListener("pageshow", (event) => event.persisted && location.reload());
}

function restore() {
  const saved = store.loadDebate();
  if (!saved?.entries?.length) return;
  debate = make(saved.settings, saved);
  debate.phase = saved.verdict ? "over" : "idle";
  restored = !saved.verdict;
  picture.show(saved.settings.picture);
  $("setup").open = false;
}

/** For tests and debugging: what the page knows, without a way to change it. */
Object.defineProperty(window, "arena", {
  value: Object.freeze({
    state: () => ({
      phase: debate?.phase ?? "idle",
      restored,
      side: debate?.current?.side ?? null,
      speech: debate?.utterance?.state ?? null,
      position: debate?.utterance?.position() ?? null,
      visemes: avatars.map((avatar) => avatar.root.dataset.viseme),
      track: debate?.current?.visemes ?? [],
      written: debate?.current?.measures?.written !== undefined,
      error: debate?.error?.message ?? null,
    }),
    debate: () => (debate ? JSON.parse(asJson(debate)) : null),
    file: (/** @type {"md" | "vtt"} */ format) => (debate ? { md: markdown, vtt }[format](debate) : null),
    sound: async () => (debate ? (await wav(debate, store.loadSound)).size : 0),
  }),
});

restore();
wire();
await load();
draw();
requestAnimationFrame(frame);
