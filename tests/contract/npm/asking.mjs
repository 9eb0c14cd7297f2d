// What graphql-ws and graphql-sse have in common: clients with `subscribe(request, sink)` for whatever operation.
import { createClient } from "graphql-sse";

export function asking(client) {
  return {
    ask: (query, variables) =>
      new Promise((answered, failed) => {
        client.subscribe(
          { query, variables },
          { next: ({ data, errors }) => (errors ? failed(errors) : answered(data)), error: failed, complete() {} },
        );
      }),
    follow: (query, variables, next, ended) =>
      client.subscribe(
        { query, variables },
        { next: ({ data, errors }) => (errors ? ended(errors) : next(data)), error: ended, complete: ended },
      ),
    close: () => client.dispose(),
  };
}

export function sse(url, key, singleConnection) {
  return asking(
    createClient({
      url,
      singleConnection,
      headers: () => ({ Authorization: `Bearer ${key}` }),
      retryAttempts: 1000,
      retry: () => new Promise((done) => setTimeout(done, 50)),
    }),
  );
}
