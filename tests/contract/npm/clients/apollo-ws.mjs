// @apollo/client: queries and mutations by HTTP, subscriptions over a WebSocket.
import { ApolloLink, HttpLink } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { OperationTypeNode } from "graphql";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

import { apollo } from "../apollo.mjs";

// As in a browser, where Apollo looks for it.
globalThis.WebSocket = WebSocket;

export default (url, key) => {
  const socket = createClient({
    url: url.replace("http", "ws"),
    connectionParams: { Authorization: `Bearer ${key}` },
    webSocketImpl: WebSocket,
    // The walk subscribes again with the last cursor: Apollo keeps the variables of the first time.
    retryAttempts: 0,
  });
  const http = new HttpLink({ uri: url, headers: { Authorization: `Bearer ${key}` } });
  const isSubscription = ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION;
  return apollo(ApolloLink.split(isSubscription, new GraphQLWsLink(socket), http));
};
