/** A speaker who moves: the mouth on the audio clock; blinks, gaze, nods and thought on the frame's. */

import { SHAPES, outlines, visemeAt } from "./mouth.js";

/** @typedef {"idle" | "listening" | "thinking" | "speaking"} Mood */

const MOUTH_SECONDS = 0.035; // time constant of the lips
const GAZE_SECONDS = 0.09;
const BLINK_SECONDS = 0.16;

export class Avatar {
  /** @type {Mood} */
  mood = "idle";
  /** The track of the answer that is spoken, on its clock. @type {import("./stream.js").Viseme[]} */
  track = [];
  #shape = { ...SHAPES.sil };
  #gaze = { x: 0, y: 0 };
  #brow = 0;
  #energy = 0;
  #blink = 1 + Math.random() * 3; // seconds until the next one
  #nod = 2 + Math.random() * 3;
  #glance = 0;
  #gesture = 0.4; // seconds until the hand rises or sinks
  #raised = false;
  #lift = 0;
  #target = { x: 0, y: 0 };
  #time = 0;

  /**
   * @param {SVGSVGElement} root Has the current viseme in `data-viseme`.
   * @param {import("./characters.js").Figure} figure
   * @param {1 | -1} facing Direction of the other speaker.
   */
  constructor(root, figure, facing) {
    this.root = root;
    this.figure = figure;
    this.facing = facing;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    root.dataset.viseme = "sil";
    this.#drawMouth();
  }

  /**
   * Draw one frame.
   *
   * @param {number} seconds Since the last frame.
   * @param {number | null} position Seconds of the answer that were played; null while this speaker is silent.
   */
  update(seconds, position) {
    const viseme = position === null ? "sil" : visemeAt(this.track, position);
    if (this.root.dataset.viseme !== viseme) this.root.dataset.viseme = viseme;
    if (this.root.dataset.mood !== this.mood) this.root.dataset.mood = this.mood;
    this.#time += seconds;
    this.figure.thought.setAttribute("opacity", this.mood === "thinking" ? "1" : "0");
    this.#moveMouth(SHAPES[viseme] ?? SHAPES.sil, seconds);
    if (this.still.matches) return;
    this.#moveEyes(seconds);
    this.#moveHead(seconds);
    this.#moveArm(seconds);
  }

  /** @param {import("./mouth.js").Shape} target @param {number} seconds */
  #moveMouth(target, seconds) {
    const part = 1 - Math.exp(-seconds / MOUTH_SECONDS);
    let moved = 0;
    for (const name of /** @type {(keyof import("./mouth.js").Shape)[]} */ (Object.keys(target))) {
      const step = (target[name] - this.#shape[name]) * part;
      this.#shape[name] += step;
      moved += Math.abs(step);
    }
    if (moved > 0.02) this.#drawMouth();
  }

  #drawMouth() {
    const { lips, openings, teeth, tongue } = this.figure;
    const shape = this.#shape;
    const { outer, inner, bottom } = outlines(shape, this.mood === "thinking" ? -2 : 4);
    lips.setAttribute("d", outer);
    for (const opening of openings) opening.setAttribute("d", inner);
    teeth.setAttribute("height", (40 - shape.open * 0.34 + shape.teeth * shape.open * 0.4).toFixed(1));
    tongue.setAttribute("cy", (bottom + 9 - shape.tongue * 10).toFixed(1));
  }

  /** @param {number} seconds */
  #moveEyes(seconds) {
    this.#blink -= seconds;
    if (this.#blink < -BLINK_SECONDS) this.#blink = 1.6 + Math.random() * 4;
    const closed = this.#blink < 0 ? Math.sin((-this.#blink / BLINK_SECONDS) * Math.PI) : 0;
    const rest = this.mood === "listening" ? 0.12 : 0.06;
    for (const lid of this.figure.lids) {
      const full = Number(lid.getAttribute("width")) * 0.92;
      lid.setAttribute("height", (full * Math.max(rest, closed)).toFixed(1));
    }
    this.#glance -= seconds;
    if (this.#glance < 0) this.#choose();
    const part = 1 - Math.exp(-seconds / GAZE_SECONDS);
    this.#gaze.x += (this.#target.x - this.#gaze.x) * part;
    this.#gaze.y += (this.#target.y - this.#gaze.y) * part;
    const move = `translate(${this.#gaze.x.toFixed(1)} ${this.#gaze.y.toFixed(1)})`;
    for (const pupil of this.figure.pupils) pupil.setAttribute("transform", move);
  }

  /** Look at the other speaker, at the audience, or up while thinking. */
  #choose() {
    this.#glance = 0.7 + Math.random() * 2;
    const chance = Math.random();
    if (this.mood === "thinking") this.#target = { x: this.facing * (chance < 0.5 ? 3 : -3), y: -6 };
    else if (this.mood === "speaking") this.#target = chance < 0.6 ? { x: this.facing * 6, y: 0 } : { x: 0, y: 1 };
    else this.#target = chance < 0.8 ? { x: this.facing * 7, y: 0 } : { x: -this.facing * 2, y: 2 };
  }

  /** A hand that underlines what is said, for a moment at a time. @param {number} seconds */
  #moveArm(seconds) {
    this.#gesture -= seconds;
    if (this.#gesture < 0) {
      this.#raised = !this.#raised && Math.random() < 0.8;
      this.#gesture = this.#raised ? 1.3 + Math.random() * 1.7 : 0.6 + Math.random() * 1.6;
    }
    const wish = this.mood === "speaking" && this.#raised ? 0.8 + 0.2 * this.#energy : 0;
    this.#lift += (wish - this.#lift) * (1 - Math.exp(-seconds / 0.17));
    const wave = Math.sin(this.#time * 6.5) * 9 * this.#energy - 15;
    const turn = (wave * this.#lift).toFixed(2);
    this.figure.arm.setAttribute("transform", `translate(0 ${((1 - this.#lift) * 190).toFixed(1)}) rotate(${turn} 164 470)`);
  }

  /** @param {number} seconds */
  #moveHead(seconds) {
    const { head, body, brows } = this.figure;
    const open = this.#shape.open / 32;
    this.#energy += (open - this.#energy) * (1 - Math.exp(-seconds / 0.25));
    const time = this.#time;
    const breath = Math.sin(time * 1.7) * 1.2;
    this.#nod -= seconds;
    if (this.#nod < -0.7) this.#nod = this.mood === "listening" ? 2.5 + Math.random() * 4 : 6;
    const nod = this.#nod < 0 && this.mood === "listening" ? Math.sin((-this.#nod / 0.7) * Math.PI * 2) * 3.5 : 0;
    const lean = { idle: 0, listening: 2.5, thinking: -2, speaking: 1 + Math.sin(time * 2.3) * 2 * this.#energy }[this.mood];
    const turn = lean * this.facing + Math.sin(time * 0.9) * 0.6;
    const drop = breath * 0.6 + nod - this.#energy * 4;
    head.setAttribute("transform", `translate(${(this.facing * (2 + lean * 0.6)).toFixed(2)} ${drop.toFixed(2)}) rotate(${turn.toFixed(2)} 200 300)`);
    body.setAttribute("transform", `translate(0 ${(breath * 0.5).toFixed(2)})`);
    const wish = { idle: 0, listening: -1, thinking: -7, speaking: -this.#energy * 9 }[this.mood];
    this.#brow += (wish - this.#brow) * (1 - Math.exp(-seconds / 0.12));
    brows[0].setAttribute("transform", `translate(0 ${this.#brow.toFixed(1)})`);
    brows[1].setAttribute("transform", `translate(0 ${(this.#brow * (this.mood === "thinking" ? 0.2 : 0.8)).toFixed(1)})`);
  }
}
