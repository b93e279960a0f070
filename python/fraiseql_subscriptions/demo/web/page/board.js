// The page: it asks for the day, subscribes to its flights, and shows each as it happens.

import { Hours } from "./hours.js";
import { FlightMap } from "./map.js";
import { clock, keyOf, MOST_LIT, Rows } from "./rows.js";
import { Client } from "./socket.js";

const DAY = `{
  day { run date speed start flights }
  airports { code city latitude longitude home }
  airlines { code name }
}`;
const FLIGHTS = `subscription Board($origin: String, $carrier: String) {
  flightUpdated(origin: $origin, carrier: $carrier) {
    day sequence time status carrier airline flight origin destination delay
  }
}`;
const STATES = { live: "Live", lost: "Connection lost, trying again", waiting: "Connecting" };

const $ = (id) => document.getElementById(id);
const map = new FlightMap($("map"));
const hours = new Hours($("hours"));
const rows = new Rows($("rows"));

let run; // of the server's process: positions of another mean nothing
let date;
let position; // of the last event that has arrived
let playing; // the number of the day shown
let latest = -1; // the number in it of the last event shown
let states = new Map(); // each flight's status
let waiting = []; // events that have arrived since the last frame
let turns = 0; // of resuming
let end = () => {}; // of the subscription

const client = new Client(`${location.protocol.replace("http", "ws")}//${location.host}/graphql`, (state) => {
  tell(state === "live" ? "waiting" : "lost");
  if (state === "live") resume().catch(explain);
});

// Go on where the events shown end; from the day's beginning if the server is another one.
async function resume() {
  const turn = (turns += 1);
  const { day, airports, airlines } = await client.query(DAY);
  if (turn !== turns) return; // something else has been chosen meanwhile
  if (day.run !== run) {
    ({ run, date } = day);
    describe(day, airports, airlines);
    clear();
  }
  subscribe(position ?? day.start);
  tell("live");
}

// Begin the day again, with what is chosen now.
function restart() {
  end();
  clear();
  resume().catch(explain);
}

function subscribe(since) {
  const variables = { origin: $("origin").value || null, carrier: $("carrier").value || null };
  $("query").textContent = `${FLIGHTS}\n\n${JSON.stringify(variables)}`;
  end = client.subscribe(
    { query: FLIGHTS, variables, extensions: { since } },
    { next: receive, failed: (errors) => explain(errors[0]), completed: () => tell("lost") },
  );
}

function receive({ data, errors, extensions }) {
  if (errors) return explain(errors[0]);
  position = extensions.position;
  if (waiting.push(data.flightUpdated) === 1) requestAnimationFrame(draw);
}

// Once a frame, however many events it brought.
function draw() {
  let events = [];
  for (const event of waiting) {
    if (event.day !== playing) {
      forget();
      playing = event.day;
      events = [];
    }
    if (event.sequence <= latest) continue; // a position may be a little early
    latest = event.sequence;
    events.push(event);
  }
  waiting = [];
  if (events.length === 0) return;
  for (const event of events) {
    states.set(keyOf(event), event);
    if (event.status === "departed") hours.count(event, date);
  }
  hours.draw();
  rows.show(events);
  for (const [key, event] of new Map(events.map((one) => [keyOf(one), one]))) map.show(key, event);
  for (const event of events.slice(-MOST_LIT)) map.light(event);
  $("clock").textContent = clock(events.at(-1).time, date);
  count();
}

function count() {
  const found = { departed: 0, arrived: 0, cancelled: 0 };
  for (const { status } of states.values()) found[status] += 1;
  $("departed").textContent = found.departed + found.arrived;
  $("flying").textContent = found.departed;
  $("arrived").textContent = found.arrived;
  $("cancelled").textContent = found.cancelled;
}

function clear() {
  position = undefined;
  waiting = [];
  forget();
}

// Show nothing of the day.
function forget() {
  latest = -1;
  states = new Map();
  rows.clear();
  map.clear();
  hours.clear();
  $("clock").textContent = "--:--";
  count();
}

function describe(day, airports, airlines) {
  const written = new Date(`${date}T12:00:00Z`).toLocaleDateString("en-GB", { dateStyle: "long", timeZone: "UTC" });
  $("date").textContent = `${written}, New York time`;
  $("speed").textContent = day.speed === null ? "at once" : `${day.speed} times as fast as it was`;
  rows.describe(date, airports);
  map.drawAirports(airports);
  const homes = airports.filter(({ home }) => home);
  choices($("origin"), "All airports", homes.map(({ code, city }) => [code, `${city} (${code})`]));
  choices($("carrier"), "All airlines", airlines.map(({ code, name }) => [code, name]));
}

function choices(select, all, options) {
  const chosen = select.value;
  select.replaceChildren(...[["", all], ...options].map(([value, text]) => new Option(text, value)));
  select.value = chosen;
}

function tell(state) {
  $("state").dataset.state = state;
  $("state").textContent = STATES[state];
  if (state === "live") $("problem").hidden = true;
}

function explain(problem) {
  $("problem").textContent = problem.message;
  $("problem").hidden = false;
}

for (const id of ["origin", "carrier"]) $(id).addEventListener("change", restart);
map.drawLand(await (await fetch("/page/outline.json")).json());
