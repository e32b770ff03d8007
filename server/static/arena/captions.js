/** Captions: a transcript whose words light up when they are said. */

/**
 * The stretches of a transcript: those that words say, and what lies between them.
 *
 * @param {string} text
 * @param {import("./stream.js").SpokenWord[]} words
 * @returns {{text: string, start: number, end: number}[]} Times in seconds. What no word says, such as a comma, is said
 *   with the word before it.
 */
export function stretches(text, words) {
  const letters = Array.from(text);
  const found = /** @type {{text: string, start: number, end: number}[]} */ ([]);
  let at = 0;
  for (const word of words) {
    const last = found[found.length - 1];
    if (word.start_char < at) {
      // Several words can say one stretch, such as "$5".
      if (last) last.end = word.end_time;
      continue;
    }
    if (word.start_char > at) found.push(unsaid(letters.slice(at, word.start_char), last));
    found.push({
      text: letters.slice(word.start_char, word.end_char).join(""),
      start: word.start_time,
      end: word.end_time,
    });
    at = word.end_char;
  }
  if (at < letters.length) {
    const rest = unsaid(letters.slice(at), found[found.length - 1]);
    if (/[\p{L}\p{N}]/u.test(rest.text)) rest.start = rest.end = Infinity; // its words are yet to come
    found.push(rest);
  }
  return found;
}

/** @param {string[]} letters @param {{end: number}} [before] */
const unsaid = (letters, before) => ({ text: letters.join(""), start: before?.end ?? 0, end: before?.end ?? 0 });

/** One turn's text in an element. */
export class Captions {
  #spans = /** @type {{element: HTMLElement, start: number, end: number}[]} */ ([]);
  #drawn = "";

  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
  }

  /**
   * @param {string} text
   * @param {import("./stream.js").SpokenWord[]} words
   */
  show(text, words) {
    const mark = `${text.length} ${words.length}`;
    if (mark === this.#drawn) return;
    this.#drawn = mark;
    this.#spans = [];
    const nodes = stretches(text, words).map((stretch) => {
      const element = document.createElement("span");
      element.className = "word";
      element.textContent = stretch.text;
      this.#spans.push({ element, start: stretch.start, end: stretch.end });
      return element;
    });
    this.element.replaceChildren(...nodes);
  }

  /** @param {number} seconds What was played. */
  light(seconds) {
    for (const { element, start, end } of this.#spans) {
      const state = seconds >= end ? "word said" : seconds >= start ? "word now" : "word";
      if (element.className === state) continue;
      element.className = state;
      if (state === "word now") this.#follow(element);
    }
  }

  /** Keep the word in view where the captions are taller than their box. @param {HTMLElement} element */
  #follow(element) {
    const box = /** @type {HTMLElement} */ (this.element.parentElement);
    if (box.scrollHeight <= box.clientHeight) return;
    box.scrollTop = element.offsetTop - box.clientHeight / 2;
  }
}
