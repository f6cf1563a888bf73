"use strict";
// -- parts of the page -----------------------------------------------------------------------------
// What is changed in a form is never replaced: a note says that something has happened since.
const isDirty = (root) => [...root.querySelectorAll("form")].concat(root.closest("form") || [])
  .some((form) => [...form.elements].some((field) => root.contains(field) && (field.type === "checkbox" || field.type === "radio"
    ? field.checked !== field.defaultChecked
    : "defaultValue" in field && field.type !== "hidden" && field.value !== field.defaultValue)));
const digestOf = (root) => [...root.querySelectorAll("[name=digest]")].map((field) => field.value).join();

const tell = (text) => {
  const news = document.querySelector("#news");
  news.textContent = text;
  news.hidden = !text;
};

const keyOf = (node) => node.nodeType !== 1 ? node.nodeName
  : node.id ? `#${node.id}` : node.nodeName === "DETAILS" ? `details ${node.querySelector("summary")?.textContent}` : node.nodeName;

// Make `old` what `next` is, and keep what a person did: focus, scroll, opened details, words.
function morph(old, next) {
  if (old.nodeType !== 1) { if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue; return; }
  if (next.hasAttribute("data-same")) return;
  if (old.matches("[data-on]") && isDirty(old) && digestOf(old) !== digestOf(next)) { warn(old); return; }
  if (old.matches(".diff, .code") && old.textContent === next.textContent) return;
  for (const { name } of [...old.attributes]) {
    if (!next.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (name === "open" && old.nodeName === "DETAILS") continue;
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.nodeName === "TEXTAREA") { if (old.value === old.defaultValue) old.textContent = next.textContent; return; }
  children(old, next);
}

function children(old, next) {
  const held = new Map();
  for (const node of [...old.childNodes]) {
    if (node.nodeType === 1 && node.hasAttribute("data-made")) continue;
    const key = keyOf(node);
    held.set(key, [...(held.get(key) || []), node]);
  }
  let at = old.firstChild;
  for (const node of [...next.childNodes]) {
    while (at && at.nodeType === 1 && at.hasAttribute("data-made")) at = at.nextSibling;
    const same = held.get(keyOf(node))?.shift();
    if (same) {
      // what stays where it is keeps its focus
      if (same === at) at = at.nextSibling; else old.insertBefore(same, at);
      morph(same, node);
    } else {
      if (node.nodeType === 1 && node.hasAttribute("data-same")) lacking.add(`part:${node.id}`);
      old.insertBefore(document.adoptNode(node), at);
    }
  }
  for (const node of [...held.values()].flat()) {
    if (node.nodeType === 1 && isDirty(node)) warn(node); else node.remove();
  }
}

function warn(part) {
  if (part.querySelector(".stale")) return;
  const note = document.createElement("p");
  note.className = "stale";
  note.dataset.made = "";
  note.setAttribute("role", "alert");
  note.textContent = "This has changed since it was shown, and an answer to it is not taken. Reload the page to see it anew.";
  part.append(note);
}

let loading = false, sending = false, wanted = new Set();
const lacking = new Set();
async function load(topics) {
  for (const topic of topics) wanted.add(topic);
  if (loading || sending) return;
  loading = true;
  try {
    while (wanted.size) {
      const asked = wanted;
      wanted = new Set();
      if (!asked.has("*") && ![...asked].some((topic) => topic.startsWith("part:")) && !listens(asked)) continue;
      let names = [...asked].map(encodeURIComponent).join(" ");
      if (asked.has("*") || names.length > 6000) names = "*";
      const headers = { accept: "text/html", "orchestrate-changed": names };
      const log = document.querySelector("[data-after]");
      if (log && names !== "*") headers["orchestrate-log-after"] = log.dataset.after;
      const answer = await fetch(location.href, { headers });
      if (answer.status === 401) tell("The board was started anew: open the address that it has printed.");
      if (answer.status === 404 || answer.status === 409) { if (!isDirty(document.body)) location.reload(); return; }
      if (!answer.ok || answer.redirected) return;
      tell("");
      if (!sending) show(new DOMParser().parseFromString(await answer.text(), "text/html").body);
      for (const topic of lacking) wanted.add(topic);
      lacking.clear();
    }
  } catch { /* the server is gone; the stream tries again */ } finally { loading = false; }
}
const listens = (topics) => [...document.querySelectorAll("[data-on]")]
  .some((part) => part.dataset.on.split(" ").some((topic) => topics.has(decodeURIComponent(topic))));

function show(parts) {
  for (const next of [...parts.children]) {
    const old = document.getElementById(next.id);
    if (!old) { if (!isDirty(document.body)) location.reload(); return; }
    const log = old.querySelector(".log"), newer = next.querySelector("[data-more]");
    const follow = log && log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    if (log && newer) {
      log.parentElement.dataset.after = newer.dataset.after;
      log.parentElement.querySelector("h2").innerHTML = newer.querySelector("h2").innerHTML;
      log.append(...newer.querySelector(".log").children);
      while (log.children.length > 600) log.firstElementChild.remove();
    } else morph(old, next);
    if (follow) { const now = old.querySelector(".log"); if (now) now.scrollTop = now.scrollHeight; }
  }
  prepare();
}

// -- what script adds to a page ----------------------------------------------------------------------
function made(tag, fields) {
  const node = Object.assign(document.createElement(tag), fields);
  node.dataset.made = "";
  return node;
}

function prepare() {
  const words = document.querySelector("textarea[name=words]");
  for (const diff of document.querySelectorAll(".diff[data-path]")) {
    if (!words || diff.dataset.ready) continue;
    diff.dataset.ready = "1";
    let line = 0;
    for (const span of diff.querySelectorAll("span")) {
      const place = span.className === "place" && /\+(\d+)/.exec(span.textContent);
      if (place) { line = Number(place[1]); continue; }
      if (span.className === "removed" || !line) continue;
      span.dataset.line = String(line++);
    }
    const lines = [...diff.querySelectorAll("[data-line]")];
    const file = made("button", { type: "button", className: "comment", textContent: "Comment on this file" });
    file.addEventListener("click", () => comment(`${diff.dataset.path}: `));
    const hint = made("span", { className: "quiet small", textContent: lines.length ? " or click a line; with the keyboard: ↑ ↓ and Enter" : "" });
    const row = made("p", { className: "comments" });
    row.append(file, hint);
    diff.before(row);
    if (!lines.length) continue;
    // one stop for the tab key; the arrows go from line to line
    diff.removeAttribute("tabindex");
    diff.setAttribute("role", "group");
    diff.setAttribute("aria-label", `${diff.dataset.path}: choose a line to comment on`);
    for (const span of lines) {
      span.tabIndex = -1;
      span.setAttribute("role", "button");
      span.setAttribute("aria-label", `Comment on line ${span.dataset.line}: ${span.textContent.slice(0, 200)}`);
    }
    lines[0].tabIndex = 0;
  }
  for (const command of document.querySelectorAll(".line > .command")) {
    if (command.nextElementSibling) continue;
    const button = made("button", { type: "button", textContent: "Copy" });
    button.setAttribute("aria-label", `Copy: ${command.textContent.slice(0, 80)}`);
    button.addEventListener("click", async () => {
      try { await navigator.clipboard.writeText(command.textContent); } catch {
        getSelection().selectAllChildren(command);
        document.execCommand("copy");
      }
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    command.after(button);
  }
  const several = document.querySelector("[data-count]");
  if (several && !several.previousElementSibling) {
    const all = made("button", { type: "button", textContent: "Tick all" });
    all.addEventListener("click", () => {
      const boxes = [...document.querySelectorAll("[form=several][name=question]")], on = boxes.some((box) => !box.checked);
      for (const box of boxes) box.checked = on;
      count();
    });
    several.before(all);
  }
  count();
}

function count() {
  const button = document.querySelector("[data-count]");
  if (!button || sending) return;
  const boxes = [...document.querySelectorAll("[form=several][name=question]")], ticked = boxes.filter((box) => box.checked).length;
  button.disabled = !ticked;
  button.textContent = ticked ? `Approve ${ticked} of ${boxes.length}` : "Approve what is ticked";
  if (button.previousElementSibling) button.previousElementSibling.textContent = ticked === boxes.length ? "Tick none" : "Tick all";
}
document.addEventListener("change", count);

function comment(place) {
  const words = document.querySelector("textarea[name=words]");
  if (!words) return;
  words.closest("details")?.setAttribute("open", "");
  words.value += (words.value && !words.value.endsWith("\n") ? "\n" : "") + place;
  words.focus();
  words.setSelectionRange(words.value.length, words.value.length);
  words.scrollIntoView({ block: "center" });
}
const commentOn = (span) => comment(`${span.closest("[data-path]").dataset.path}:${span.dataset.line}: `);

document.addEventListener("click", (event) => {
  const span = event.target.closest?.(".diff [role=button][data-line]");
  if (span && !String(getSelection())) commentOn(span);
});
document.addEventListener("keydown", (event) => {
  const span = event.target.closest?.(".diff [role=button][data-line]");
  if (!span || event.ctrlKey || event.metaKey || event.altKey) return;
  const lines = [...span.closest(".diff").querySelectorAll("[data-line]")], at = lines.indexOf(span);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: lines.length - 1, PageDown: Math.min(at + 10, lines.length - 1), PageUp: Math.max(at - 10, 0) }[event.key];
  if (event.key === "Enter" || event.key === " ") commentOn(span);
  else if (lines[to]) { span.tabIndex = -1; lines[to].tabIndex = 0; lines[to].focus(); }
  else if (to === undefined) return;
  event.preventDefault();
});

document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  sending = true;
  for (const button of event.target.elements) {
    if (button.type === "submit" && button !== event.submitter) setTimeout(() => { button.disabled = true; });
  }
  if (event.submitter) setTimeout(() => { event.submitter.disabled = true; event.submitter.textContent += " …"; });
});
// back from the page that followed: what was sent can be sent again
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

// -- dragging ------------------------------------------------------------------------------------------
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

// -- news ------------------------------------------------------------------------------------------------
// the answer to a form has no address of its own
if (document.body.dataset.at && document.body.dataset.at !== location.pathname && document.body.dataset.live) {
  history.replaceState(null, "", document.body.dataset.at);
}
prepare();
for (const log of document.querySelectorAll(".log")) log.scrollTop = log.scrollHeight;
let seen = Number(document.body.dataset.live);
function changed(news) {
  if (news.revision <= seen) return;
  // who missed something reads everything
  load(news.since > seen ? ["*"] : news.topics);
  seen = news.revision;
}
function listen(pass) {
  const stream = new EventSource(`/events?since=${seen}`);
  let lost = 0;
  stream.onmessage = (event) => {
    clearTimeout(lost); lost = 0;
    const news = JSON.parse(event.data);
    changed(news); pass(news);
  };
  stream.onopen = () => { clearTimeout(lost); lost = 0; tell(""); };
  stream.onerror = () => {
    lost ||= setTimeout(() => tell("The board does not answer; this page is as it was."), 1500);
    // a refusal ends the stream: whether the server has another session now, a page says
    if (stream.readyState === EventSource.CLOSED) load(["*"]);
  };
  return stream;
}
if (document.body.dataset.live) {
  const channel = new BroadcastChannel("orchestrate");
  channel.onmessage = (event) => changed(event.data);
  if (navigator.locks) {
    // a browser opens six connections to a server: one tab listens for all
    navigator.locks.request("orchestrate-events", () => { listen((news) => channel.postMessage(news)); return new Promise(() => {}); });
  } else {
    let stream = null;
    const look = () => {
      if (document.hidden) { stream?.close(); stream = null; } else if (!stream) { stream = listen(() => {}); }
    };
    document.addEventListener("visibilitychange", look);
    look();
  }
}
