// graphql-sse in its distinct connections mode: each operation is a request that is answered with a stream.
import { sse } from "../sink.mjs";

export default (url, key) => sse(url, key, false);
