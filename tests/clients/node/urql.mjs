// npm urql, whose subscriptionExchange hands operations to graphql-ws.

import { Client, fetchExchange, subscriptionExchange } from "urql";
import { onEnd, pipe, subscribe } from "wonka";
import { connect } from "./graphql_ws_client.mjs";
import { obey, url } from "./harness.mjs";

const plain = ({ message, path, extensions }) => ({ message, path, extensions });
const socket = connect();
const client = new Client({
  url: url.replace(/^ws/, "http"),
  exchanges: [
    fetchExchange,
    subscriptionExchange({
      forwardSubscription: (request) => ({
        subscribe: (sink) => ({
          unsubscribe: socket.subscribe({ query: request.query ?? "", variables: request.variables }, sink),
        }),
      }),
    }),
  ],
});

await obey({
  subscribe({ query, variables }, sink) {
    const { unsubscribe } = pipe(
      client.subscription(query, variables ?? {}),
      onEnd(sink.complete),
      subscribe(({ data, error, hasNext }) => {
        if (!hasNext) return; // the last result again, told at the end
        const errors = error?.graphQLErrors.map(plain);
        // The errors of a response come with its data, those of a refusal without any.
        if (data === undefined) sink.errors(errors.map((one) => one.message));
        else sink.next({ data, ...(errors && { errors }) });
      }),
    );
    return unsubscribe;
  },
  dispose: () => socket.dispose(),
});
