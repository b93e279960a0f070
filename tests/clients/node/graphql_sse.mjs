// npm graphql-sse: a connection for each operation, or one for all of them.

import { NetworkError, createClient } from "graphql-sse";
import { obey, options, say, url } from "./harness.mjs";

function messagesOf(problem) {
  if (Array.isArray(problem)) return problem.map((error) => error.message);
  return [problem.message];
}

const client = createClient({
  url: url.replace(/^ws/, "http"),
  singleConnection: options.singleConnection,
  retryAttempts: options.retries ?? 1000,
  retry: () => new Promise((resume) => setTimeout(resume, 20)),
  on: { connected: () => say({ connection: "open" }) },
});

await obey({
  subscribe: (operation, sink) =>
    client.subscribe(operation, {
      next: sink.next,
      error: (problem) => sink.errors(messagesOf(problem)),
      complete: sink.complete,
    }),
});
