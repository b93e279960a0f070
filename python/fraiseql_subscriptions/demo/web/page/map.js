// The map: airports where they are, and an arc for every flight in the air.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [960, 600];
const RADIANS = Math.PI / 180;

// Albers' equal-area conic projection, with the parallels that maps of the United States have.
const [SOUTH, NORTH, MIDDLE, CENTRE] = [29.5, 45.5, 38, -96].map((degrees) => degrees * RADIANS);
const CONE = (Math.sin(SOUTH) + Math.sin(NORTH)) / 2;
const BASE = Math.cos(SOUTH) ** 2 + 2 * CONE * Math.sin(SOUTH);

function albers(longitude, latitude) {
  const radius = (phi) => Math.sqrt(BASE - 2 * CONE * Math.sin(phi)) / CONE;
  const turn = CONE * (longitude * RADIANS - CENTRE);
  const r = radius(latitude * RADIANS);
  return [r * Math.sin(turn), r * Math.cos(turn) - radius(MIDDLE)];
}

// Islands far away have frames of their own, as on every such map.
const MAINLAND = { centre: [-96, 38], at: [WIDTH / 2, HEIGHT / 2 - 4], scale: 1220 };
const HAWAII = { centre: [-157.6, 20.7], at: [106, 515], scale: 1350, box: [30, 462, 150, 116] };
const CARIBBEAN = { centre: [-66, 18.1], at: [870, 535], scale: 1600, box: [812, 502, 132, 66] };

function frameOf(longitude, latitude) {
  if (longitude < -130) return HAWAII;
  return latitude < 20 ? CARIBBEAN : MAINLAND;
}

function place(longitude, latitude) {
  const { centre, at, scale } = frameOf(longitude, latitude);
  const [[x, y], [x0, y0]] = [albers(longitude, latitude), albers(...centre)];
  return [at[0] + scale * (x - x0), at[1] + scale * (y - y0)];
}

// An outline whose long edges bend as parallels do.
function outline(ring) {
  const points = ring.flatMap(([x, y], index) => {
    const [toX, toY] = ring[(index + 1) % ring.length];
    const steps = Math.ceil(Math.abs(toX - x) / 2) || 1;
    return Array.from({ length: steps }, (_, step) => {
      const share = step / steps;
      return place(x + (toX - x) * share, y + (toY - y) * share);
    });
  });
  return `M${points.map((point) => point.map((value) => value.toFixed(1)).join(",")).join("L")}Z`;
}

const LIGHTS = { departed: "--amber", arrived: "--teal", cancelled: "--red" };
const STILL = matchMedia("(prefers-reduced-motion: reduce)");

function element(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export class FlightMap {
  #airports = new Map();
  #arcs = new Map();
  #layer = { land: null, arcs: null, airports: null };

  constructor(svg) {
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    for (const name of Object.keys(this.#layer)) {
      this.#layer[name] = element("g", { class: name });
      svg.append(this.#layer[name]);
    }
  }

  drawLand(rings) {
    const frames = [HAWAII, CARIBBEAN].map(({ box: [x, y, width, height] }) =>
      element("rect", { x, y, width, height, rx: 6 }),
    );
    this.#layer.land.replaceChildren(...frames, element("path", { d: rings.map(outline).join("") }));
  }

  drawAirports(airports) {
    this.#layer.airports.replaceChildren();
    this.#airports.clear();
    for (const { code, city, latitude, longitude, home } of airports) {
      const [x, y] = place(longitude, latitude);
      const title = element("title", {}, `${city} (${code})`);
      const dot = element("circle", { cx: x, cy: y, r: home ? 4 : 2.5, class: home ? "home" : "" }, title);
      this.#airports.set(code, { x, y, dot });
      this.#layer.airports.append(dot);
    }
  }

  clear() {
    this.#layer.arcs.replaceChildren();
    this.#arcs.clear();
  }

  // A flight as it now is: in the air it has an arc.
  show(key, { status, origin, destination, delay }) {
    this.#arcs.get(key)?.remove();
    this.#arcs.delete(key);
    if (status === "departed") {
      const [from, to] = [this.#airports.get(origin), this.#airports.get(destination)];
      const arc = element("path", { d: curve(from, to), class: delay >= 30 ? "late" : "" });
      this.#arcs.set(key, arc);
      this.#layer.arcs.append(arc);
    }
  }

  // Light up the airport where something happens.
  light({ status, origin, destination }) {
    if (STILL.matches) return;
    const { dot } = this.#airports.get(status === "arrived" ? destination : origin);
    for (const earlier of dot.getAnimations()) earlier.cancel();
    dot.animate([{ fill: `var(${LIGHTS[status]})`, r: "8px", offset: 0 }], 1500);
  }
}

// The further it is, the higher it bows.
function curve(from, to) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const [x, y] = [from.x + dx / 2 + dy * 0.16, from.y + dy / 2 - Math.abs(dx) * 0.16];
  const round = (value) => value.toFixed(1);
  return `M${round(from.x)},${round(from.y)}Q${round(x)},${round(y)} ${round(to.x)},${round(to.y)}`;
}
