// An independent client of /v1 on Node's own fetch. It behaves as the public npm client does: it says JSON on every
// request, parses every answer, and reads `message`, `code` and `errors` off a refusal and `retry-after` off its headers.
//
//   CARET_URL=http://127.0.0.1:8080 CARET_KEY=sk-caret-api-… node client.mjs [walk|limits]
//
// `walk` needs an empty workspace with two people in it, an admin first. It says nothing unless something is wrong.
import assert from "node:assert/strict";

const { CARET_URL: url, CARET_KEY: key } = process.env;
const BEARER = { Authorization: `Bearer ${key}` };
const NEVER = "01890000-0000-7000-8000-000000000000";
const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

class Refused extends Error {
  constructor(response, body) {
    super(body.message);
    Object.assign(this, { status: response.status, code: body.code, errors: body.errors, error: body.error });
    this.retryAfter = response.headers.get("retry-after");
  }
}

async function call(method, path, body, credential = BEARER) {
  const headers = { "Content-Type": "application/json", ...credential };
  const response = await fetch(`${url}/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
  const told = JSON.parse(await response.text());
  if (!response.ok) throw new Refused(response, told);
  assert.match(response.headers.get("x-request-id"), /./);
  return told;
}

const get = (path, credential) => call("GET", path, undefined, credential);
const post = (path, body) => call("POST", path, body);
const patch = (path, body) => call("PATCH", path, body);
const remove = (path) => call("DELETE", path);

async function refused(calling, status, code, errors) {
  const error = await calling.then(() => assert.fail("it was not refused"), (error) => error);
  assert.ok(error instanceof Refused, error);
  assert.deepStrictEqual([error.status, error.code], [status, code]);
  assert.deepStrictEqual([error.error.code, error.error.message], [error.code, error.message]);
  assert.deepStrictEqual(Object.keys(error.errors ?? {}), errors ?? []);
  return error;
}

/** Takes out what the server makes, after a look at it; the rest can be compared whole. */
function plain(thing, ...moments) {
  assert.match(thing.id, ID);
  for (const name of moments) assert.match(thing[name], MOMENT, name);
  const made = new Set(["id", ...moments]);
  return Object.fromEntries(Object.entries(thing).filter(([name]) => !made.has(name)));
}

async function everything(path, limit) {
  const items = [];
  for (let offset = 0; ; ) {
    const page = await get(`${path}${path.includes("?") ? "&" : "?"}limit=${limit}&offset=${offset}`);
    assert.deepStrictEqual(Object.keys(page), ["items", "pagination"]);
    items.push(...page.items);
    const { nextOffset, isLast } = page.pagination;
    assert.deepStrictEqual(page.pagination, { limit, nextOffset: offset + page.items.length, isLast });
    if (isLast) return items;
    offset = nextOffset;
  }
}

async function credentials() {
  const me = await get("/me");
  assert.deepStrictEqual(await get("/me", { "X-API-Key": key }), me);
  assert.ok(key.startsWith(me.apiKey.prefix));
  assert.deepStrictEqual([me.user, me.role], [null, "admin"]);
  await refused(get("/me", {}), 401, "missing_api_key");
  await refused(get("/me", { "X-API-Key": "sk-caret-api-unknown" }), 401, "invalid_api_key");
  // Bearer wins.
  await refused(get("/me", { Authorization: "Bearer sk-caret-api-unknown", "X-API-Key": key }), 401, "invalid_api_key");
}

async function tags() {
  assert.deepStrictEqual(await get("/workspace/tags"), { tags: [] });
  const { tag } = await post("/workspace/tags", { name: "planning", color: "#00AA00" });
  assert.deepStrictEqual(plain(tag, "createdAt"), { name: "planning", color: "#00AA00" });
  await refused(post("/workspace/tags", { name: "planning", color: "#000000" }), 409, "already_exists", ["name"]);
  await refused(post("/workspace/tags", { name: "x", color: "green" }), 400, "invalid_parameter", ["color"]);
  const renamed = await patch(`/workspace/tags/${tag.id}`, { name: "plans" });
  assert.deepStrictEqual(renamed, { tag: { ...tag, name: "plans" } });
  assert.deepStrictEqual(await get("/workspace/tags"), { tags: [renamed.tag] });
  return renamed.tag;
}

async function folders() {
  assert.deepStrictEqual(await get("/folders"), { folders: [] });
  const { folder } = await post("/folders", { name: "Clients", icon: "🗂", color: "#112233" });
  const shown = { name: "Clients", icon: "🗂", color: "#112233", parentFolderId: null };
  assert.deepStrictEqual(plain(folder, "createdAt"), { ...shown, memberCount: folder.memberCount });
  const { folder: inner } = await post("/folders", { name: "Acme", parentFolderId: folder.id });
  assert.deepStrictEqual(plain(inner, "createdAt"), {
    name: "Acme",
    icon: null,
    color: null,
    parentFolderId: folder.id,
    memberCount: folder.memberCount,
  });
  await refused(patch(`/folders/${folder.id}`, { parentFolderId: inner.id }), 422, "unprocessable", ["parentFolderId"]);
  const moved = await patch(`/folders/${inner.id}`, { parentFolderId: null, name: "Acme Inc" });
  assert.deepStrictEqual(moved, { folder: { ...inner, parentFolderId: null, name: "Acme Inc" } });
  assert.deepStrictEqual(await get("/folders"), { folders: [moved.folder, folder] });
  assert.deepStrictEqual(await remove(`/folders/${inner.id}`), { success: true, message: "Folder deleted" });
  await refused(remove(`/folders/${inner.id}`), 404, "resource_not_found");
  return folder;
}

async function notes(tag, folder) {
  assert.deepStrictEqual(await everything("/notes", 2), []);
  const segment = { speaker: "Ann", text: "Hallo", startTimestamp: "00:00:01", endTimestamp: "00:00:02" };
  const { note } = await post("/notes", { title: "Weekly", transcripts: [segment], tagIds: [tag.id], folderId: folder.id });
  const expected = {
    title: "Weekly",
    kind: "online",
    status: "completed",
    visibility: "workspace",
    tags: [{ id: tag.id, name: tag.name, color: tag.color }],
    participants: [],
    totalDurationSec: 0,
    userWrittenNote: "",
    enhancedNote: "",
    summary: "",
    transcripts: [{ ...segment, translation: null }],
    calendarEvent: null,
    inputLanguage: null,
    translationLanguage: null,
    meetingApp: null,
    revision: 1,
  };
  assert.deepStrictEqual(plain(note, "createdAt", "updatedAt"), expected);
  assert.deepStrictEqual(await get(`/notes/${note.id}`), { note });

  const others = [];
  for (const title of ["A", "B", "C", "D"]) others.push((await post("/notes", { title })).note);
  const newest = [...others].reverse();
  assert.deepStrictEqual(await everything("/notes", 2), [...newest, note]);
  assert.deepStrictEqual(await everything("/notes?sortBy=title&sortOrder=asc", 3), [...others, note]);
  assert.deepStrictEqual(await everything(`/notes?tagIds=${tag.id},${NEVER}`, 2), [note]);
  assert.deepStrictEqual(await everything(`/notes?folderIds=${folder.id}`, 2), [note]);
  await refused(get("/notes?limit=101"), 400, "invalid_parameter", ["limit"]);

  const changed = (await patch(`/notes/${note.id}`, { title: "Monthly", tagIds: [], visibility: "only-me" })).note;
  const now = { title: "Monthly", tags: [], visibility: "private", revision: 2, updatedAt: changed.updatedAt };
  assert.deepStrictEqual(changed, { ...note, ...now });
  assert.ok(changed.updatedAt >= note.updatedAt);
  const bad = await refused(patch(`/notes/${note.id}`, { tagIds: [NEVER] }), 422, "unprocessable", ["tagIds"]);
  assert.deepStrictEqual(bad.error.param, "tagIds");
  await refused(patch(`/notes/${note.id}`, { colour: "red" }), 400, "invalid_parameter", ["colour"]);

  for (const one of [changed, ...others])
    assert.deepStrictEqual(await remove(`/notes/${one.id}`), { success: true, message: "Note deleted" });
  await refused(get(`/notes/${note.id}`), 404, "resource_not_found");
  await refused(remove(`/notes/${note.id}`), 404, "resource_not_found");
  assert.deepStrictEqual(await everything("/notes", 100), []);
}

async function workspace() {
  const { workspace } = await get("/workspace");
  const { settings } = workspace;
  assert.deepStrictEqual(plain(workspace, "createdAt", "updatedAt"), {
    name: workspace.name,
    settings,
    allowedEmailDomains: [],
    iconUrl: null,
  });
  assert.deepStrictEqual(Object.keys(settings), ["defaultLanguage", "brandColor", "enableTranscriptSharing"]);
  const change = { name: "Renamed", settings: { defaultLanguage: "de" }, allowedEmailDomains: ["acme.example"] };
  const changed = await patch("/workspace", change);
  const { updatedAt } = changed.workspace;
  const merged = { ...settings, ...change.settings };
  assert.deepStrictEqual(changed, { workspace: { ...workspace, ...change, settings: merged, updatedAt } });
  assert.deepStrictEqual(await get("/workspace"), changed);
  await patch("/workspace", { allowedEmailDomains: [] });
}

async function people() {
  const [admin, member] = await everything("/workspace/members", 1);
  assert.deepStrictEqual(await everything("/workspace/members", 100), [admin, member]);
  const { userId, name, email } = member;
  assert.match(userId, ID);
  const shown = { userId, name, email, profileUrl: null, role: "member", groups: [] };
  assert.deepStrictEqual(plain(member, "createdAt"), shown);
  assert.deepStrictEqual(await everything(`/workspace/members?search=${encodeURIComponent(email)}`, 5), [member]);

  assert.deepStrictEqual(await get("/workspace/groups"), { userGroups: [] });
  const { group } = await post("/workspace/groups", { name: "Sales", description: "They sell." });
  assert.deepStrictEqual(plain(group, "createdAt"), { name: "Sales", description: "They sell." });
  const there = { ...member, groups: [{ id: group.id, name: "Sales" }] };
  const grouped = await patch(`/workspace/members/${member.id}`, { groupIds: [group.id] });
  assert.deepStrictEqual(grouped, { member: there });
  assert.deepStrictEqual(await get(`/workspace/members/${member.id}`), { member: there });
  assert.deepStrictEqual(await get("/workspace/groups"), { userGroups: [{ ...group, memberCount: 1 }] });
  await refused(patch(`/workspace/members/${admin.id}`, { role: "member" }), 409, "conflict");
  await refused(remove(`/workspace/members/${admin.id}`), 409, "conflict");

  assert.deepStrictEqual(await everything("/invites", 2), []);
  const { invite } = await post("/workspace/invites", { email: "new@acme.example", groupIds: [group.id] });
  assert.match(invite.code, /^.{8}$/);
  assert.deepStrictEqual(plain(invite, "createdAt", "expiresAt"), {
    email: "new@acme.example",
    code: invite.code,
    role: "member",
    isUrlInvite: false,
    groups: [{ id: group.id, name: "Sales" }],
  });
  assert.deepStrictEqual(Math.round((Date.parse(invite.expiresAt) - Date.parse(invite.createdAt)) / 86_400_000), 30);
  assert.deepStrictEqual(await everything("/workspace/invites", 2), [invite]);
  await refused(post("/invites", { email: "no address" }), 400, "invalid_parameter", ["email"]);
  assert.deepStrictEqual(await remove(`/invites/${invite.id}`), { success: true, message: "Invite deleted" });
  await refused(remove(`/workspace/invites/${invite.id}`), 404, "resource_not_found");

  assert.deepStrictEqual(await remove(`/workspace/groups/${group.id}`), { success: true, message: "Group deleted" });
  assert.deepStrictEqual(await get(`/workspace/members/${member.id}`), { member });
  assert.deepStrictEqual(await remove(`/workspace/members/${member.id}`), { success: true, message: "Member removed" });
  assert.deepStrictEqual(await everything("/workspace/members", 100), [admin]);
}

async function walk() {
  await credentials();
  const [tag, folder] = [await tags(), await folders()];
  await notes(tag, folder);
  assert.deepStrictEqual(await remove(`/folders/${folder.id}`), { success: true, message: "Folder deleted" });
  assert.deepStrictEqual(await remove(`/workspace/tags/${tag.id}`), { success: true, message: "Tag deleted" });
  await workspace();
  await people();
  await refused(get("/nothing"), 404, "resource_not_found");
  await refused(call("PUT", "/notes", {}), 405, "method_not_allowed");
}

/** Asks until it is refused for asking too often. */
async function limits() {
  for (let left = 1000; left > 0; left--) {
    const error = await get("/me").then(() => null, (error) => error);
    if (error === null) continue;
    await refused(Promise.reject(error), 429, "rate_limit_exceeded");
    assert.match(error.retryAfter, /^[1-9]\d?$/);
    assert.deepStrictEqual(error.error.retry_after, Number(error.retryAfter));
    return;
  }
  assert.fail("it was never refused");
}

await { walk, limits }[process.argv[2] ?? "walk"]();
