import { Client, gql } from "@urql/core";
import { parse } from "graphql";

export function urql(url, key, options) {
  const client = new Client({
    url,
    ...options,
    preferGetMethod: false,
    fetchOptions: { headers: { Authorization: `Bearer ${key}` } },
  });
  return {
    async execute(text, variables) {
      const [{ operation }] = parse(text).definitions;
      const { data, error } = await client[operation](gql(text), variables).toPromise();
      if (error) throw error;
      return data;
    },
    subscribe(text, variables, next, ended) {
      const { unsubscribe } = client.subscription(gql(text), { ...variables }).subscribe(({ data, error, hasNext }) => {
        if (data && !error) next(data);
        if (error || hasNext === false) {
          // urql shares equal operations while they run: subscribed again, it would return the old one.
          queueMicrotask(() => unsubscribe());
          ended(error);
        }
      });
    },
    close() {},
  };
}
