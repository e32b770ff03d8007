// Usage: node lipsync.mjs SCRIPT. Runs the page of docs/speech.md in a browser that is not there: a clock, a loudspeaker
// that takes notes, and a mesh with the 15 morph targets. Prints one JSON object.
import { pathToFileURL } from "node:url";

const names = ["sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "I", "O", "U"];
const mesh = {
  morphTargetDictionary: Object.fromEntries([...names.map((name) => `viseme_${name}`), "browDown"].map((name, i) => [name, i])),
  morphTargetInfluences: new Array(names.length + 1).fill(0),
};
const started = performance.now();
const played = [];
const shapes = [];

globalThis.AudioContext = class {
  destination = {};
  get currentTime() {
    return (performance.now() - started) / 1000;
  }
  createBuffer(channels, length, rate) {
    return { duration: length / rate, copyToChannel: (samples) => (this.loudest = Math.max(...samples.map(Math.abs))) };
  }
};
globalThis.AudioBufferSourceNode = class {
  constructor(context, { buffer }) {
    Object.assign(this, { context, buffer });
  }
  connect() {}
  start(time) {
    played.push({ time, duration: this.buffer.duration, loudest: this.context.loudest });
  }
};
globalThis.requestAnimationFrame = (draw) =>
  setTimeout(() => {
    draw();
    const strongest = mesh.morphTargetInfluences.indexOf(Math.max(...mesh.morphTargetInfluences));
    if (shapes.at(-1) !== names[strongest]) shapes.push(names[strongest]);
  }, 8);

const { speak } = await import(pathToFileURL(process.argv[2]));
await speak(mesh, "Hello there. How are you?");
let refusal = null;
await speak(mesh, "Hello.", "zork").catch((error) => (refusal = error.message));
console.log(JSON.stringify({ played, shapes, refusal, brow: mesh.morphTargetInfluences[names.length] }));
