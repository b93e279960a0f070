// The client of graphql-ws as the tests want it, for the scripts that use one.

import WebSocket from "ws";
import { options, say, url } from "./harness.mjs";

const { createClient } = await import(options.module ?? "graphql-ws");

// A refusal of the operation is a list of GraphQL errors, one of the connection a CloseEvent.
export function messagesOf(problem) {
  if (Array.isArray(problem)) return problem.map((error) => error.message);
  return [problem.code ? `${problem.code} ${problem.reason}` : problem.message];
}

// Frames that a well-behaved client never sends, from the moment the socket is open.
function misbehave(socket) {
  for (const frame of options.frames ?? []) socket.send(JSON.stringify(frame));
}

const ids = (options.ids ?? []).values();

export function connect() {
  return createClient({
    url,
    webSocketImpl: WebSocket,
    connectionParams: options.silent ? () => new Promise(() => {}) : options.params,
    keepAlive: options.keepAlive ?? 0,
    retryAttempts: options.retries ?? 1000,
    // Also when nobody listens, which by default is an error at once.
    shouldRetry: () => true,
    retryWait: () => new Promise((resume) => setTimeout(resume, 20)),
    ...(options.ids && { generateID: () => ids.next().value }),
    on: {
      opened: misbehave,
      connected: () => say({ connection: "open" }),
      closed: ({ code, reason }) => say({ connection: "closed", code, reason: String(reason) }),
      ...(options.pings && {
        ping: (received) => say({ ping: received ? "received" : "sent" }),
        pong: (received) => say({ pong: received ? "received" : "sent" }),
      }),
    },
  });
}
