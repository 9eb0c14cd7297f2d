// Receives webhooks of Caret and verifies both signatures.
//
//     CARET_WEBHOOK_SECRET=whsec_… node examples/webhook_receiver.mjs [PORT]
//
// During a rotation, separate the two secrets with a comma. Needs nothing but Node.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const SECRETS = process.env.CARET_WEBHOOK_SECRET.split(",");
const TOLERANCE = 300; // seconds by which the clocks may differ
const MAX_BODY_BYTES = 16 * 1024 * 1024;
const seen = new Set(); // keep these in a database in production

/** Whether one of our secrets signed the body within the last TOLERANCE seconds. */
function signed(headers, body) {
  const sentAt = headers["webhook-timestamp"] ?? "";
  if (!/^\d+$/.test(sentAt) || Math.abs(Date.now() / 1000 - Number(sentAt)) > TOLERANCE) return false;
  const content = Buffer.concat([Buffer.from(`${headers["webhook-id"]}.${sentAt}.`), body]);
  const signatures = (headers["webhook-signature"] ?? "").split(" ");
  if (!SECRETS.some((secret) => signatures.some((each) => same(standard(secret, content), each)))) return false;
  // More than one signature: the secret was just replaced, and X-Caret-Signature is by the new one alone.
  const plain = headers["x-caret-signature"] ?? "";
  return signatures.length > 1 || SECRETS.some((secret) => same(hex(secret, body), plain));
}

function standard(secret, content) {
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  return `v1,${createHmac("sha256", key).update(content).digest("base64")}`;
}

function hex(secret, body) {
  return createHmac("sha256", secret).update(body).digest("hex");
}

function same(ours, theirs) {
  const [a, b] = [Buffer.from(ours), Buffer.from(theirs)];
  return a.length === b.length && timingSafeEqual(a, b);
}

async function receive(request, response) {
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_BODY_BYTES) return request.destroy();
  }
  const body = Buffer.concat(chunks);
  if (request.method !== "POST" || !signed(request.headers, body)) return response.writeHead(401).end();
  const event = JSON.parse(body);
  // The same event may arrive twice, with the same id.
  if (!seen.has(event.eventId)) {
    seen.add(event.eventId);
    console.log(event.type, event.eventId);
  }
  return response.writeHead(200).end();
}

const server = createServer((request, response) => {
  // A request may be aborted or contain no JSON; the server goes on.
  receive(request, response).catch(() => response.destroy());
});
server.listen(Number(process.argv[2] ?? 9000), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/`);
});
