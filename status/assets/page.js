// Keeps the page current: takes the rendered inner part from the stream, falls back to
// loading the page, and says since when it is disconnected. The stream is closed while the page is hidden.
"use strict";
const main = document.getElementById("main");
const cut = document.getElementById("cut");
let stream = null;
let poll = 0;
let lost = null;

function show(html) {
  const focused = document.activeElement;
  if (focused && focused.closest("form")) return; // somebody is writing a reason
  const open = new Set([...main.querySelectorAll("details[open]")].map((d) => d.id));
  const inner = new DOMParser().parseFromString(html, "text/html").body;
  main.replaceChildren(...inner.childNodes);
  for (const d of main.querySelectorAll("details")) d.open = open.has(d.id);
  const sentence = main.querySelector("h1");
  if (sentence) document.title = sentence.textContent.trim();
  lost = null;
  cut.hidden = true;
}

function disconnected() {
  if (lost === null) lost = new Date();
  cut.textContent = "Disconnected since " + lost.toLocaleTimeString() + "; what is shown is older.";
  cut.hidden = false;
}

async function load() {
  try {
    const answer = await fetch("./", { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.statusText);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    show(page.getElementById("main").innerHTML);
  } catch {
    disconnected();
  }
}

function connect() {
  stream = new EventSource("events");
  stream.onmessage = (event) => show(event.data);
  stream.onerror = () => {
    disconnected();
    if (stream && stream.readyState === EventSource.CLOSED && !poll) poll = setInterval(load, 5000);
  };
}

function close() {
  if (stream) stream.close();
  stream = null;
  clearInterval(poll);
  poll = 0;
}

document.addEventListener("visibilitychange", () => {
  close();
  if (!document.hidden) connect();
});
addEventListener("pagehide", close);
connect();
