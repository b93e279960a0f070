// npm subscriptions-transport-ws: the legacy client, with the subprotocol graphql-ws.

import { SubscriptionClient } from "subscriptions-transport-ws";
import WebSocket from "ws";
import { obey, options, say, url } from "./harness.mjs";

class Client extends SubscriptionClient {
  // It tells nobody of keep-alives, and closes when they stop coming.
  processReceivedData(data) {
    if (options.keepAlives && JSON.parse(data).type === "ka") say({ keepAlive: "received" });
    super.processReceivedData(data);
  }
}

const client = new Client(
  url,
  {
    reconnect: options.reconnect ?? true,
    timeout: options.timeout ?? 30_000,
    connectionParams: options.params ?? {},
    connectionCallback: (refusal) => refusal && say({ connection: "refused", ...refusal }),
  },
  WebSocket,
);
client.onConnected(() => say({ connection: "open" }));
client.onReconnected(() => say({ connection: "open again" }));
client.onDisconnected(() => say({ connection: "closed" }));
client.onError((error) => say({ connection: "error", message: error.message }));

await obey({
  subscribe(operation, sink) {
    const { unsubscribe } = client.request(operation).subscribe({
      next: sink.next,
      error: (problem) => sink.errors([problem].flat().map((one) => one.message)),
      complete: sink.complete,
    });
    return unsubscribe;
  },
  dispose: () => client.close(),
});
