/** Pictures of a debate: one that both speakers see from the start, those that the audience shows, and those that a model paints. */

import { json } from "./stream.js";

/**
 * @typedef {import("./debate.js").Debate} Debate
 * @typedef {import("./prompts.js").Entry} Entry
 * @typedef {import("./ready.js").Model} Model
 *
 * @typedef {Object} Picture
 * @property {string} url A JPEG as a data URL, up to `LONGEST` pixels per side.
 * @property {string} alt What it shows.
 */

const LONGEST = 1024;
const QUALITY = 0.85;
const MOST = 12; // each request has all of them, and the server takes 16 of this size
const MOST_LETTERS = 400;

/** What a model that reads no pictures reads of one. @param {Picture} picture */
export const described = ({ alt }) => `[picture: ${alt}]`;

/**
 * The picture in a file, made small enough for every request of a debate.
 *
 * @param {Blob} file
 * @param {string} alt
 * @returns {Promise<Picture>}
 */
async function scaled(file, alt) {
  const image = await createImageBitmap(file).catch(() => null);
  if (!image) throw new Error(`${file instanceof File ? file.name : "The image"} is no picture that this browser reads.`);
  const scale = Math.min(1, LONGEST / Math.max(image.width, image.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.width * scale));
  canvas.height = Math.max(1, Math.round(image.height * scale));
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.fillStyle = "#fff"; // a JPEG has no transparency
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  image.close();
  return { url: canvas.toDataURL("image/jpeg", QUALITY), alt };
}

/** A description of a file that has none. @param {File} file */
const nameOf = (file) => file.name.replace(/\.[^.]+$/, "").slice(0, MOST_LETTERS);

/**
 * Have a model paint a picture.
 *
 * @param {string} model
 * @param {string} prompt
 * @param {{headers: Record<string, string>, signal: AbortSignal}} options
 */
async function painted(model, prompt, options) {
  const { data } = await json("v1/images/generations", { body: { model, prompt }, ...options });
  const bytes = Uint8Array.from(atob(data[0].b64_json), (letter) => letter.charCodeAt(0));
  return scaled(new Blob([bytes]), prompt);
}

/** The sentence of a text that has most to show: its longest. @param {string} text */
export function keySentence(text) {
  const sentences = text.trim().split(/(?<=[.!?…])\s+/);
  return sentences.reduce((longest, one) => (one.length > longest.length ? one : longest)).slice(0, MOST_LETTERS);
}

/** The turn that can be illustrated: the one that is heard, or the last. @param {Debate} debate */
function subjectOf({ entries, current }) {
  return [...entries, current].findLast((entry) => entry?.text.trim() && (entry.kind === "turn" || entry.kind === "closing"));
}

/** Pictures that requests of the debate have. @param {Debate} debate @returns {Entry[]} */
const shownIn = (debate) => [...debate.entries, ...debate.pictures].filter((entry) => entry.picture);

/** @param {Model[]} models */
const readers = (models) => models.filter((model) => model.status !== "unavailable" && model.input_modalities?.includes("image"));

/** @param {HTMLElement} root @returns {(selector: string) => any} */
const partsOf = (root) => (selector) => root.querySelector(selector);

/** The part of the form that chooses the picture that both speakers see from the start. */
export class PictureField {
  /** @type {Picture | null} */
  #picture = null;

  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    const part = partsOf(root);
    this.image = /** @type {HTMLImageElement} */ (part("img"));
    this.file = /** @type {HTMLInputElement} */ (part("[type=file]"));
    this.alt = /** @type {HTMLInputElement} */ (part(".alt"));
    this.clear = /** @type {HTMLButtonElement} */ (part("button"));
    this.status = /** @type {HTMLElement} */ (part("[role=status]"));
    this.file.addEventListener("change", () => this.#choose());
    this.clear.addEventListener("click", () => (this.show(undefined), this.file.focus()));
  }

  /** The picture of a debate that starts now; undefined: there is none. @returns {Picture | undefined} */
  get current() {
    if (!this.#picture || this.root.hidden) return undefined;
    return { url: this.#picture.url, alt: this.alt.value.trim() || this.#picture.alt };
  }

  /** Hide the part where no model reads pictures. @param {Model[]} models The server's. */
  load(models) {
    this.root.hidden = !readers(models).length;
  }

  /** @param {Picture | undefined} picture */
  show(picture) {
    this.#picture = picture ?? null;
    this.status.textContent = "";
    this.alt.value = picture?.alt ?? "";
    if (picture) this.image.src = picture.url;
    else this.image.removeAttribute("src");
    this.image.alt = picture?.alt ?? "";
    for (const one of [this.image, this.clear, this.alt.parentElement]) if (one) one.hidden = !picture;
  }

  async #choose() {
    const [file] = this.file.files ?? [];
    if (!file) return;
    try {
      this.show(await scaled(file, nameOf(file)));
    } catch (error) {
      this.status.textContent = /** @type {Error} */ (error).message;
    }
    this.file.value = "";
  }
}

/** The controls that show pictures during a debate, and the figure beside the captions. */
export class Gallery {
  #painter = ""; // the model that paints; empty: none is served
  #busy = "";
  #problem = "";
  #abort = new AbortController();
  #drawn = /** @type {Picture | undefined} */ (undefined);

  /**
   * @param {HTMLFormElement} root
   * @param {HTMLElement} figure
   * @param {() => Debate | null} debate
   * @param {(of: Debate) => void} shown Called after a picture was shown.
   */
  constructor(root, figure, debate, shown) {
    this.root = root;
    this.figure = figure;
    this.debate = debate;
    this.shown = shown;
    const part = partsOf(root);
    this.text = /** @type {HTMLInputElement} */ (part("#picture-text"));
    this.file = /** @type {HTMLInputElement} */ (part("[type=file]"));
    this.upload = /** @type {HTMLButtonElement} */ (part("#show-picture"));
    this.paint = /** @type {HTMLButtonElement} */ (part("#illustrate"));
    this.hint = /** @type {HTMLElement} */ (part("#picture-hint"));
    this.status = /** @type {HTMLElement} */ (part("[role=status]"));
    this.upload.addEventListener("click", () => this.file.click());
    this.file.addEventListener("change", () => this.#show());
    root.addEventListener("submit", (event) => (event.preventDefault(), this.#illustrate()));
  }

  /** Hide the controls whose model is not served. @param {Model[]} models The server's. */
  load(models) {
    this.#painter = models.find((model) => model.status !== "unavailable" && model.capabilities.includes("image") && model.capabilities.includes("image_generation"))?.id ?? "";
    this.upload.hidden = !readers(models).length;
    this.paint.hidden = this.hint.hidden = !this.#painter;
    this.root.hidden = this.upload.hidden && this.paint.hidden;
    this.draw();
  }

  /** Give up what is being painted: its debate is over. */
  stop() {
    this.#abort.abort();
    this.#problem = "";
  }

  /** Draw what changes with the debate. */
  draw() {
    const debate = this.debate();
    const open = !!debate && !this.#busy && debate.phase !== "judging" && debate.phase !== "over";
    this.upload.disabled = !open;
    this.paint.disabled = !open || !debate || !subjectOf(debate);
    const said = this.#busy || this.#problem;
    if (this.status.textContent !== said) this.status.textContent = said;
    const last = debate && shownIn(debate).at(-1);
    const picture = last?.picture ?? debate?.settings.picture;
    if (picture === this.#drawn) return;
    this.#drawn = picture;
    this.figure.hidden = !picture;
    const [image, caption] = /** @type {[HTMLImageElement, HTMLElement]} */ ([...this.figure.children]);
    if (picture) Object.assign(image, { src: picture.url, alt: picture.alt });
    else image.removeAttribute("src");
    const who = last?.kind === "illustration" ? debate?.settings.personas[last.side].name : "The audience";
    caption.textContent = last ? `${who} shows this.` : "Both speakers see this.";
  }

  async #show() {
    const [file] = this.file.files ?? [];
    if (file) await this.#do("Reading the picture …", async (debate) => debate.show("picture", 0, await scaled(file, this.text.value.trim() || nameOf(file))));
    this.file.value = "";
  }

  async #illustrate() {
    const debate = this.debate();
    const turn = debate && subjectOf(debate);
    if (!turn || this.paint.hidden || this.paint.disabled) return;
    const prompt = this.text.value.trim() || keySentence(turn.text);
    await this.#do(`A picture for ${debate.settings.personas[turn.side].name} is being painted …`, async (of, signal) =>
      of.show("illustration", turn.side, await painted(this.#painter, prompt, { headers: of.trace(), signal })),
    );
  }

  /** @param {string} what @param {(debate: Debate, signal: AbortSignal) => Promise<void>} work */
  async #do(what, work) {
    const debate = this.debate();
    if (!debate || this.#busy) return;
    const full = shownIn(debate).length + (debate.settings.picture ? 1 : 0) >= MOST;
    this.#busy = full ? "" : what;
    this.#problem = full ? `A debate has up to ${MOST} pictures.` : "";
    this.draw();
    if (full) return;
    const { signal } = (this.#abort = new AbortController());
    try {
      await work(debate, signal);
      this.text.value = "";
      this.shown(debate);
    } catch (error) {
      if (!signal.aborted) this.#problem = /** @type {Error} */ (error).message;
    }
    this.#busy = "";
    this.draw();
  }
}
