/** The transcript with its ribbons, and the verdict's table. */

import { CRITERIA, speaker } from "./prompts.js";
import { drawRibbon } from "./ribbon.js";

/**
 * @typedef {import("./debate.js").Debate} Debate
 * @typedef {import("./prompts.js").Entry} Entry
 */

/** The list of what was said. */
export class Transcript {
  #items = /** @type {Map<string, HTMLElement>} */ (new Map());

  /** @param {HTMLElement} list */
  constructor(list) {
    this.list = list;
  }

  /** @param {Debate | null} debate */
  show(debate) {
    const entries = debate?.entries ?? [];
    const wanted = new Set(entries.map((entry) => entry.key));
    for (const [key, item] of this.#items) {
      if (wanted.has(key)) continue;
      item.remove();
      this.#items.delete(key);
    }
    for (const entry of entries) if (debate && !this.#items.has(entry.key)) this.#add(debate, entry);
  }

  /** Draw an entry's ribbon again: its trace has arrived. @param {Entry} entry */
  measured(entry) {
    const item = this.#items.get(entry.key);
    const place = /** @type {HTMLElement | null | undefined} */ (item?.querySelector(".ribbon"));
    if (place) drawRibbon(place, entry);
    if (item === this.list.lastElementChild) this.list.scrollTop = this.list.scrollHeight;
  }

  /** @param {Debate} debate @param {Entry} entry */
  #add(debate, entry) {
    const item = element("li", entry.kind);
    item.dataset.side = String(entry.side);
    const said = element("p", "said", entry.heard.trim() || (entry.interrupted ? "…" : "(No sentence fitted into the time of this turn.)"));
    if (entry.interrupted) said.append(element("span", "cut", entry.broken ? " … connection lost" : " … interrupted"));
    item.append(element("h3", "", speaker(debate.settings, entry)), entry.picture ? figure(entry.picture) : said);
    if (entry.passages) item.append(passages(entry.passages));
    if (entry.measures) item.append(element("div", "ribbon"));
    this.#items.set(entry.key, item);
    this.list.append(item);
    this.measured(entry);
  }
}

/** @param {import("./pictures.js").Picture} picture */
function figure({ url, alt }) {
  const made = element("figure", "picture");
  made.append(Object.assign(document.createElement("img"), { src: url, alt }), element("figcaption", "", alt));
  return made;
}

/** What a speaker read of the documents, folded. @param {import("./documents.js").Passage[]} read */
function passages(read) {
  const details = element("details", "passages");
  details.append(element("summary", "", read.length === 1 ? "1 passage of the documents" : `${read.length} passages of the documents`));
  for (const { filename, text } of read) details.append(element("p", "source", filename), element("blockquote", "", text.trim()));
  return details;
}

/**
 * The points of both speakers; null before the verdict, and where it has none.
 *
 * @param {import("./debate.js").Verdict | null | undefined} verdict
 */
export function points(verdict) {
  if (!verdict || !("first" in verdict)) return null;
  return [verdict.first, verdict.second].map((side) => CRITERIA.reduce((sum, name) => sum + side[name], 0));
}

/**
 * Fill the verdict's table.
 *
 * @param {HTMLElement} section
 * @param {Debate | null} debate
 */
export function drawVerdict(section, debate) {
  const verdict = debate?.verdict;
  section.hidden = !verdict;
  if (!debate || !verdict) return;
  const [head, body] = /** @type {HTMLElement[]} */ ([section.querySelector("thead"), section.querySelector("tbody")]);
  const table = /** @type {HTMLElement} */ (section.querySelector("table"));
  const why = /** @type {HTMLElement} */ (section.querySelector("p"));
  const scored = "first" in verdict;
  table.hidden = !scored;
  why.textContent = verdict.reason || "This model gives no scores.";
  if (!scored) return;
  const names = debate.settings.personas.map((side) => side.name);
  head.replaceChildren(row("th", ["", ...names]));
  const sides = [verdict.first, verdict.second];
  const rows = CRITERIA.map((name) => row("td", [name, ...sides.map((side) => String(side[name]))]));
  const sums = points(verdict) ?? [];
  const total = row("td", ["total", ...sums.map(String)]);
  total.className = "total";
  sums.forEach((sum, side) => sum > sums[1 - side] && total.children[side + 1].classList.add("winner"));
  body.replaceChildren(...rows, total);
}

/** @param {"th" | "td"} tag @param {string[]} cells The first is the row's header. */
function row(tag, cells) {
  const made = document.createElement("tr");
  cells.forEach((text, place) => {
    const cell = document.createElement(place && tag === "td" ? "td" : text || place ? "th" : "td");
    if (cell.tagName === "TH") cell.setAttribute("scope", tag === "th" ? "col" : "row");
    cell.textContent = text;
    made.append(cell);
  });
  return made;
}

/** @param {string} tag @param {string} className @param {string} [text] */
function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
