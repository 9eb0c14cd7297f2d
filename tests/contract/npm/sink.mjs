// The clients of graphql-ws and graphql-sse, which have one method for all operations: `subscribe(request, sink)`.
import { createClient } from "graphql-sse";

export function fromSinkClient(client) {
  return {
    execute: (query, variables) =>
      new Promise((resolve, reject) => {
        client.subscribe(
          { query, variables },
          { next: ({ data, errors }) => (errors ? reject(errors) : resolve(data)), error: reject, complete() {} },
        );
      }),
    subscribe: (query, variables, next, ended) =>
      client.subscribe(
        { query, variables },
        { next: ({ data, errors }) => (errors ? ended(errors) : next(data)), error: ended, complete: ended },
      ),
    close: () => client.dispose(),
  };
}

export function sse(url, key, singleConnection) {
  return fromSinkClient(
    createClient({
      url,
      singleConnection,
      headers: () => ({ Authorization: `Bearer ${key}` }),
      retryAttempts: 1000,
      retry: () => new Promise((done) => setTimeout(done, 50)),
    }),
  );
}
