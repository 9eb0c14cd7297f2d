// urql: everything by HTTP; its own reader of streams takes SSE and multipart.
import { fetchExchange } from "@urql/core";

import { urql } from "../urql.mjs";

export default (url, key) => urql(url, key, { exchanges: [fetchExchange], fetchSubscriptions: true });
