// npm @apollo/client with a link, as the tests' scripts drive it.

import { ApolloClient, CombinedGraphQLErrors, InMemoryCache, gql } from "@apollo/client";
import { obey } from "./harness.mjs";

export async function obeyApollo(link, disconnect) {
  const client = new ApolloClient({ link, cache: new InMemoryCache() });

  await obey({
    subscribe({ query, variables }, sink) {
      let ended = false;
      const subscription = client
        .subscribe({ query: gql(query), variables, errorPolicy: "all", fetchPolicy: "no-cache" })
        .subscribe({
          next({ data, error }) {
            // The errors of a response come with its data, those of a refusal without any.
            const list = CombinedGraphQLErrors.is(error) ? error : undefined;
            if (error && list?.data === undefined) {
              ended = true;
              sink.errors(list ? list.errors.map((one) => one.message) : [error.message]);
            } else {
              sink.next(list ? { data: list.data, errors: list.errors } : { data });
            }
          },
          complete: () => ended || sink.complete(), // it completes what failed, too
        });
      return () => subscription.unsubscribe();
    },
    dispose: disconnect,
  });
}
