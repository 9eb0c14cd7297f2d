import { ApolloClient, gql, InMemoryCache } from "@apollo/client";

export function apollo(link) {
  const client = new ApolloClient({ link, cache: new InMemoryCache() });
  return {
    async execute(text, variables) {
      const document = gql(text);
      const kind = document.definitions[0].operation;
      const { data, error } =
        kind === "mutation"
          ? await client.mutate({ mutation: document, variables })
          : await client.query({ query: document, variables, fetchPolicy: "network-only" });
      if (error) throw error;
      return data;
    },
    subscribe: (text, variables, next, ended) =>
      client
        .subscribe({ query: gql(text), variables: { ...variables } })
        .subscribe({ next: ({ data, error }) => (error ? ended(error) : next(data)), error: ended, complete: ended }),
    close: () => client.stop(),
  };
}
