/** The two speakers as drawings: SVG elements whose parts move. */

/**
 * @typedef {Object} Figure
 * @property {SVGGElement} body Leans.
 * @property {SVGGElement} head Tilts and nods.
 * @property {SVGGElement[]} pupils Look around.
 * @property {SVGRectElement[]} lids Close; each is as high as its eye when closed.
 * @property {SVGGElement[]} brows Rise.
 * @property {SVGGElement} mouth
 * @property {SVGPathElement} lips
 * @property {SVGPathElement[]} openings The opening, and the clip of teeth and tongue.
 * @property {SVGRectElement} teeth
 * @property {SVGEllipseElement} tongue
 * @property {SVGGElement} thought
 * @property {SVGGElement} arm Rises from behind the lectern.
 */

/** @param {string} tag @param {Record<string, string | number>} [attributes] @param {...SVGElement} children */
function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return /** @type {any} */ (made);
}
const path = (/** @type {string} */ d, /** @type {string} */ fill, more = {}) => svg("path", { d, fill, ...more });
const line = (/** @type {string} */ d, /** @type {string} */ stroke, /** @type {number} */ width, more = {}) =>
  svg("path", { d, fill: "none", stroke, "stroke-width": width, "stroke-linecap": "round", "stroke-linejoin": "round", ...more });
const circle = (/** @type {number} */ cx, /** @type {number} */ cy, /** @type {number} */ r, /** @type {string} */ fill, more = {}) =>
  svg("circle", { cx, cy, r, fill, ...more });
/** @param {number} cx @param {number} cy @param {number} rx @param {number} ry @param {string} fill @param {Record<string, string | number>} [more] */
const ellipse = (cx, cy, rx, ry, fill, more = {}) => svg("ellipse", { cx, cy, rx, ry, fill, ...more });

let clips = 0;

/** An eye with its lid. @param {number} x @param {number} y @param {number} size @param {string} iris @param {string} skin */
function eye(x, y, size, iris, skin) {
  const id = `arena-eye-${(clips += 1)}`;
  const pupil = svg("g", {}, circle(x, y, size * 0.52, iris), circle(x, y, size * 0.27, "#1a1420"), circle(x + size * 0.18, y - size * 0.2, size * 0.13, "#fff"));
  const lid = svg("rect", { x: x - size * 1.2, y: y - size * 1.1, width: size * 2.4, height: 0, fill: skin });
  const shape = () => ellipse(x, y, size, size * 1.06, "#fffaf2");
  const drawn = svg(
    "g",
    {},
    svg("clipPath", { id }, shape()),
    svg("g", { "clip-path": `url(#${id})` }, shape(), pupil, lid, ellipse(x, y - size * 1.1, size * 1.1, size * 0.3, "#0002")),
  );
  return { drawn, pupil, lid };
}

/** @param {number} x @param {number} y @param {string} colour Of the lips. */
function mouth(x, y, colour) {
  const id = `arena-mouth-${(clips += 1)}`;
  const lips = path("", colour);
  const opening = path("", "#3a0d1c");
  const clip = path("", "#000");
  const teeth = svg("rect", { x: -30, y: -40, width: 60, height: 0, rx: 4, fill: "#fffdf6" });
  const tongue = ellipse(0, 20, 15, 9, "#d8586b");
  const drawn = svg(
    "g",
    { transform: `translate(${x} ${y})`, class: "mouth" },
    svg("clipPath", { id }, clip),
    lips,
    opening,
    svg("g", { "clip-path": `url(#${id})` }, tongue, teeth),
  );
  return { drawn, lips, openings: [opening, clip], teeth, tongue };
}

/** A forearm with an open hand, behind the lectern. @param {string} sleeve @param {string} cuff @param {string} skin */
function arm(sleeve, cuff, skin) {
  const id = `arena-arm-${(clips += 1)}`;
  const moved = svg(
    "g",
    { transform: "translate(0 190)" },
    line("M136 372 L164 520", sleeve, 42),
    line("M129 350 L131 362", skin, 24),
    line("M118 330 L106 300 M127 326 L123 292 M136 328 L139 298", skin, 11),
    line("M143 346 L158 328", skin, 11),
    ellipse(129, 341, 18, 21, skin),
    line("M119 373 L153 366", cuff, 9),
  );
  const drawn = svg("g", { "clip-path": `url(#${id})` }, svg("clipPath", { id }, svg("rect", { x: 0, y: 0, width: 400, height: 390 })), moved); // ends at the lectern's top
  return { drawn, moved };
}

/** Three dots above the head, while the answer is awaited. @param {number} x @param {number} y */
function thought(x, y) {
  const dot = (/** @type {number} */ i) => circle(x + i * 19, y, 6.5, "currentColor", { class: `dot dot-${i}` });
  return svg("g", { class: "thought", opacity: 0 }, dot(0), dot(1), dot(2));
}

/** A lectern in the speaker's colour. @param {string} front @param {string} top @param {string} sign */
function lectern(front, top, sign) {
  return svg(
    "g",
    {},
    path("M104 404 L296 404 L282 480 L118 480 Z", front),
    path("M92 386 h216 a8 8 0 0 1 8 8 v12 h-232 v-12 a8 8 0 0 1 8 -8 Z", top),
    path(sign, "#fff", { opacity: 0.85 }),
    line("M262 388 q14 -40 -12 -62", "#3a3644", 5),
    ellipse(247, 322, 10, 13, "#3a3644", { transform: "rotate(-28 247 322)" }),
  );
}

/** Curls, glasses and coral. @param {SVGSVGElement} root @returns {Figure} */
export function drawAda(root) {
  const [skin, shade, hair, light] = ["#d99a6c", "#c07f54", "#33203f", "#4b3059"];
  const eyes = [eye(168, 186, 19, "#5b7f3a", shade), eye(236, 186, 19, "#5b7f3a", shade)];
  const spoken = mouth(202, 252, "#b23a4e");
  const brow = (/** @type {string} */ d) => svg("g", {}, line(d, hair, 8));
  const brows = [brow("M146 150 q20 -15 42 -5"), brow("M216 145 q22 -10 42 5")];
  const curls = [[118, 130, 44], [104, 182, 40], [110, 234, 36], [150, 86, 46], [206, 70, 48], [260, 90, 44], [294, 136, 42], [302, 190, 38], [296, 240, 34]];
  const ring = (/** @type {number} */ x) => circle(x, 187, 30, "#fff2", { stroke: "#e0ac3b", "stroke-width": 5 });
  const head = svg(
    "g",
    {},
    ...curls.map(([x, y, r]) => circle(x, y, r, hair)),
    path("M128 168 C124 96 282 96 278 168 C282 240 258 300 203 302 C148 300 124 240 128 168 Z", skin),
    ellipse(152, 228, 19, 12, "#e2725b", { opacity: 0.35 }),
    ellipse(254, 228, 19, 12, "#e2725b", { opacity: 0.35 }),
    ...eyes.map(({ drawn }) => drawn),
    ring(168),
    ring(236),
    line("M198 184 q4 -5 8 0 M138 182 l-14 -6 M266 182 l14 -6", "#e0ac3b", 5),
    line("M203 200 q9 16 -1 20", shade, 5),
    spoken.drawn,
    path("M128 158 C124 88 176 78 214 92 C258 84 286 112 279 160 C262 142 246 124 236 118 C214 134 168 130 152 126 C140 136 132 146 128 158 Z", hair),
    line("M160 104 q22 -18 44 -8 M232 98 q22 4 32 22 M112 176 q-8 22 2 40 M296 170 q8 20 0 44", light, 5),
    ...brows,
    circle(126, 268, 9, "#f0b93a"),
    circle(282, 268, 9, "#f0b93a"),
  );
  const body = svg(
    "g",
    {},
    path("M174 276 h58 v52 q-29 22 -58 0 Z", shade),
    path("M62 470 C66 372 122 334 174 322 Q203 350 232 322 C284 334 336 372 340 470 Z", "#e4573d"),
    path("M164 314 Q203 346 242 314 L246 336 Q203 368 160 336 Z", "#f6c64f"),
    line("M118 380 q6 40 2 70 M288 380 q-6 40 -2 70", "#b8402b", 5),
  );
  const dots = thought(184, 14);
  const hand = arm("#cf4a31", "#f6c64f", skin);
  root.append(svg("g", {}, body, head, dots, hand.drawn), lectern("#b8402b", "#8f2f20", "M200 424 l6 13 14 2 -10 10 2 14 -12 -7 -12 7 2 -14 -10 -10 14 -2 Z"));
  return { body, head, brows, mouth: spoken.drawn, thought: dots, arm: hand.moved, pupils: eyes.map((e) => e.pupil), lids: eyes.map((e) => e.lid), ...parts(spoken) };
}

/** A beard, a bow tie and teal. @param {SVGSVGElement} root @returns {Figure} */
export function drawBruno(root) {
  const [skin, shade, beard, light] = ["#f0c3a0", "#d9a27c", "#7d8795", "#98a2af"];
  const eyes = [eye(164, 176, 16, "#3e6d9c", shade), eye(232, 176, 16, "#3e6d9c", shade)];
  const spoken = mouth(198, 264, "#a8545a");
  const brow = (/** @type {string} */ d) => svg("g", {}, line(d, "#5c6573", 13));
  const brows = [brow("M138 148 q24 -16 48 0"), brow("M210 148 q24 -16 48 0")];
  const head = svg(
    "g",
    {},
    ellipse(110, 196, 15, 24, shade),
    ellipse(286, 196, 15, 24, shade),
    path("M114 176 C104 70 292 70 282 176 L282 236 C282 300 114 300 114 236 Z", skin),
    path("M116 132 C100 148 100 190 114 206 L122 150 Z M280 132 C296 148 296 190 282 206 L274 150 Z", beard),
    line("M160 104 q38 -12 76 0 M170 120 q28 -8 56 0", shade, 4, { opacity: 0.6 }),
    ellipse(140, 214, 17, 11, "#e07b5f", { opacity: 0.3 }),
    ellipse(256, 214, 17, 11, "#e07b5f", { opacity: 0.3 }),
    ...eyes.map(({ drawn }) => drawn),
    path("M112 208 C118 232 138 236 158 228 C182 222 214 222 238 228 C258 236 278 232 284 208 C296 286 268 352 198 356 C128 352 100 286 112 208 Z", beard),
    ellipse(198, 266, 40, 26, "#5c6573"),
    spoken.drawn,
    path("M198 236 C178 226 142 232 132 258 C152 266 182 262 198 250 C214 262 244 266 264 258 C254 232 218 226 198 236 Z", light),
    path("M186 172 C180 200 168 214 176 226 C186 238 210 238 220 226 C228 214 216 200 210 172 Z", "#e4b18d"),
    ellipse(198, 222, 22, 15, "#e8ab86"),
    line("M140 300 q8 24 22 34 M198 310 v34 M256 300 q-8 24 -22 34", light, 5),
    ...brows,
  );
  const body = svg(
    "g",
    {},
    path("M168 280 h60 v60 h-60 Z", shade),
    path("M48 470 C52 376 112 340 166 326 L198 348 L230 326 C284 340 344 376 348 470 Z", "#16707a"),
    path("M166 326 L198 396 L230 326 L198 340 Z", "#f7f1e3"),
    path("M166 326 L150 372 L182 420 L198 396 Z M230 326 L246 372 L214 420 L198 396 Z", "#0f555d"),
    path("M198 366 L164 350 V386 Z M198 366 L232 350 V386 Z", "#e2b33c"),
    circle(198, 367, 8, "#c4942a"),
  );
  const dots = thought(180, 36);
  const hand = arm("#115f68", "#f7f1e3", skin);
  root.append(svg("g", {}, body, head, dots, hand.drawn), lectern("#0f555d", "#0a3f46", "M200 424 a18 18 0 1 0 .1 0 Z m0 8 a10 10 0 1 1 -.1 0 Z"));
  return { body, head, brows, mouth: spoken.drawn, thought: dots, arm: hand.moved, pupils: eyes.map((e) => e.pupil), lids: eyes.map((e) => e.lid), ...parts(spoken) };
}

/** @param {ReturnType<typeof mouth>} spoken */
const parts = ({ lips, openings, teeth, tongue }) => ({ lips, openings, teeth, tongue });
