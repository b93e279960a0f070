// npm @apollo/client over HTTP: its HttpLink asks for multipart where the operation subscribes.

import { HttpLink } from "@apollo/client";
import { obeyApollo } from "./apollo_client.mjs";
import { url } from "./harness.mjs";

await obeyApollo(new HttpLink({ uri: url.replace(/^ws/, "http") }));
