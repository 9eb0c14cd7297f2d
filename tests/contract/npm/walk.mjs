// The same walk with any of the clients beside it: a query, mutations, and a subscription that outlives its connection.
// Usage: node walk.mjs <client>, with CARET_URL, CARET_KEY and CARET_AFTER (a cursor) in the environment.
//
// A client is a function (url, key) => { execute, subscribe, close }:
//   execute(query, variables)                      resolves to the data; throws the errors
//   subscribe(query, variables, next, ended)       calls next(data) for each event, and ended(error) once the stream has
//                                                  ended and the client does not reconnect by itself. It may read
//                                                  `variables` anew for each connection: they hold the last cursor.
import { once } from "node:events";
import { setTimeout as wait } from "node:timers/promises";

const { CARET_URL: url, CARET_KEY: key, CARET_AFTER: after } = process.env;
const CREATE = "mutation($title: String!) { createNote(input: { title: $title }) { title } }";
const NOTES = "query($first: Int!) { notes(first: $first) { nodes { title } } }";
const EVENTS = `subscription($after: Cursor) {
  workspaceEvents(types: [NOTE_CREATED], after: $after) { cursor note { title } }
}`;

const { default: connect } = await import(`./clients/${process.argv[2]}.mjs`);
const client = await connect(`${url}/graphql`, key);
const titles = [];
const variables = { after };

function subscribe() {
  let hasEnded = false;
  client.subscribe(EVENTS, variables, next, async () => {
    // Some clients report an error, and then the end of the stream.
    if (hasEnded) return;
    hasEnded = true;
    await wait(50);
    subscribe();
  });
}

function next({ workspaceEvents: event }) {
  variables.after = event.cursor;
  titles.push(event.note.title);
}

async function titleArrives(title) {
  while (!titles.includes(title)) await wait(10);
}

subscribe();
const created = await client.execute(CREATE, { title: "one" });
await titleArrives("one");
// The test now cuts the connection, creates the notes two and three, and writes a line.
console.log("cut");
await once(process.stdin, "data");
await titleArrives("three");
await client.execute(CREATE, { title: "four" });
await titleArrives("four");
const { notes } = await client.execute(NOTES, { first: 4 });
console.log(JSON.stringify({ created: created.createNote.title, titles, notes: notes.nodes.map((note) => note.title) }));
await client.close();
process.exit(0);
