// urql: queries and mutations by HTTP, subscriptions over a WebSocket.
import { fetchExchange, subscriptionExchange } from "@urql/core";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

import { urql } from "../urql.mjs";

export default (url, key) => {
  const socket = createClient({
    url: url.replace("http", "ws"),
    connectionParams: { Authorization: `Bearer ${key}` },
    webSocketImpl: WebSocket,
    // The walk subscribes again with the last cursor: urql keeps the variables of the first time.
    retryAttempts: 0,
  });
  const forwardSubscription = (request) => ({
    subscribe: (sink) => ({ unsubscribe: socket.subscribe({ ...request, query: request.query ?? "" }, sink) }),
  });
  return urql(url, key, { exchanges: [fetchExchange, subscriptionExchange({ forwardSubscription })] });
};
