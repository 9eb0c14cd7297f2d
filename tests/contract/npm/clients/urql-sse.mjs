// urql: queries and mutations by HTTP, subscriptions by graphql-sse.
import { fetchExchange, subscriptionExchange } from "@urql/core";
import { createClient } from "graphql-sse";

import { urql } from "../urql.mjs";

export default (url, key) => {
  const stream = createClient({ url, headers: { Authorization: `Bearer ${key}` }, retryAttempts: 0 });
  const forwardSubscription = (request) => ({
    subscribe: (sink) => ({ unsubscribe: stream.subscribe({ ...request, query: request.query ?? "" }, sink) }),
  });
  return urql(url, key, { exchanges: [fetchExchange, subscriptionExchange({ forwardSubscription })] });
};
