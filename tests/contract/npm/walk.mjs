// The same walk with any of the clients beside it: a query, mutations, and a subscription that outlives its connection.
// Usage: node walk.mjs <client>, with CARET_URL, CARET_KEY and CARET_AFTER (a cursor) in the environment.
//
// A client is a function (url, key) => { ask, follow, close }:
//   ask(query, variables)                          the answer's data; throws what is wrong with it
//   follow(query, variables, next, ended)          next(data) for each event, ended(why) once the stream is over and
//                                                  the client does not try again by itself. It may read `variables`
//                                                  anew for each connection: they hold the last cursor then.
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

function follow() {
  let over = false;
  client.follow(EVENTS, variables, next, async () => {
    // Some clients tell of an error, and then that the stream is complete.
    if (over) return;
    over = true;
    await wait(50);
    follow();
  });
}

function next({ workspaceEvents: event }) {
  variables.after = event.cursor;
  titles.push(event.note.title);
}

async function seen(title) {
  while (!titles.includes(title)) await wait(10);
}

follow();
const created = await client.ask(CREATE, { title: "one" });
await seen("one");
// Whoever started this cuts the connection, makes two and three meanwhile, and says so.
console.log("cut");
await once(process.stdin, "data");
await seen("three");
await client.ask(CREATE, { title: "four" });
await seen("four");
const { notes } = await client.ask(NOTES, { first: 4 });
console.log(JSON.stringify({ created: created.createNote.title, titles, notes: notes.nodes.map((note) => note.title) }));
await client.close();
process.exit(0);
