// Keeps the page up to date and reveals keys. Without this script the page still shows the order and its form
// still opens the keys: everything here is an addition.
"use strict";

const FIRST_WAIT = 1000; // milliseconds between looks, growing while nothing changes
const LONGEST_WAIT = 15000;
const GROWTH = 1.4;
const RELISTEN = 30000; // until the stream is tried again after it was lost

const main = document.getElementById("order");
const base = main.dataset.token;
let wait = FIRST_WAIT;
let timer = 0;

// --- Going on by itself ---------------------------------------------------------------------------

// The server tells of changes as they happen. Where it cannot (a proxy, too many pages), the page asks.
let stream = null;

function listen() {
  if (stream !== null || !window.EventSource || main.dataset.live !== "true" || document.hidden) {
    return;
  }
  stream = new EventSource(`${base}/events`);
  stream.onmessage = (event) => {
    document.getElementById("trouble").hidden = true;
    follow(event.data).catch(lose);
  };
  stream.addEventListener("away", () => {
    document.getElementById("trouble").hidden = false;
  });
  stream.onerror = lose;
}

async function follow(version) {
  if (version === main.dataset.version) {
    return;
  }
  await renew();
  announce(document.querySelector("h1").textContent);
  if (main.dataset.live !== "true") {
    hush();
  }
}

function hush() {
  stream?.close();
  stream = null;
}

function lose() {
  hush();
  schedule();
  window.setTimeout(listen, RELISTEN);
}

function schedule() {
  window.clearTimeout(timer);
  if (main.dataset.live === "true" && !document.hidden && stream === null) {
    // A little chance in it, so that many open pages do not ask in step.
    timer = window.setTimeout(look, wait * (0.85 + 0.3 * Math.random()));
  }
}

async function look() {
  try {
    const answer = await fetch(`${base}/status`, { headers: { Accept: "application/json" }, cache: "no-store" });
    if (answer.status === 404 || answer.status === 410) {
      window.location.reload(); // the link has expired: the server has a page for that
      return;
    }
    if (!answer.ok) {
      throw new Error(`status ${answer.status}`);
    }
    const status = await answer.json();
    if (String(status.version) !== main.dataset.version) {
      await renew();
      announce(status.headline);
      wait = FIRST_WAIT;
    } else {
      wait = Math.min(wait * GROWTH, LONGEST_WAIT);
    }
    document.getElementById("trouble").hidden = true;
  } catch {
    document.getElementById("trouble").hidden = false;
    wait = Math.min(wait * 2, LONGEST_WAIT);
  }
  schedule();
}

// The server renders every state; a change is the same page fetched again, part by part.
async function renew() {
  const answer = await fetch(window.location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
  if (!answer.ok) {
    throw new Error(`page ${answer.status}`);
  }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("order");
  for (const part of main.querySelectorAll("[data-part]")) {
    const next = fresh.querySelector(`[data-part="${part.dataset.part}"]`);
    // Revealed keys stay on the screen, and a button stays under the finger that presses it.
    const typing = part.contains(document.activeElement) && document.activeElement.tagName === "INPUT";
    const inUse = typing || (part.dataset.part === "keys" && !part.hidden && !next.hidden);
    if (!inUse) {
      part.replaceWith(document.adoptNode(next));
    }
  }
  document.title = page.title;
  main.dataset.version = fresh.dataset.version;
  main.dataset.live = fresh.dataset.live;
  prepare();
}

function announce(text) {
  document.getElementById("announcer").textContent = text;
}

function prepare() {
  for (const button of main.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.onclick = async () => {
      const copied = await copy(document.getElementById(button.dataset.copy).textContent);
      flash(button, copied);
    };
  }
  for (const form of main.querySelectorAll("form[data-wish]")) {
    form.onsubmit = (event) => {
      event.preventDefault();
      wish(form);
    };
  }
  count();
  for (const time of main.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    const sameDay = at.toDateString() === new Date().toDateString();
    time.textContent = at.toLocaleString([], sameDay ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
    time.title = at.toLocaleString();
  }
  const form = document.getElementById("reveal");
  if (form && !form.dataset.ready) {
    form.dataset.ready = "true";
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      reveal(form);
    });
  }
}

// --- Paying and mails -----------------------------------------------------------------------------

let counting = 0;

function count() {
  window.clearTimeout(counting);
  for (const place of main.querySelectorAll("[data-until]")) {
    const left = Math.max(0, Math.round((new Date(place.dataset.until) - Date.now()) / 1000));
    const [hours, minutes, seconds] = [Math.floor(left / 3600), Math.floor(left / 60) % 60, left % 60];
    const clock = [...(hours ? [hours] : []), minutes, seconds].map((n) => String(n).padStart(2, "0")).join(":");
    place.textContent = left ? `${clock} left` : "The time is over: do not pay to this address any more.";
    counting = window.setTimeout(count, 1000);
  }
}

async function wish(form) {
  const place = form.closest("section").querySelector(".wish");
  try {
    const body = new URLSearchParams(new FormData(form));
    const answer = await fetch(form.getAttribute("action"), { method: "POST", body, headers: { Accept: "application/json" } });
    if (answer.ok) {
      const { headline, message } = await answer.json();
      place.textContent = `${headline}. ${message}`;
    } else {
      place.textContent = WISH_PROBLEMS[answer.status] ?? "That did not work. Try again in a moment.";
    }
  } catch {
    place.textContent = "We cannot reach our server right now. Try again in a moment.";
  }
  place.hidden = false;
}

const WISH_PROBLEMS = {
  422: "This is no mail address that we can write to. Look for a typing error.",
  429: "That was often in a short time. Try again in an hour.",
};

// --- Revealing ------------------------------------------------------------------------------------

const PROBLEMS = {
  409: "There are no keys to reveal. This page tells when there are.",
  410: "This link has expired. Reload the page to see what to do.",
  429: "That was often in a short time. Wait a minute, then try again.",
};

async function reveal(form) {
  const button = form.querySelector("button");
  if (button.getAttribute("aria-disabled") === "true") {
    return;
  }
  const label = button.textContent;
  button.setAttribute("aria-disabled", "true"); // unlike `disabled`, it keeps the focus
  button.textContent = "Revealing…";
  complain(null);
  try {
    const answer = await fetch(form.getAttribute("action"), { method: "POST", headers: { Accept: "application/json" } });
    if (!answer.ok) {
      complain(PROBLEMS[answer.status] ?? "That did not work. Your keys are safe; try again in a moment.");
      return;
    }
    const { url, pictures, expiresAt } = await answer.json();
    await read(form, url, pictures ?? [], expiresAt);
  } catch {
    complain("We cannot reach our server right now. Your keys are safe; try again in a moment.");
  } finally {
    button.removeAttribute("aria-disabled");
    button.textContent = label;
  }
}

async function read(form, url, pictures, expiresAt) {
  let codes;
  try {
    const answer = await fetch(url, { credentials: "omit", referrerPolicy: "no-referrer", cache: "no-store" });
    if (!answer.ok) {
      throw new Error(`storage ${answer.status}`);
    }
    ({ codes } = await answer.json());
  } catch {
    // The storage may not let scripts of this page read it; a person with the link may.
    complain("We could not show your keys here. ", link(url, "Open them in a new tab"), ` (works until ${clock(expiresAt)}).`);
    return;
  }
  if (!Array.isArray(codes) || codes.length + pictures.length === 0) {
    complain("There is nothing in this order's storage. Please write to us with your order number.");
    return;
  }
  await show(form, codes, pictures);
}

async function show(form, codes, pictures) {
  const place = document.getElementById("revealed");
  const texts = codes.length ? groups(codes, await lines()) : [];
  place.replaceChildren(...texts, ...pictures.map(picture), tools(form, place, codes));
  place.hidden = false;
  form.hidden = true;
  place.focus();
  const keys = codes.length + pictures.length;
  announce(keys === 1 ? "Your key is shown." : `Your ${keys} keys are shown.`);
}

// The browser fetches pictures from the storage itself, as it does the texts.
function picture(url, index, all) {
  const which = all.length > 1 ? `Key ${index + 1} of ${all.length} as a picture` : "Your key as a picture";
  const image = make("img", { src: url, alt: which, referrerpolicy: "no-referrer" });
  image.addEventListener("error", () => image.replaceWith(make("p", { class: "hint" }, "The picture could not be loaded: hide it and reveal it again.")));
  return make("figure", { class: "picture" }, image, make("figcaption", {}, which, ". ", link(url, "Open it alone")));
}

// Codes come in the order of the items, as many for each as its quantity.
async function lines() {
  try {
    const answer = await fetch(`${base}/status`, { headers: { Accept: "application/json" }, cache: "no-store" });
    return (await answer.json()).items ?? [];
  } catch {
    return [];
  }
}

function groups(codes, items) {
  const expected = items.reduce((sum, item) => sum + item.quantity, 0);
  if (expected !== codes.length) {
    return [list(codes, "key")];
  }
  let start = 0;
  return items.flatMap((item) => {
    const own = codes.slice(start, (start += item.quantity));
    return [make("h3", {}, item.title), list(own, item.title)];
  });
}

function list(codes, title) {
  const entries = codes.map((code, index) => {
    const which = codes.length > 1 ? `${title}, ${index + 1} of ${codes.length}` : title;
    return make("li", {}, make("code", {}, code), copier(code, "Copy", `Copy ${which}`));
  });
  return make("ul", { class: "codes" }, ...entries);
}

function tools(form, place, codes) {
  const hide = make("button", { class: "button button--small", type: "button" }, "Hide");
  hide.addEventListener("click", () => {
    place.replaceChildren();
    place.hidden = true;
    form.hidden = false;
    form.querySelector("button").focus();
    announce("Hidden.");
  });
  const all = codes.length > 1 ? [copier(codes.join("\n"), "Copy all", "Copy all keys")] : [];
  return make("div", { class: "tools" }, ...all, hide);
}

function copier(text, label, name) {
  const button = make("button", { class: "button button--small", type: "button", "aria-label": name }, label);
  button.addEventListener("click", async () => {
    flash(button, await copy(text), label);
  });
  return button;
}

function flash(button, copied, label = "Copy") {
  button.textContent = copied ? "Copied" : "Select it";
  announce(copied ? "Copied." : "Copying is not allowed here: select it and copy it.");
  window.setTimeout(() => {
    button.textContent = label;
  }, 2000);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // not over plain http, or not permitted
  }
}

function complain(...parts) {
  const place = document.getElementById("reveal-problem");
  place.hidden = parts[0] === null;
  place.replaceChildren(...parts.filter((part) => part !== null));
}

function link(url, text) {
  return make("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, text);
}

function clock(iso) {
  return new Date(iso).toLocaleTimeString([], { timeStyle: "short" });
}

function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    element.setAttribute(attribute, value);
  }
  element.append(...children);
  return element;
}

// --- Start ----------------------------------------------------------------------------------------

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    window.clearTimeout(timer);
    hush();
  } else if (main.dataset.live === "true") {
    wait = FIRST_WAIT;
    look().then(listen);
  }
});

prepare();
listen();
schedule();
