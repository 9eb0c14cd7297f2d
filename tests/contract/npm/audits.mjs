// graphql-http's audits of a server, each with its verdict: a line of JSON [id, name, status, reason] per audit.
import { serverAudits } from "graphql-http";

for (const audit of serverAudits({ url: `${process.env.CARET_URL}/graphql`, fetchFn: fetch })) {
  const { status, reason, response } = await audit.fn();
  if (response && !response.bodyUsed) await response.body?.cancel();
  console.log(JSON.stringify([audit.id, audit.name, status, reason ?? null]));
}
