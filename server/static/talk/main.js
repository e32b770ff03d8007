/** The page of a conversation: joins the form, the microphone, the avatar, the captions and the controls. */

import { Avatar } from "../arena/avatar.js";
import { Captions } from "../arena/captions.js";
import { drawBruno } from "../arena/characters.js";
import { Player } from "../arena/player.js";
import { useKey } from "../arena/stream.js";
import { Conversation } from "./conversation.js";
import { HoldButton } from "./hold.js";
import { Microphone } from "./microphone.js";
import { TalkForm } from "./settings.js";
import { Transcript } from "./transcript.js";
import { warm } from "./warm.js";

/** @param {string} id @returns {any} */
const $ = (id) => document.getElementById(id);

const player = new Player();
const form = new TalkForm($("settings"));
const captions = new Captions($("caption"));
const transcript = new Transcript($("entries"));
const avatar = new Avatar($("avatar"), drawBruno($("avatar")), -1);
const still = matchMedia("(prefers-reduced-motion: reduce)");
/** @type {Conversation | null} */
let conversation = null;
/** @type {Microphone | null} */
let microphone = null;
let shortcoming = ""; // what the server lacks for a conversation
let last = performance.now();

const live = () => conversation?.phase === "open" || conversation?.phase === "connecting";
const hold = new HoldButton($("hold"), {
  press: () => conversation?.press(),
  release: () => conversation?.release(),
});

async function start() {
  if (live()) {
    end();
    return;
  }
  if (!$("settings").reportValidity()) {
    $("setup").open = true;
    return;
  }
  const held = (conversation = new Conversation(form.read(), player, draw));
  $("setup").open = false;
  try {
    await player.unlock();
    const opened = await Microphone.open((samples) => held.hear(samples), () => held.fail(new Error("The microphone was disconnected.")));
    if (held !== conversation) return opened.close();
    microphone = opened;
    await held.start();
  } catch (error) {
    held.fail(/** @type {Error} */ (error));
  }
}

function end() {
  conversation?.end();
}

function draw() {
  const { phase = "idle", answer = null, hears = false } = conversation ?? {};
  const settings = conversation?.settings ?? form.read();
  if (!live() && microphone && phase !== "idle") {
    microphone.close();
    microphone = null;
  }
  const open = phase === "open";
  $("stage").dataset.phase = open ? "running" : "idle";
  $("motion").textContent = settings.topic;
  $("start").textContent = live() ? "End the conversation" : "Start talking";
  $("start").disabled = !!shortcoming && !live();
  $("hold").disabled = !open;
  $("hold").hidden = settings.handsFree;
  $("mute").disabled = !open;
  $("mute").hidden = !settings.handsFree;
  $("mute").setAttribute("aria-pressed", String(!!microphone?.muted));
  $("stop").disabled = !answer;
  hold.show(hears && !settings.handsFree);
  drawMoods(settings, hears);
  const problem = phase === "failed" ? (conversation?.error?.message ?? "") : "";
  $("problem").hidden = !problem;
  if ($("reason").textContent !== problem) $("reason").textContent = problem;
  $("key").hidden &&= /** @type {any} */ (conversation?.error)?.status !== 401;
  const spoken = answer ?? conversation?.turns.findLast((turn) => turn.who === "avatar");
  captions.show(spoken?.text ?? (phase === "idle" ? "Press start, and make your case." : ""), spoken?.words ?? []);
  $("own").textContent = conversation?.turns.findLast((turn) => turn.who === "person")?.text ?? "";
  const status = statusText(phase, hears);
  if ($("status").textContent !== status) $("status").textContent = status;
  transcript.show(conversation?.turns.filter((turn) => turn.over) ?? [], settings.name);
  $("empty").hidden = !!conversation?.turns.some((turn) => turn.over);
}

/** @param {import("./settings.js").Settings} settings @param {boolean} hears */
function drawMoods(settings, hears) {
  const playing = conversation?.utterance?.state === "playing";
  avatar.mood = conversation?.phase !== "open" ? "idle" : playing ? "speaking" : conversation.answer || conversation.waits ? "thinking" : "listening";
  const own = conversation?.phase !== "open" ? "" : microphone?.muted ? "muted" : hears ? "you speak" : "";
  for (const [id, name, mood, text] of [
    ["person", "You", hears ? "speaking" : "listening", own],
    ["opponent", settings.name, avatar.mood, { idle: "", listening: "listens", thinking: "thinks", speaking: "speaks" }[avatar.mood]],
  ]) {
    const figure = $(id);
    figure.dataset.mood = mood;
    figure.querySelector(".name").textContent = name;
    figure.querySelector(".mood").textContent = text;
  }
  $("avatar").setAttribute("aria-label", `${settings.name} ${avatar.mood === "idle" ? "" : avatar.mood}`.trim());
}

/** @param {string} phase @param {boolean} hears */
function statusText(phase, hears) {
  if (phase === "connecting") return "Connecting.";
  if (phase === "over") return "The conversation has ended.";
  if (phase !== "open") return shortcoming;
  if (conversation?.notice) return conversation.notice;
  if (hears) return "Listening to you.";
  if (conversation?.answer || conversation?.waits) return "";
  return conversation?.settings.handsFree ? "Speak. To interrupt, speak too." : "Hold the button, or the space bar, and speak.";
}

/** @param {number} now Milliseconds. */
function frame(now) {
  const seconds = Math.min(0.1, (now - last) / 1000);
  last = now;
  const { answer, utterance } = conversation ?? {};
  const position = answer && utterance ? utterance.position() : null;
  const speaks = position !== null && utterance?.state === "playing";
  if (speaks && answer) avatar.track = answer.visemes;
  avatar.update(seconds, speaks ? position : null);
  if (position !== null) captions.light(position);
  if (microphone) microphone.ducking.on = speaks && !!conversation?.settings.handsFree;
  const level = Math.min(1, (microphone?.level ?? 0) * 6);
  $("level").setAttribute("opacity", (still.matches ? Number(level > 0.15) * 0.3 : level * 0.5).toFixed(2));
  requestAnimationFrame(frame);
}

async function load() {
  try {
    shortcoming = await form.load();
    $("key").hidden = true;
    if (!shortcoming) warm(form.read(), form.loading);
  } catch (error) {
    shortcoming = /** @type {Error} */ (error).message;
    if (/** @type {any} */ (error).status === 401) $("key").hidden = false;
  }
  draw();
}

function wire() {
  $("start").addEventListener("click", start);
  $("stop").addEventListener("click", () => conversation?.interrupt());
  $("mute").addEventListener("click", () => {
    if (microphone) microphone.muted = !microphone.muted;
    draw();
  });
  $("settings").addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
  $("settings").addEventListener("input", (/** @type {any} */ { target }) => {
    if (conversation && target.name === "mode") conversation.listen(form.read().handsFree);
    else if (!live()) conversation = null;
    draw();
  });
  $("defaults").addEventListener("click", () => (form.defaults(), draw()));
  $("key").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    useKey($("secret").value);
    $("secret").value = "";
    load();
  });
  addEventListener("pagehide", end);
  addEventListener("pageshow", (event) => event.persisted && location.reload());
}

/** For tests and debugging: what the page knows, without a way to change it. */
Object.defineProperty(window, "arena", {
  value: Object.freeze({
    state: () => ({
      phase: conversation?.phase ?? "idle",
      side: conversation?.answer ? 1 : null,
      speech: conversation?.utterance?.state ?? null,
      position: conversation?.utterance?.position() ?? null,
      visemes: ["sil", avatar.root.dataset.viseme],
      error: conversation?.error?.message ?? null,
      sent: conversation?.sent ?? 0,
      notice: conversation?.notice ?? "",
    }),
    turns: () => JSON.parse(JSON.stringify(conversation?.turns ?? [])),
  }),
});

wire();
await load();
requestAnimationFrame(frame);
