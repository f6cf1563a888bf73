"use strict";
// What is changed in a form is never replaced: a note says that something has happened since.
const isDirty = () => [...document.querySelectorAll("main form")].some((form) =>
  [...form.elements].some((field) => field.type === "checkbox" || field.type === "radio"
    ? field.checked !== field.defaultChecked
    : "defaultValue" in field && field.type !== "hidden" && field.value !== field.defaultValue));

const opened = () => new Set([...document.querySelectorAll("main details[open] > summary")].map((s) => s.textContent));

// the answer to a form has no address of its own
if (document.body.dataset.at && document.body.dataset.at !== location.pathname && document.body.dataset.live) {
  history.replaceState(null, "", document.body.dataset.at);
}
const tell = (text) => {
  const news = document.querySelector("#news");
  news.textContent = text;
  news.hidden = !text;
};

let loading = false, again = false, sending = false;
async function load() {
  if (loading) { again = true; return; }
  loading = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (answer.status === 401) tell("The board was started anew: open the address that it has printed.");
    if (!answer.ok || answer.redirected) return;
    tell("");
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    show(page);
  } catch { /* the server is gone; the stream tries again */ } finally {
    loading = false;
    if (again) { again = false; load(); }
  }
}

function show(page) {
  const nav = page.querySelector("nav"), old = document.querySelector("nav");
  if (nav && old && !old.contains(document.activeElement)) old.replaceWith(nav);
  const main = document.querySelector("main"), next = page.querySelector("main");
  if (sending || main.innerHTML === next.innerHTML) return;
  const inside = main.contains(document.activeElement) && document.activeElement !== main;
  if (isDirty() || (inside && document.activeElement.matches("input, textarea, select"))) {
    for (const part of main.querySelectorAll("[data-part]")) {
      const newer = next.querySelector("#" + part.id);
      if (newer) part.replaceWith(document.adoptNode(newer));
    }
    const digest = (root) => root.querySelector("[name=digest]")?.value;
    if (digest(main) !== digest(next) && !main.querySelector(".stale")) {
      const note = document.createElement("p");
      note.className = "stale";
      note.setAttribute("role", "alert");
      note.textContent = "This has changed since it was shown, and an answer to it is not taken. Reload the page to see it anew.";
      main.append(note);
    }
    return;
  }
  const kept = opened(), log = main.querySelector(".log");
  const follow = !log || log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const focus = inside && document.activeElement.getAttribute("href");
  main.replaceWith(next);
  for (const summary of next.querySelectorAll("details > summary")) {
    if (kept.has(summary.textContent)) summary.parentElement.open = true;
  }
  if (focus) next.querySelector(`[href="${CSS.escape(focus)}"]`)?.focus();
  prepare(follow);
}

function prepare(follow) {
  const log = document.querySelector(".log");
  if (log && follow) log.scrollTop = log.scrollHeight;
  const words = document.querySelector("textarea[name=words]");
  for (const diff of document.querySelectorAll(".diff[data-path]")) {
    let line = 0;
    if (words && diff.previousElementSibling?.className !== "comment") {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "comment";
      button.textContent = "Comment on this file";
      button.addEventListener("click", () => comment(`${diff.dataset.path}: `));
      diff.before(button);
    }
    for (const span of diff.querySelectorAll("span")) {
      const place = span.className === "place" && /\+(\d+)/.exec(span.textContent);
      if (place) { line = Number(place[1]); continue; }
      if (span.className === "removed" || !line) continue;
      span.dataset.line = String(line++);
      span.title = "Click to comment on this line in a send-back";
    }
  }
}

function comment(place) {
  const words = document.querySelector("textarea[name=words]");
  words.closest("details")?.setAttribute("open", "");
  words.value += (words.value && !words.value.endsWith("\n") ? "\n" : "") + place;
  words.focus();
  words.scrollIntoView({ block: "center" });
}

document.addEventListener("click", (event) => {
  const span = event.target.closest?.(".diff [data-line]");
  const words = document.querySelector("textarea[name=words]");
  if (!span || !words || String(getSelection())) return;
  comment(`${span.closest("[data-path]").dataset.path}:${span.dataset.line}: `);
});

document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  sending = true;
  for (const button of event.target.querySelectorAll("button")) {
    if (button !== event.submitter) setTimeout(() => { button.disabled = true; });
  }
  if (event.submitter) setTimeout(() => { event.submitter.disabled = true; event.submitter.textContent += " …"; });
});

let dragged = null;
document.addEventListener("dragstart", (event) => {
  dragged = event.target.closest?.("[data-moves]");
  if (dragged) event.dataTransfer.setData("text/plain", dragged.dataset.id);
});
const actionFor = (column) => {
  if (!dragged || !column || column.contains(dragged)) return "";
  const moves = new Map(dragged.dataset.moves.trim().split(/\s+/).map((move) => move.split(":").reverse()));
  const rests = ["HOLD", "BACKLOG", "ARCHIVE", "COMPLETE", "USER_REVIEW"].includes(column.dataset.role);
  return moves.get(column.dataset.role) || (rests ? "" : moves.get("*")) || "";
};
document.addEventListener("dragover", (event) => {
  const column = event.target.closest?.("[data-role]");
  for (const other of document.querySelectorAll(".target")) other.classList.remove("target");
  if (actionFor(column)) { event.preventDefault(); column.classList.add("target"); }
});
document.addEventListener("drop", (event) => {
  const action = actionFor(event.target.closest?.("[data-role]"));
  if (!action) return;
  event.preventDefault();
  const form = document.createElement("form");
  form.method = "post";
  form.action = `/family/${encodeURIComponent(dragged.dataset.id)}/move`;
  const fields = { csrf: document.querySelector("[data-csrf]").dataset.csrf, action, back: location.pathname + location.search };
  if (action === "hold") {
    const reason = prompt("Why does it have to wait?");
    if (!reason) return;
    fields.reason = reason;
  }
  for (const [name, value] of Object.entries(fields)) {
    const field = document.createElement("input");
    field.type = "hidden"; field.name = name; field.value = value;
    form.append(field);
  }
  document.body.append(form);
  form.submit();
});

prepare(true);
let seen = Number(document.body.dataset.live);
const changed = (revision) => { if (revision !== seen) { seen = revision; load(); } };
function listen(pass) {
  const stream = new EventSource("/events");
  let lost = 0;
  stream.onmessage = (event) => { clearTimeout(lost); lost = 0; changed(Number(event.data)); pass(Number(event.data)); };
  stream.onopen = () => { clearTimeout(lost); lost = 0; tell(""); };
  stream.onerror = () => {
    lost ||= setTimeout(() => tell("The board does not answer; this page is as it was."), 1500);
    // a refusal ends the stream: whether the server has another session now, a page says
    if (stream.readyState === EventSource.CLOSED) load();
  };
  return stream;
}
if (document.body.dataset.live) {
  const channel = new BroadcastChannel("orchestrate");
  channel.onmessage = (event) => changed(event.data);
  if (navigator.locks) {
    // a browser opens six connections to a server: one tab listens for all
    navigator.locks.request("orchestrate-events", () => { listen((revision) => channel.postMessage(revision)); return new Promise(() => {}); });
  } else {
    let stream = null;
    const look = () => {
      if (document.hidden) { stream?.close(); stream = null; } else if (!stream) { stream = listen(() => {}); }
    };
    document.addEventListener("visibilitychange", look);
    look();
  }
}
