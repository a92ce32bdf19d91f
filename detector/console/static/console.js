// Keys, live updates of the queue, and fetching a case's evidence. Without it everything still works
// by links and buttons. Nothing is kept here: what a page shows is what the server sent.
"use strict";

const POLL_MS = 3000;
const REFRESH_MS = 60000; // how long ago things were is told by the server
const live = document.getElementById("live");
const keysDialog = document.getElementById("keys");
const isVisible = (element) => element.checkVisibility();

// -- keys ---------------------------------------------------------------------------------------

const cases = () => [...document.querySelectorAll("a.case")];

function move(step) {
  const links = cases();
  if (!links.length) {
    follow(step > 0 ? "to-next" : "to-previous");
    return;
  }
  const at = links.indexOf(document.activeElement);
  const next = links[Math.min(links.length - 1, Math.max(0, at < 0 ? 0 : at + step))];
  next.focus({ preventScroll: true });
  next.closest("tr").scrollIntoView({ block: "nearest" });
}

function follow(id) {
  document.getElementById(id)?.click();
}

function openFilter() {
  const filter = document.getElementById("filter");
  if (!filter) return;
  filter.open = true;
  filter.querySelector("input:not([type=hidden])").focus();
}

function openDetails(summary) {
  const details = summary.parentElement;
  details.open = true;
  details.querySelector("button").focus();
}

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  q: () => follow("to-queue"),
  "/": openFilter,
  "?": () => keysDialog.showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && event.target.closest("textarea, input, select")) event.target.blur();
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (keysDialog.open || event.target.closest("textarea, input, select")) return;
  const act = keyAction(event.key);
  if (!act) return;
  event.preventDefault();
  act();
});

function keyAction(key) {
  if (Object.hasOwn(KEYS, key)) return KEYS[key];
  const wanted = CSS.escape(key);
  const button = document.querySelector(`[data-key="${wanted}"]`);
  if (button && isVisible(button)) return () => button.click();
  const summary = document.querySelector(`[data-open="${wanted}"]`);
  if (summary && isVisible(summary)) return () => openDetails(summary);
  const field = document.querySelector(`[data-focus="${wanted}"]`);
  return field && isVisible(field) ? () => field.focus() : null;
}

const showKeys = document.getElementById("show-keys");
showKeys.hidden = false;
showKeys.addEventListener("click", () => keysDialog.showModal());

const print = document.getElementById("print");
if (print) {
  print.hidden = false;
  print.addEventListener("click", () => window.print());
}

// -- deciding -----------------------------------------------------------------------------------

const form = document.getElementById("form");
form?.addEventListener("submit", (event) => {
  if (form.getAttribute("aria-busy")) event.preventDefault(); // twice is once
  form.setAttribute("aria-busy", "true");
});
window.addEventListener("pageshow", () => form?.removeAttribute("aria-busy"));

const undo = document.querySelector("[data-left-ms]");
if (undo) setTimeout(() => {
  undo.disabled = true;
  undo.parentElement.classList.add("over-now");
}, Math.max(0, Number(undo.dataset.leftMs)));

// -- evidence -----------------------------------------------------------------------------------

async function fetchPart(url) {
  const answer = await fetch(url, { headers: { "X-Fragment": "1" }, credentials: "same-origin" });
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.text();
}

async function readEvidence(section) {
  const waiting = section.querySelector(".waiting");
  try {
    const part = document.createRange().createContextualFragment(await fetchPart(section.dataset.from));
    waiting.replaceWith(part);
  } catch {
    waiting.textContent = waiting.dataset.failed;
    waiting.setAttribute("role", "alert");
  }
  section.removeAttribute("aria-busy");
}

const evidence = document.getElementById("evidence");
if (evidence?.dataset.from) readEvidence(evidence);

// -- the queue, live ----------------------------------------------------------------------------

const list = document.getElementById("list");

function focused() {
  return document.activeElement?.closest?.("tr[data-case]");
}

function replaceList(html) {
  const row = focused();
  const id = row?.dataset.case;
  const top = row?.getBoundingClientRect().top;
  list.innerHTML = html;
  const again = id && list.querySelector(`tr[data-case="${CSS.escape(id)}"]`);
  if (again) { // who was at a row stays at it, wherever it has gone
    again.querySelector("a.case").focus({ preventScroll: true });
    window.scrollBy(0, again.getBoundingClientRect().top - top);
  }
  document.title = list.firstElementChild.dataset.title;
}

async function refresh(isNews) {
  replaceList(await fetchPart(location.href));
  if (isNews) say(list.dataset.updated.replace("{n}", list.firstElementChild.dataset.total));
}

let quiet;
function say(words) {
  live.textContent = words;
  clearTimeout(quiet);
  quiet = setTimeout(() => { live.textContent = ""; }, 4000);
}

async function poll() {
  if (document.hidden) return;
  try {
    const { revision } = JSON.parse(await fetchPart("/changes"));
    const isNews = revision !== list.firstElementChild.dataset.revision;
    if (isNews || performance.now() - refreshedAt > REFRESH_MS) {
      await refresh(isNews);
      refreshedAt = performance.now();
    }
    if (live.textContent === live.dataset.lost) live.textContent = "";
  } catch {
    clearTimeout(quiet);
    live.textContent = live.dataset.lost;
  }
}

let refreshedAt = performance.now();
async function pollForever() {
  await poll();
  setTimeout(pollForever, POLL_MS);
}
if (list) {
  setTimeout(pollForever, POLL_MS);
  document.addEventListener("visibilitychange", poll);
}
