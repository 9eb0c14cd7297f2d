// Starts GraphiQL once it has a credential: asked for once, kept for this tab only (sessionStorage: neither another tab
// nor the next visit sees it), and used for every request and for the WebSocket of subscriptions alike.
"use strict";

// Under this name GraphiQL's dialogs look for what lets them add to the styles of the page.
window.__webpack_nonce__ = document.currentScript.nonce;

const form = document.getElementById("enter");
const forget = document.getElementById("forget");

const NOTES = `# The newest notes of your workspace.
# Ctrl-Enter runs it, Ctrl-Space completes what you write.
query Notes {
  notes(first: 5) {
    nodes {
      id
      title
      tags {
        name
      }
    }
  }
}
`;
const WRITE = `# Whoever follows the workspace hears of it,
# as the next tab does in a second window.
mutation Write {
  createNote(input: { title: "Written in GraphiQL" }) {
    id
    title
  }
}
`;
const FOLLOW = `# Whatever happens in your workspace, as it happens.
# With after: "..." also what happened since that cursor.
subscription Follow {
  workspaceEvents {
    cursor
    type
    createdAt
    note {
      id
      title
    }
  }
}
`;

function credential() {
  const workspace = sessionStorage.getItem("caret.workspace");
  return {
    Authorization: `Bearer ${sessionStorage.getItem("caret.credential")}`,
    ...(workspace && { "X-Workspace-Id": workspace }),
  };
}

function open() {
  const url = new URL(location.pathname, location.href);
  const socket = new URL(url);
  socket.protocol = url.protocol.replace("http", "ws");
  const fetcher = GraphiQL.createFetcher({
    url: url.href,
    // What is written in the headers editor has the last word.
    fetch: (to, request) => fetch(to, { ...request, headers: { ...credential(), ...request.headers } }),
    wsClient: graphqlWs.createClient({ url: socket.href, connectionParams: credential }),
  });
  const props = {
    fetcher,
    defaultTabs: [{ query: NOTES }, { query: WRITE }, { query: FOLLOW }],
    shouldPersistHeaders: false,
  };
  ReactDOM.createRoot(document.getElementById("graphiql")).render(React.createElement(GraphiQL, props));
  forget.hidden = false;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  for (const name of ["credential", "workspace"]) {
    sessionStorage.setItem(`caret.${name}`, form.elements[name].value.trim());
  }
  form.hidden = true;
  open();
});

forget.addEventListener("click", () => {
  sessionStorage.clear();
  location.reload();
});

if (sessionStorage.getItem("caret.credential")) {
  open();
} else {
  form.hidden = false;
}
