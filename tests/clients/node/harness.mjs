// What every client's script does: it obeys the test's lines on stdin and says on stdout, one JSON
// object a line, what its client tells. When stdin ends it completes what runs and disposes of the
// client, and a process that then does not end by itself has left something open.
//
// In:  {"subscribe": id, "query": …, "variables": …}   {"complete": id}
// Out: {"id": …, "next": result}   {"id": …, "errors": [message, …]}   {"id": …, "complete": true}
//      {"connection": …}

import { createInterface } from "node:readline";

export const url = process.argv[2];
export const options = JSON.parse(process.argv[3] ?? "{}");

export function say(message) {
  process.stdout.write(JSON.stringify(message) + "\n");
}

// `client` has subscribe(operation, sink), which returns a function that
// completes, and where it needs that dispose().
// A sink has next(result), errors(messages) and complete().
export async function obey(client) {
  const running = new Map();
  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    if (order.complete) {
      running.get(order.complete)();
      continue;
    }
    const { subscribe: id, query, variables } = order;
    running.set(
      id,
      client.subscribe({ query, variables }, {
        next: (result) => say({ id, next: result }),
        errors: (messages) => say({ id, errors: messages }),
        complete: () => say({ id, complete: true }),
      }),
    );
  }
  for (const complete of running.values()) complete();
  await client.dispose?.();
}
