// How many flights have left in each hour of the day, and how many of them late.

const FIRST = 4;
const LAST = 24; // and what is later still

export class Hours {
  #bars = [];
  #most = 1;

  constructor(list) {
    for (let hour = FIRST; hour <= LAST; hour += 1) {
      const bar = document.createElement("li");
      const name = document.createElement("span");
      name.textContent = hour % 4 === 0 ? String(hour) : "";
      bar.append(document.createElement("i"), document.createElement("b"), name);
      list.append(bar);
      this.#bars.push({ bar, departed: 0, late: 0 });
    }
  }

  clear() {
    for (const one of this.#bars) one.departed = one.late = 0;
    this.#most = 1;
    this.draw();
  }

  // A flight has left.
  count({ time, delay }, date) {
    const hour = Number(time.slice(11, 13)) + (time.slice(0, 10) > date ? 24 : 0);
    const one = this.#bars[Math.min(Math.max(hour, FIRST), LAST) - FIRST];
    one.departed += 1;
    if (delay >= 30) one.late += 1;
    this.#most = Math.max(this.#most, one.departed);
  }

  draw() {
    for (const [index, { bar, departed, late }] of this.#bars.entries()) {
      const height = (count) => `${(100 * count) / this.#most}%`;
      bar.children[0].style.height = height(departed - late);
      bar.children[1].style.height = height(late);
      bar.title = `${index + FIRST}:00: ${departed} left, ${late} of them late`;
    }
  }
}
