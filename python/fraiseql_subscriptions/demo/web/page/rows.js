// The board: one row a flight, the latest event on top.

const STATUS = { departed: "Departed", arrived: "Landed", cancelled: "Cancelled" };

// Events of one frame that are shown as news.
export const MOST_LIT = 20;

export function keyOf({ carrier, flight, origin, destination }) {
  return `${carrier} ${flight} ${origin} ${destination}`;
}

export class Rows {
  #body;
  #date;
  #cities;
  #rows = new Map();

  constructor(body) {
    this.#body = body;
  }

  describe(date, airports) {
    this.#date = date;
    this.#cities = new Map(airports.map(({ code, city }) => [code, city]));
  }

  clear() {
    this.#rows.clear();
    this.#body.replaceChildren();
  }

  // Show events, oldest first. Those of a flight share its row, which lights up unless all do.
  show(events) {
    const fresh = events.length <= MOST_LIT ? " fresh" : "";
    for (const event of events) {
      const key = keyOf(event);
      let row = this.#rows.get(key);
      if (!row) {
        row = document.createElement("tr");
        for (let column = 0; column < 7; column += 1) row.insertCell();
        this.#rows.set(key, row);
      }
      this.#fill(row, event, fresh);
    }
    // Each row moves once, however much has happened to it.
    const changed = new Set(events.map(keyOf).reverse());
    this.#body.prepend(...[...changed].map((key) => this.#rows.get(key)));
  }

  #fill(row, event, fresh) {
    row.className = event.status + fresh;
    const { carrier, flight, airline, origin, destination, status, delay } = event;
    const cells = [
      clock(event.time, this.#date),
      `${carrier} ${flight}`,
      airline,
      origin,
      `${this.#cities.get(destination)} (${destination})`,
      STATUS[status],
      minutes(delay),
    ];
    cells.forEach((text, column) => (row.cells[column].textContent = text));
    row.cells[6].className = delay >= 30 ? "late" : "";
  }
}

// The time of day of a moment of New York's, and +1 after midnight.
export function clock(time, date) {
  return time.slice(11, 16) + (time.slice(0, 10) > date ? " +1" : "");
}

function minutes(delay) {
  if (delay === null) return "–";
  return delay < 0 ? `−${-delay}` : `+${delay}`;
}
