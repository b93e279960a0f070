// npm graphql-ws, by itself.

import { connect, messagesOf } from "./graphql_ws_client.mjs";
import { obey } from "./harness.mjs";

const client = connect();

await obey({
  subscribe: (operation, sink) =>
    client.subscribe(operation, {
      next: sink.next,
      error: (problem) => sink.errors(messagesOf(problem)),
      complete: sink.complete,
    }),
  dispose: () => client.dispose(),
});
