// @apollo/client: everything by HTTP, subscriptions in Apollo's multipart protocol.
import { HttpLink } from "@apollo/client";

import { apollo } from "../apollo.mjs";

export default (url, key) => apollo(new HttpLink({ uri: url, headers: { Authorization: `Bearer ${key}` } }));
