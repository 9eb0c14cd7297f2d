// graphql-sse in its single connection mode: one reserved stream for all, each operation a request beside it.
import { sse } from "../sink.mjs";

export default (url, key) => sse(url, key, true);
