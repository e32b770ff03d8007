/** Mouth shapes of the Oculus visemes, and the viseme of a moment. */

/**
 * @typedef {Object} Shape Lengths in units of the drawing.
 * @property {number} width Half of the distance between the corners.
 * @property {number} open Height of the opening.
 * @property {number} teeth 0 to 1.
 * @property {number} tongue 0 to 1.
 * @property {number} lip Thickness of the lips.
 */

/** @param {number} width @param {number} open @param {number} teeth @param {number} tongue @param {number} lip */
const shape = (width, open, teeth, tongue, lip) => ({ width, open, teeth, tongue, lip });

/** @type {Record<string, Shape>} */
export const SHAPES = {
  sil: shape(23, 0, 0, 0, 6),
  PP: shape(20, 0, 0, 0, 4),
  FF: shape(22, 7, 1, 0, 4.5),
  TH: shape(23, 11, 0.6, 1, 5.5),
  DD: shape(23, 12, 0.7, 0.7, 5.5),
  kk: shape(23, 14, 0.4, 0.2, 5.5),
  CH: shape(16, 14, 0.9, 0, 7.5),
  SS: shape(25, 8, 1, 0, 5),
  nn: shape(23, 10, 0.5, 0.8, 5.5),
  RR: shape(18, 12, 0.3, 0.4, 6.5),
  aa: shape(25, 32, 0.5, 0.5, 6),
  E: shape(28, 20, 0.7, 0.5, 5.5),
  I: shape(30, 13, 0.9, 0.3, 5),
  O: shape(17, 28, 0, 0.3, 7),
  U: shape(11, 17, 0, 0, 8),
};

/**
 * The viseme at a time. Visemes are contiguous and in order.
 *
 * @param {import("./stream.js").Viseme[]} track
 * @param {number} time
 * @returns {string}
 */
export function visemeAt(track, time) {
  let low = 0;
  let high = track.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (track[middle].end_time <= time) low = middle + 1;
    else high = middle;
  }
  return low < track.length && track[low].start_time <= time ? track[low].viseme : "sil";
}

/**
 * Outlines of a mouth around the origin: the lips' outer edge, and the opening.
 *
 * @param {Shape} shape
 * @param {number} smile Lift of the corners.
 * @returns {{outer: string, inner: string, bottom: number}}
 */
export function outlines({ width, open, lip }, smile) {
  const top = -open * 0.34;
  const bottom = open * 0.66;
  return { outer: curve(width + lip * 0.7, top - lip, bottom + lip * 1.25, smile), inner: curve(width, top, bottom, smile), bottom };
}

/** @param {number} width @param {number} top @param {number} bottom @param {number} smile */
function curve(width, top, bottom, smile) {
  const at = (/** @type {number} */ value) => value.toFixed(1);
  const [side, corner] = [at(width * 0.62), at(-smile)];
  // A cubic reaches three quarters of the way to its control points.
  const [up, down] = [at(top / 0.75 + smile / 3), at(bottom / 0.75 + smile / 3)];
  return `M${at(-width)},${corner}C-${side},${up} ${side},${up} ${at(width)},${corner}C${side},${down} -${side},${down} ${at(-width)},${corner}Z`;
}
