// npm @apollo/client, whose GraphQLWsLink hands operations to graphql-ws.

import { ApolloClient, CombinedGraphQLErrors, InMemoryCache, gql } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import WebSocket from "ws";
import { connect } from "./graphql_ws_client.mjs";
import { obey } from "./harness.mjs";

globalThis.WebSocket ??= WebSocket; // the link compares with it, and older Nodes have none
const socket = connect();
const client = new ApolloClient({
  link: new GraphQLWsLink(socket),
  cache: new InMemoryCache(),
});

await obey({
  subscribe({ query, variables }, sink) {
    let refused = false;
    const subscription = client
      .subscribe({ query: gql(query), variables, errorPolicy: "all", fetchPolicy: "no-cache" })
      .subscribe({
        next: ({ data, error }) => {
          // The errors of a response come with its data, those of a refusal without any.
          const list = CombinedGraphQLErrors.is(error) ? error : undefined;
          if (error && list?.data === undefined) {
            refused = true;
            sink.errors(list ? list.errors.map((one) => one.message) : [error.message]);
          } else {
            sink.next(list ? { data: list.data, errors: list.errors } : { data });
          }
        },
        complete: () => refused || sink.complete(), // it completes what was refused, too
      });
    return () => subscription.unsubscribe();
  },
  dispose() {
    client.stop();
    socket.dispose();
  },
});
