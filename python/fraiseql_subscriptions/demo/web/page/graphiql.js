// GraphiQL, whose subscriptions go over one WebSocket.

const QUERY = `# The flights from JFK, as they leave and land.
# Ctrl-Enter begins and ends.
subscription Flights {
  flightUpdated(origin: "JFK") {
    time
    status
    airline
    flight
    destination
    delay
  }
}
`;

const client = graphqlWs.createClient({
  url: `${location.protocol.replace("http", "ws")}//${location.host}/graphql`,
  retryAttempts: Infinity,
  shouldRetry: () => true,
});

// Queries, its own for the schema too, go over HTTP.
const fetcher = GraphiQL.createFetcher({ url: "/graphql", wsClient: client });

ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, { fetcher, defaultQuery: QUERY }),
);
