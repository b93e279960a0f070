// GraphQL over one WebSocket (the protocol graphql-transport-ws), in as few lines as it takes.
// A socket that is lost is opened again; its operations are then over, and who began them begins
// them again, from the position that they had reached.

const FIRST_WAIT = 250; // milliseconds
const LONGEST_WAIT = 5000;

export class Client {
  #url;
  #tell;
  #socket = null;
  #operations = new Map();
  #ids = 0;
  #wait = FIRST_WAIT;

  // `tell` is called with "live" when operations may begin and with "lost" when all have ended.
  constructor(url, tell) {
    this.#url = url;
    this.#tell = tell;
    this.#open();
  }

  #open() {
    const socket = new WebSocket(this.#url, "graphql-transport-ws");
    this.#socket = socket;
    socket.onopen = () => this.#send({ type: "connection_init" });
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    socket.onclose = () => {
      this.#operations.clear();
      this.#tell("lost");
      // Not all at once when a server comes back.
      setTimeout(() => this.#open(), this.#wait * (0.5 + Math.random() / 2));
      this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
    };
  }

  #send(message) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #hear({ type, id, payload }) {
    const operation = this.#operations.get(id);
    if (type === "connection_ack") {
      this.#wait = FIRST_WAIT;
      this.#tell("live");
    } else if (type === "ping") {
      this.#send({ type: "pong" });
    } else if (type === "next") {
      operation?.next(payload);
    } else if (type === "error") {
      this.#operations.delete(id);
      operation?.failed(payload);
    } else if (type === "complete") {
      this.#operations.delete(id);
      operation?.completed?.();
    }
  }

  // Returns a function that ends it. `sink` has next(result), failed(errors) and completed().
  subscribe(request, sink) {
    const id = String(++this.#ids);
    this.#operations.set(id, sink);
    this.#send({ type: "subscribe", id, payload: request });
    return () => {
      if (this.#operations.delete(id)) this.#send({ type: "complete", id });
    };
  }

  // The data of a query. It stays open when the socket is lost: "lost" tells of that.
  query(query) {
    return new Promise((resolve, reject) => {
      const fail = (errors) => reject(new Error(errors.map((one) => one.message).join("; ")));
      const next = ({ data, errors }) => (errors ? fail(errors) : resolve(data));
      this.subscribe({ query }, { next, failed: fail });
    });
  }
}
