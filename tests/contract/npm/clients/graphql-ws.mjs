// graphql-ws: everything over one WebSocket; the client connects again by itself, with the variables as they are then.
import { createClient } from "graphql-ws";
import WebSocket from "ws";

import { fromSinkClient } from "../sink.mjs";

export default (url, key) => {
  const client = createClient({
    url: url.replace("http", "ws"),
    connectionParams: { Authorization: `Bearer ${key}` },
    webSocketImpl: WebSocket,
    retryAttempts: 1000,
    retryWait: () => new Promise((done) => setTimeout(done, 50)),
    // As in a browser a refused connection is an error, not a close.
    shouldRetry: () => true,
  });
  return fromSinkClient(client);
};
