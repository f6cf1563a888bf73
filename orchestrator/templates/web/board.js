"use strict";
// What is changed in a form is never replaced: a note says that something has happened since.
const isDirty = () => [...document.querySelectorAll("main form")].some((form) =>
  [...form.elements].some((field) => field.type === "checkbox" || field.type === "radio"
    ? field.checked !== field.defaultChecked
    : "defaultValue" in field && field.type !== "hidden" && field.value !== field.defaultValue));

const opened = () => new Set([...document.querySelectorAll("main details[open] > summary")].map((s) => s.textContent));

let loading = false, again = false, sending = false;
async function load() {
  if (loading) { again = true; return; }
  loading = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok || answer.redirected) return;
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
  for (const diff of document.querySelectorAll(".diff[data-path]")) {
    let line = 0;
    for (const span of diff.querySelectorAll("span")) {
      const place = span.className === "place" && /\+(\d+)/.exec(span.textContent);
      if (place) { line = Number(place[1]); continue; }
      if (span.className === "removed" || !line) continue;
      span.dataset.line = String(line++);
      span.title = "Click to comment on this line in a send-back";
    }
  }
}

document.addEventListener("click", (event) => {
  const span = event.target.closest?.(".diff [data-line]");
  const words = document.querySelector("textarea[name=words]");
  if (!span || !words || String(getSelection())) return;
  const path = span.closest("[data-path]").dataset.path;
  words.value += (words.value && !words.value.endsWith("\n") ? "\n" : "") + `${path}:${span.dataset.line}: `;
  words.focus();
  words.scrollIntoView({ block: "center" });
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
if (document.body.dataset.live) {
  const stream = new EventSource("/events");
  let seen = Number(document.body.dataset.live);
  stream.onmessage = (event) => { if (Number(event.data) !== seen) { seen = Number(event.data); load(); } };
}
