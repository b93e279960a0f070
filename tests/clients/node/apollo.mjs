// npm @apollo/client over WebSocket: its GraphQLWsLink hands operations to graphql-ws.

import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import WebSocket from "ws";
import { obeyApollo } from "./apollo_client.mjs";
import { connect } from "./graphql_ws_client.mjs";

globalThis.WebSocket ??= WebSocket; // the link compares with it, and older Nodes have none
const socket = connect();
await obeyApollo(new GraphQLWsLink(socket), () => socket.dispose());
