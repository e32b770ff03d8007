/** The button to talk: held by pointer or key, the space bar of the whole page, or pressed and pressed again. */

export class HoldButton {
  #held = false;

  /**
   * @param {HTMLButtonElement} button
   * @param {{press: () => void, release: () => void}} talk
   */
  constructor(button, talk) {
    this.button = button;
    this.talk = talk;
    button.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      button.setPointerCapture(event.pointerId);
      this.#press();
    });
    for (const end of ["pointerup", "pointercancel"]) button.addEventListener(end, () => this.#release());
    // Pointers and keys are dealt with above and below: this is a click by a script or by an assistive technology.
    button.addEventListener("click", (event) => !event.detail && (this.#held ? this.#release() : this.#press()));
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    document.addEventListener("keydown", (event) => {
      if (!this.#isOurs(event)) return;
      event.preventDefault(); // otherwise the page scrolls, or the button is clicked
      if (!event.repeat) this.#press();
    });
    document.addEventListener("keyup", (event) => {
      if (!this.#isOurs(event)) return;
      event.preventDefault();
      this.#release();
    });
    addEventListener("blur", () => this.#release());
  }

  /** @param {boolean} pressed */
  show(pressed) {
    const text = pressed ? "Release to send" : "Hold to talk";
    this.button.setAttribute("aria-pressed", String(pressed));
    if (this.button.textContent !== text) this.button.textContent = text;
  }

  /** @param {KeyboardEvent} event */
  #isOurs({ code, target }) {
    if (this.button.hidden || this.button.disabled) return false;
    return target === this.button ? code === "Space" || code === "Enter" : code === "Space" && target === document.body;
  }

  #press() {
    if (this.#held || this.button.disabled) return;
    this.#held = true;
    this.talk.press();
  }

  #release() {
    if (!this.#held) return;
    this.#held = false;
    this.talk.release();
  }
}
